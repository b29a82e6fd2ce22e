"""Signatures of thinking, as far as a wrong one can be told without the model's key."""

import base64
from hashlib import blake2b

__all__ = ["is_signature", "sign"]

_MAKER = b"cachepoint.."
_SUM_BYTES = 6


def sign(thinking: str) -> str:
    """A signature of a text, in base64 as the real ones are."""
    digest = blake2b(thinking.encode("utf-8", "surrogatepass"), digest_size=24).digest()
    return base64.b64encode(_MAKER + digest + _sum(_MAKER + digest)).decode()


def is_signature(text: str) -> bool:
    """Whether a text may be a signature.

    One of `sign` has to be whole; of a real one only its base64 can be judged. The text that is signed is not
    looked at: an altered one was taken with the signature of the first (openclaw#70437, live, 2026-04).
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return False
    signed, checksum = raw[:-_SUM_BYTES], raw[-_SUM_BYTES:]
    return bool(raw) and (not raw.startswith(_MAKER) or checksum == _sum(signed))


def _sum(signed: bytes) -> bytes:
    return blake2b(signed, digest_size=_SUM_BYTES).digest()
