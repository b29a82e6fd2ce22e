"""Whether the memory answers."""

from collections.abc import Iterator

from cachepoint.cli.doctor.findings import Finding
from cachepoint.cli.doctor.setup import Setup

# What a call gives its memory unless told otherwise, in milliseconds.
_DEADLINE = 25
_FOR_ITSELF = "each process remembers for itself"


def memory(setup: Setup) -> Iterator[Finding]:
    """Whether what CACHEPOINT_MEMORY names can be used, and whether it answers in time."""
    seen = setup.memory
    if seen.state == "own":
        yield Finding("ok", f"CACHEPOINT_MEMORY is not set: {_FOR_ITSELF}")
    elif seen.state == "unknown":
        yield Finding(
            "fault",
            f"CACHEPOINT_MEMORY is set, and this version has no shared memory: {_FOR_ITSELF}",
            "pip install -U cachepoint, or unset CACHEPOINT_MEMORY",
        )
    elif seen.state == "refused":
        yield Finding("fault", f"CACHEPOINT_MEMORY is not used: {seen.why}", _remedy(seen.why))
    elif seen.state == "gone":
        yield Finding(
            "fault",
            f"the memory at {seen.where} does not answer ({seen.why or 'no reason told'}): {_FOR_ITSELF}",
            "start it, and see that host, port, user and password in CACHEPOINT_MEMORY are right",
        )
    else:
        yield _answering(seen.where, (seen.seconds or 0.0) * 1000)


def _remedy(why: str) -> str:
    """What to do; empty where what is said says it already."""
    return "" if "pip install" in why else "set CACHEPOINT_MEMORY and CACHEPOINT_KEY right, or unset both"


def _answering(where: str, milliseconds: float) -> Finding:
    what = f"the memory at {where} answers in {milliseconds:.1f} ms"
    if milliseconds <= _DEADLINE:
        return Finding("ok", what)
    return Finding(
        "note",
        f"{what}; a call waits {_DEADLINE} ms for it, and goes by what this process remembers then",
        "put it nearer, or give PromptCache(memory_timeout=...) more",
    )
