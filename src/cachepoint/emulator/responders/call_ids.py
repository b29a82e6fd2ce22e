"""Ids of tool calls, which say in how many rounds of their turn there were calls before."""

import re
from hashlib import blake2b

__all__ = ["call_id", "round_of"]

_BYTES = 11
_ID = re.compile(rf"tooluse_[0-9a-f]{{{2 * _BYTES}}}_(\d{{1,6}})")


def call_id(seed: str, number: int) -> str:
    """The id of a call of round `number`, the first of which is 0."""
    digest = blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=_BYTES).hexdigest()
    return f"tooluse_{digest}_{number}"


def round_of(identifier: str) -> int:
    """The round that an id is of; 0 where it was made by somebody else."""
    found = _ID.fullmatch(identifier)
    return int(found[1]) if found else 0
