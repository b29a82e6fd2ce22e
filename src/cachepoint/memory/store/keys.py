"""The shared secret of a fleet, and what its records are called in the store."""

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.memory.records import Table
from cachepoint.memory.store.elements import SCHEMA

# What a key is made with; told wherever one is lacking or too short.
HOW = """python -c "import secrets; print(secrets.token_hex(32))\""""
_LEAST = 32
_MOST_KEYS = 2
_NAMESPACE = 6
# By their numbers in the script. Their order stays, as the schema's.
TABLES = tuple(Table)
_LETTERS: Mapping[Table, bytes] = dict(zip(TABLES, (b"p", b"c", b"u", b"t", b"l", b"r", b"w"), strict=True))
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


def secrets_of(given: bytes | str | None) -> tuple[bytes, ...]:
    """The keys of the digests, the one that counts first.

    Args:
        given: One secret of at least 32 bytes, as bytes or as hex, base64 or other text; or two with a comma
            between them, of which the second is still looked under.

    Raises:
        InvalidOptionError: Where there is none, one is too short, or there are more than two.
    """
    if not given:
        raise InvalidOptionError(f"a shared memory needs a key: set CACHEPOINT_KEY to what {HOW} prints")
    parts = given.split(",") if isinstance(given, str) else [given]
    if len(parts) > _MOST_KEYS:
        raise InvalidOptionError(f"there are {len(parts)} keys; give one, or the new and the old")
    return tuple(_secret(part.strip()) for part in parts)


def _secret(given: bytes | str) -> bytes:
    secret = given if isinstance(given, bytes) else _bytes(given)
    if len(secret) < _LEAST:
        raise InvalidOptionError(
            f"a key of the shared memory has {len(secret)} bytes; use {_LEAST} or more, as {HOW} prints them"
        )
    return blake2b(secret, digest_size=_LEAST, person=b"cachepoint").digest()


def _bytes(text: str) -> bytes:
    """What hex or base64 stand for; other text is as it is."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        decoded = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return text.encode("utf-8", "surrogatepass")
    # A pass phrase may look like base64.
    return decoded if len(decoded) >= _LEAST else text.encode()


class Names(NamedTuple):
    """What so many records of one table are called: a start that they share, and their keys.

    A transcript has hundreds, most of no record: they are put together where they are sent.
    """

    start: bytes
    keys: Collection[bytes]

    @property
    def all(self) -> list[bytes]:
        """Each of them."""
        return [self.start + key for key in self.keys]

    @property
    def wire(self) -> bytes:
        """As arguments of a command."""
        sizes = set(map(len, self.keys))
        if len(sizes) == 1:
            head = b"$%d\r\n%b" % (len(self.start) + sizes.pop(), self.start)
            return b"%b%b\r\n" % (head, (b"\r\n" + head).join(self.keys))
        return b"".join([b"$%d\r\n%b\r\n" % (len(name), name) for name in self.all])


@dataclass(frozen=True)
class Keys:
    """What records are called in the store: schema, namespace, table, digest.

    There is no hash tag in them. In a cluster every record has a slot of its own.

    Args:
        secret: The key of the digests, which the name of the namespace is hidden with.
        namespace: Tells tenants apart.
    """

    secret: bytes = field(repr=False)
    namespace: str = ""

    def __post_init__(self) -> None:
        space = self.namespace.encode("utf-8", "surrogatepass")
        digest = blake2b(space, key=self.secret, digest_size=_NAMESPACE, person=b"namespace").digest()
        starts = {table: b"cp%b:%b%b" % (SCHEMA, digest, letter) for table, letter in _LETTERS.items()}
        object.__setattr__(self, "_starts", starts)

    def of(self, table: Table, keys: Collection[bytes]) -> "Names":
        """The names of records of one table."""
        return Names(self._starts[table], keys)  # type: ignore[attr-defined]

    def one(self, table: Table, key: bytes) -> bytes:
        """The name of one record."""
        return self._starts[table] + key  # type: ignore[attr-defined,no-any-return]

    @property
    def probe(self) -> bytes:
        """What is written to see whether there is room: in no table."""
        return self._starts[TABLES[0]][:-1] + b"?"  # type: ignore[attr-defined,no-any-return]
