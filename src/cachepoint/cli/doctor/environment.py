"""Which variables of the environment hold, and which policy results."""

import re
from collections.abc import Iterator
from dataclasses import fields
from difflib import get_close_matches

from cachepoint.cli.doctor.findings import Finding
from cachepoint.cli.doctor.setup import Setup
from cachepoint.core.policy import ENV_PREFIX, CachePolicy, variables

# Variables of ours that are no options.
OURS = ("CACHEPOINT_MEMORY", "CACHEPOINT_KEY")
_NEAR = 0.8
_WORD = re.compile(r"[\w.-]{1,16}")


def environment(setup: Setup) -> Iterator[Finding]:
    """Which variables hold, which hold nothing valid, and which nobody reads."""
    good = []
    for name, value in setup.variables.items():
        finding = _ours(name, value) if name.startswith(ENV_PREFIX) else None
        if finding is None:
            good.append(name if value is None else f"{name}={value}")
        else:
            yield finding
    yield Finding("ok", f"variables that hold: {', '.join(good) or 'none'}")
    yield from _endpoint(setup)


def _ours(name: str, value: str | None) -> Finding | None:
    """What is wrong with one of our variables; None where nothing is."""
    if name in OURS:
        return None
    if name not in variables():
        return _unknown(name)
    choices = [one for one in variables()[name] if one is not None]
    if value is not None and value.strip().lower() in {*choices, ""}:
        return None
    shown = repr(value) if value is not None and _WORD.fullmatch(value) else "no word"
    return Finding(
        "fault",
        f"{name} is {shown}, and is passed over",
        f"set it to one of {', '.join(choices)}, or unset it",
    )


def _unknown(name: str) -> Finding:
    known = (*variables(), *OURS)
    near = get_close_matches(name.upper(), known, n=1, cutoff=_NEAR)
    if near:
        return Finding("fault", f"{name} is no variable of cachepoint, and is passed over", f"set {near[0]}")
    # Kubernetes puts such there for a service of this name.
    return Finding(
        "note",
        f"{name} is no variable of cachepoint, and is passed over",
        f"if it was meant for it: there are {', '.join(known)}",
    )


def _endpoint(setup: Setup) -> Iterator[Finding]:
    for name in ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL"):
        if value := setup.variables.get(name):
            yield Finding(
                "note", f"calls go to {value}, not to AWS", f"unset {name} unless that is a local Bedrock"
            )
            return


def policy(setup: Setup) -> Iterator[Finding]:
    """What holds where the program says nothing."""
    held = setup.policy
    named = ", ".join(f"{name} {value}" for name, value in held.options().items())
    if held.mode == "off":
        yield Finding(
            "note",
            "mode is off: requests are sent as they come, and nothing is cached",
            "unset CACHEPOINT_MODE",
        )
        return
    rest = ", ".join(
        f"{f.name} {getattr(held, f.name)}"
        for f in fields(CachePolicy)
        if f.name not in held.given and getattr(held, f.name) is not None
    )
    said = f"{named} by the environment, else " if named else ""
    yield Finding("ok", f"policy: {said}{rest}. What the program configures lies on top")
