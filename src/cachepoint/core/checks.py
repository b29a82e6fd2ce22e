"""What a `PromptCache` is built with: what is not valid raises `InvalidOptionError`."""

import secrets
from hashlib import blake2b

from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.memory.local import LocalMemory
from cachepoint.core.memory.protocol import Memory


def memory(given: Memory | None) -> Memory:
    """The memory; None: one of this process."""
    if given is None:
        return LocalMemory()
    if not (callable(getattr(given, "recall", None)) and callable(getattr(given, "record", None))):
        raise InvalidOptionError(f"memory is {type(given).__name__!r}; give a cachepoint.memory.Memory")
    return given


def key(given: bytes | None) -> bytes:
    """The key of the digests; None: a random one."""
    if given is None:
        return secrets.token_bytes(32)
    if not 1 <= len(given) <= blake2b.MAX_KEY_SIZE:
        raise InvalidOptionError(
            f"the key of the digests has {len(given)} bytes; use 1 to {blake2b.MAX_KEY_SIZE}"
        )
    return given


def timeout(seconds: float) -> float:
    """Seconds that a call may wait for its memory."""
    if not isinstance(seconds, int | float) or not 0 <= seconds <= 60:  # noqa: PLR2004
        raise InvalidOptionError(f"memory_timeout is {seconds!r}; use 0 to 60 seconds")
    return float(seconds)
