"""What a prompt asks of the memory."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cachepoint.core.memory.protocol import Keys, Recollection
from cachepoint.core.memory.records import Table, Texts
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.once import once
from cachepoint.core.policy import CachePolicy
from cachepoint.core.prompt import documents
from cachepoint.core.prompt.anatomy import written
from cachepoint.core.prompt.cuts import Scissors, Split
from cachepoint.core.prompt.dialects.reading import Reading, encoded
from cachepoint.core.prompt.digests import Digester
from cachepoint.core.prompt.overlap import turns
from cachepoint.core.prompt.prefix import SHORT, Prefix

# What a request is sent to, as settings are named.
MODEL, REGION, API = "model", "Region or endpoint", "API"
# What loses the messages alone, where a tool must be called and need not.
CHOICE = "tool_choice"
Settings = tuple[tuple[str, bytes], ...]
_CUT_BY = (Table.CUTS, Table.TEXTS)


def differing(before: Settings, now: Settings) -> list[str]:
    """The names of the settings that differ, in order."""
    if before == now:
        return []
    one, other = dict(before), dict(now)
    return [name for name in {**other, **one} if one.get(name) != other.get(name)]


@dataclass(frozen=True)
class CutPrompt:
    """A prompt, cut as it is to be sent, with its digests."""

    split: Split
    prefix: Prefix

    @once
    def turns(self) -> list[bytes]:
        """By what its last turns are known, the newest first."""
        return turns(self.prefix)


@dataclass(frozen=True)
class Question:
    """What is asked of one request.

    Args:
        reading: The request as it was read.
        digester: What texts and prefixes are known by.
        namespace: Tells accounts apart that share a memory.
        api: The API.
        region: Endpoint or Region.
        model: The id that is called.
        rules: The model's row as it is in the table.
        policy: What the user chose.
        now: Seconds.
        older: What they were known by before, while the key of a shared memory is being replaced.
    """

    reading: Reading
    digester: Digester
    namespace: str
    api: str
    region: str
    model: str
    rules: ModelRules
    policy: CachePolicy
    now: float
    older: Digester | None = None

    @once
    def where(self) -> str:
        """Entries are never shared between two of these."""
        return f"{self.namespace}|{self.api}|{self.region}"

    @once
    def _seed(self) -> bytes:
        """What all of a prefix depends on."""
        return encoded(f"{self.where}|{self.model}|{self.reading.invalidates}")

    @once
    def scope(self) -> bytes:
        """The key of what is counted for the model here."""
        return self._key("scope", self.model)

    @once
    def ratio(self) -> bytes:
        """The key of the model's bytes per token."""
        return self._key("ratio", self.model)

    @once
    def row(self) -> bytes:
        """The key of what refusals disproved of the model."""
        return self._key("row", self.model)

    @once
    def keys(self) -> Keys:
        """What can be asked before it is known where texts are cut."""
        return {
            Table.ROWS: (self.row,),
            Table.COUNTS: (self.scope, self.ratio),
            Table.CUTS: tuple(self._scissors.texts.values()),
            Table.TEXTS: tuple(self._scissors.places.values()),
        }

    def more(self, found: Recollection) -> Keys:
        """What is known by the prompt as it is cut."""
        cut = self.cut(found)
        prefix = cut.prefix
        conversation = self.conversation(prefix)
        return {
            Table.PLACES: prefix.digests,
            Table.COUNTS: (*prefix.digests[prefix.head - 1 : prefix.head], conversation),
            Table.LAST: (conversation,),
            Table.TURNS: (*self.turns(cut), *self.kin(prefix)),
        }

    def cut(self, found: Recollection) -> CutPrompt:
        """The prompt, cut as what was found says."""
        cuts, texts = (found.get(table, {}) for table in _CUT_BY)
        # Where all is decided, it does not matter what texts there were.
        known = cuts, {place: texts[place] for place in self._scissors.undecided(cuts) if place in texts}
        before, cut = self._last.get("cut", (None, None))
        if before is None or before != known:
            cut = self._still(cut, before, known) or self._cut(*known)
            self._last["cut"] = known, cut
        made: CutPrompt = cut
        return made

    def _still(self, cut: CutPrompt | None, before: Any, known: Any) -> CutPrompt | None:
        """The same cut, where what is known now is what was decided before it was; None where it is not."""
        if cut is None:
            return None
        (cuts_before, texts_before), (cuts, texts), decided = before, known, cut.split.decided
        undecided = self._scissors.undecided(cuts)
        same = all(
            cuts[key] == decided.get(key) if key in cuts else key not in cuts_before
            for key in self._scissors.texts.values()
        )
        if not same or texts != {place: texts_before[place] for place in undecided if place in texts_before}:
            return None
        sketches = {place: sketch for place, sketch in cut.split.sketches.items() if place in undecided}
        return replace(cut, split=replace(cut.split, sketches=sketches))

    def replaced(self, found: Recollection) -> Mapping[Table, Mapping[bytes, bytes]]:
        """By the key of a text or a place: the one that it has by the key which is being replaced."""
        if self.older is None:
            return {}
        before = replace(self, digester=self.older, older=None)
        cut, texts = self.cut(found), self._scissors.texts
        was = before.digested(cut.split).digests
        older = before._scissors.texts  # noqa: SLF001
        return {
            Table.CUTS: {key: older[i] for i, key in texts.items()},
            Table.PLACES: dict(zip(cut.prefix.digests, was, strict=True)),
        }

    def digested(self, split: Split, after: Prefix | None = None) -> Prefix:
        """The prefix that a split request makes, which goes on from another."""
        return self.digester.prefix(
            split.raw,
            seed=self._seed,
            turn_seed=encoded(self.reading.turn),
            orphans=self.reading.orphans,
            after=after,
        )

    def conversation(self, prefix: Prefix) -> bytes:
        """The key of the conversation's last request: it is known by its first message."""
        return self.digester.one(encoded(self.where) + prefix.parts[2])

    def turns(self, cut: CutPrompt) -> list[bytes]:
        """The keys of the last turns, the newest first: whatever model they went to, and where."""
        return [self._account + turn for turn in cut.turns]

    def kin(self, prefix: Prefix) -> list[bytes]:
        """The keys of what other requests of this kind share: the tools, and the system prompt."""
        tools, system, _ = prefix.parts
        return [self._account + b"tools" + tools, self._account + b"system" + system] if prefix.head else []

    @once
    def settings(self) -> Settings:
        """The digests of what may change the whole prefix, by name."""
        named = self.digester.named(((MODEL, self.model), (REGION, self.region), (API, self.api)))
        asked = self.reading.settings
        return named + self.digester.named([(n, written(value)) for n, value in asked]) if asked else named

    @once
    def _account(self) -> bytes:
        return self.digester.text(self.namespace)[0][:SHORT]

    @once
    def _scissors(self) -> Scissors:
        policy = self.policy
        return Scissors(
            reading=self.reading,
            digester=self.digester,
            scope=self.scope,
            mode=policy.split,
            documents=policy.documents,
            announced=documents.retrieved,
            volatile=documents.changing,
        )

    # Not a second cut for the same answer: hashing is what a call pays most for.
    @once
    def _last(self) -> dict[str, Any]:
        return {}

    def _cut(self, cuts: Mapping[bytes, Any], texts: Mapping[bytes, Texts]) -> CutPrompt:
        split = self._scissors.split(cuts, {place: record.sketches for place, record in texts.items()})
        how = ("prefix", self._seed, self.reading.turn, self.policy.split, self.policy.documents)
        prefix = self.digested(split, self._after(how))
        if self.reading.growth is not None:
            self.reading.growth.now.made[how] = prefix
        return CutPrompt(split, prefix)

    def _after(self, how: Hashable) -> Prefix | None:
        """The prefix that this one goes on from, as far as they are the same."""
        before, same = self._scissors.before
        if before is None:
            return None
        prefix: Prefix | None = self.reading.growth.before.made.get(how)
        begun = before.starts[same]
        return prefix.first(begun) if prefix is not None and begun else None

    def _key(self, what: str, name: str) -> bytes:
        return self.digester.one(encoded(f"{what}|{self.where}|{name}"))
