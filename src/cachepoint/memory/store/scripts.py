"""What is sent to the server: the script that records, and commands as they go over the wire."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha1
from math import ceil
from struct import pack
from typing import NamedTuple

from cachepoint.core.memory.local import Limit
from cachepoint.core.memory.records import Table
from cachepoint.memory.store.keys import TABLES, Names

# A value: the second of its last change, and its elements as one array of msgpack (its head is 3 bytes).
HEAD = 7
# Seconds by which the clocks of two workers may differ: nothing is dropped so much too early.
SKEW = 1
_MOST = (1 << 32) - 1

# For each key an element, and by what rule: append (a), only where something is there (x), only where
# nothing is (n), instead of what is there (s). With it may come what the first bytes that were seen there
# come to (form 1), or all that was seen and this change (form 2): it takes their place where they are still
# there, so that a log stays short and nobody's change is lost. SET instead of APPEND and PEXPIRE: as many
# commands, and no room is left behind each value (Redis doubles a string that is appended to).
SCRIPT = b"""\
local at, px, oldest, out = string.sub(ARGV[1], 1, 4), {}, {}, {}
for t = 1, 7 do
  px[t] = struct.unpack('>I4', ARGV[1], 4 * t + 1)
  oldest[t] = struct.unpack('>I4', ARGV[1], 4 * t + 29)
end
for i, key in ipairs(KEYS) do
  local p = ARGV[i + 1]
  local t, rule, want, form, count = struct.unpack('>BBBBH', p)
  local old = redis.pcall('GET', key)
  if type(old) ~= 'string' or #old < 7 or struct.unpack('>I4', old) < oldest[t] then old = false end
  out[i] = want == 1 and old
  if old or rule ~= 120 then
    local n, body, next = 0, '', 7
    if old then n, body = struct.unpack('>H', old, 6), string.sub(old, 8) end
    if form > 0 then
      local length, gone, made, size = struct.unpack('>I4HHI4', p, 7)
      next = 59 + size
      if old and (#body == length or form == 1 and #body > length)
          and redis.sha1hex(string.sub(body, 1, length)) == string.sub(p, 19, 58) then
        body = string.sub(p, 59, 58 + size) .. string.sub(body, length + 1)
        n = n - gone + made
        if form == 2 then next, count = #p + 1, 0 end
      end
    end
    if rule == 115 or n > 4096 or #body > 262144 then n, body = 0, '' end
    if rule ~= 110 or not old then n, body = n + count, body .. string.sub(p, next) end
    redis.call('SET', key, at .. '\\220' .. struct.pack('>H', n) .. body, 'PX', px[t])
  end
end
return out
"""
SHA = sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
_BY_SHA, _WITH_SCRIPT = (b"EVALSHA", SHA), (b"EVAL", SCRIPT)


def probing(name: bytes) -> bytes:
    """Try what every trip does, on a record of nothing that lasts for seconds."""
    brief = Bounds(dict.fromkeys(TABLES, Limit(1, 0.0, 1))).at(0.0).sent
    nothing = payload(TABLES[0], b"a", want=True, count=0, elements=b"")
    return recording([name], brief, [nothing], known=False) + reading_one(name)


def command(*arguments: bytes) -> bytes:
    """A command as it goes over the wire."""
    parts = [b"*%d" % len(arguments)]
    for argument in arguments:
        parts += _size(len(argument)), argument
    return b"\r\n".join((*parts, b""))


@lru_cache(1_024)
def _size(length: int) -> bytes:
    return b"$%d" % length


def reading(names: Sequence[Names]) -> bytes:
    """Ask for records."""
    count = sum(len(some.keys) for some in names)
    return b"*%d\r\n$4\r\nMGET\r\n%b" % (count + 1, b"".join([some.wire for some in names]))


def reading_one(name: bytes) -> bytes:
    """Ask for one record."""
    return command(b"GET", name)


def recording(names: Sequence[bytes], bounds: bytes, payloads: Iterable[bytes], *, known: bool) -> bytes:
    """Make changes to so many records.

    Args:
        names: What they are called.
        bounds: `Bound.sent`.
        payloads: For each, what `payload` gives.
        known: Whether the server knows the script.
    """
    how = _BY_SHA if known else _WITH_SCRIPT
    return command(*how, b"%d" % len(names), *names, bounds, *payloads)


class Bound(NamedTuple):
    """How old records may be at some second, and for how long they are kept: as sent, and by table."""

    second: int
    sent: bytes
    oldest: Mapping[Table, int]


class Bounds:
    """How old records may be, and for how long they are kept after their last change.

    Args:
        limits: By table.
    """

    def __init__(self, limits: Mapping[Table, Limit]) -> None:
        self._ages = {table: ceil(limits[table].seconds) + SKEW for table in TABLES}
        self._kept = [min((age + SKEW) * 1_000, _MOST) for age in self._ages.values()]
        self._last: Bound | None = None

    def at(self, now: float) -> Bound:
        """Those at a time in seconds: the second before which a record was last used that is not found."""
        second, last = int(min(max(now, 0.0), _MOST)), self._last
        if last is None or last.second != second:
            oldest = {table: max(second - age, 0) for table, age in self._ages.items()}
            sent = pack(">15I", second, *self._kept, *oldest.values())
            self._last = last = Bound(second, sent, oldest)
        return last


def payload(table: Table, rule: bytes, want: bool, count: int, elements: bytes, drawn: bytes = b"") -> bytes:
    """What is to become of one record.

    Args:
        table: Its table.
        rule: One of the script's, a letter.
        want: Whether it is to be told what was there.
        count: How many elements are added.
        elements: These.
        drawn: What `drawn` gives; empty: nothing is drawn up.
    """
    head = _head(table, rule, want)
    return b"".join((head, drawn[:1] or b"\0", count.to_bytes(2), drawn[1:], elements))


@cache
def _head(table: Table, rule: bytes, want: bool) -> bytes:
    return pack(">BcB", TABLES.index(table) + 1, rule, want)


def drawn(form: int, seen: bytes, gone: int, made: int, instead: bytes) -> bytes:
    """What the elements that were seen come to.

    Args:
        form: 1: alone; 2: with the change that it goes with.
        seen: The elements.
        gone: How many these were.
        made: How many take their place.
        instead: These.
    """
    seal = sha1(seen, usedforsecurity=False).hexdigest().encode()
    return pack(">BI2HI", form, len(seen), gone, made, len(instead)) + seal + instead
