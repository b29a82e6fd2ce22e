"""What kind of call a request is, and how likely its parts are to come back."""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from cachepoint.core.placement.forecast import (
    HEAD_SOON,
    KNOWN_HEAD,
    LIGHT_HEAD,
    LIGHT_SOON,
    OWN,
    SURE,
    Chance,
    Forecast,
    Kind,
    Prices,
    blended,
)
from cachepoint.core.placement.planner import Candidate, Outlook
from cachepoint.core.placement.scene import Scene
from cachepoint.core.placement.sizes import Sizes
from cachepoint.core.placement.view import View
from cachepoint.core.prompt.prefix import Prefix

Shape = Literal[
    "head",
    "clock",
    "documents",
    "extends",
    "tools",
    "history",
    "elsewhere",
    "small_first",
    "large",
    "retrieved",
    "large_turn",
    "gone",
    "stays",
    "again",
    "fresh",
]
# A first turn is small where it is at most this share of its request; what a later turn adds is large
# where it is more than that share.
SMALL_SHARE = 0.25
LARGE_SHARE = 0.5
# Places seen before that are looked at, the deepest: a long history that nobody wrote holds hundreds.
MAX_DEPTHS = 16
# Blocks before the last of a system prompt that get a checkpoint which costs nothing.
MAX_SLOTS = 3


class Watch(NamedTuple):
    """A prefix whose return is counted: the block it ends at, and what is counted."""

    block: int
    kinds: tuple[Kind, ...]


def foresee(scene: Scene, forecast: Forecast) -> tuple[Outlook, list[Watch]]:
    """Sort a request into its kind, and ask how likely its parts are to come back.

    Args:
        scene: The request.
        forecast: What was learned so far.

    Returns:
        What is to be expected, and what is to be watched.
    """
    prefix, view, prices = scene.prefix, scene.view, Prices.of(scene.rules)
    head, end = scene.landmarks.head, scene.landmarks.end
    depths = _depths(scene, head, end)
    kind, doubt = _kind(scene), _doubt(prefix)
    whole = prefix.head - 1
    trust = SURE if doubt is None else _own(scene, whole, forecast.chance((scene.scope, doubt)))
    found = [*_of_head(scene, forecast, head), *_of_documents(scene, forecast, trust)]
    if doubt is not None:
        found.append(Candidate(whole, "head", trust))
    anywhere: Kind = (scene.scope, "again")
    found += [
        Candidate(i, "again", _own(scene, i, forecast.chance(_fresh(scene)).unhurried()))
        for i in _guessed(scene)
    ]
    likely = _end(scene, forecast, kind)
    # What is behind an answer in it comes back as the conversation does.
    turn = scene.landmarks.previous or -1
    guess = {
        i: likely if prefix.head <= i <= turn else forecast.chance(k, anywhere).unhurried()
        for i, k in depths.items()
    }
    found += [Candidate(i, "again", _own(scene, i, chance)) for i, chance in guess.items()]
    before = scene.landmarks.history
    if before is not None and scene.policy.tail != "never":
        found.append(
            Candidate(
                before, "previous_end", _own(scene, before, forecast.chance(_past(scene))).capped(trust)
            )
        )
    if scene.stays is not None and scene.policy.tail != "never":
        chance = _end(scene, forecast, _stays(scene))
        found.append(Candidate(scene.stays, "end", _own(scene, scene.stays, chance).capped(trust)))
    if end is not None and scene.policy.tail != "never":
        always = scene.policy.tail == "always"
        chance = likely._replace(hour=1.0, soon=1.0) if always else _own(scene, end, likely).capped(trust)
        found.append(Candidate(end, "end", chance))
    outlook = Outlook(
        candidates=tuple(found),
        prices=prices,
        stale=kind[1].startswith("history") and not _pays(prices, likely) and whole in view.entries,
        changing=doubt == "clock" and not _pays(prices, trust) and forecast.watched((scene.scope, doubt)),
    )
    return outlook, [*_watches(scene, head, doubt), *_ends(scene, end, kind, depths)]


def _pays(prices: Prices, chance: Chance) -> bool:
    return max(prices.gain(chance)) > 0


def _own(scene: Scene, index: int, chance: Chance) -> Chance:
    """The chance of its kind, and what was seen of this one place."""
    place = scene.view.entries.get(index)
    now = scene.view.now
    # This visit is among them.
    return chance if place is None else blended(chance, OWN, place.visited(now), now)


def _of_head(scene: Scene, forecast: Forecast, head: int | None) -> Iterator[Candidate]:
    tools = scene.landmarks.tools
    if tools is not None and tools != head:
        yield Candidate(tools, "tools", _own(scene, tools, _head_chance(scene, forecast, tools)))
    if head is None:
        return
    yield Candidate(head, "head", _own(scene, head, _head_chance(scene, forecast, head)))
    # Blocks of a system prompt are where such prompts part; before that is seen, they are free.
    for i in range(head - 1, max(tools if tools is not None else -1, head - MAX_SLOTS), -1):
        if scene.prefix.blocks[i].layer == "system" and i not in scene.view.entries:
            yield Candidate(i, "again", _head_chance(scene, forecast, i))


def _head_chance(scene: Scene, forecast: Forecast, index: int) -> Chance:
    """Of a new head, whether such come back at all, at the pace of those that do; else as those do.

    One that begins as another did is no head of its own.
    """
    kind = _known_head(scene)
    if index in scene.view.entries:
        return forecast.chance(kind)
    known = forecast.count(kind)
    chance = forecast.chance((scene.scope, "head"))
    if known.passed or min(scene.view.entries, default=index) < index:
        return chance.paced(known, OWN)
    light = scene.landmarks.tools is None and scene.sizes.at(index) <= LIGHT_HEAD
    return chance.unhasty(LIGHT_SOON if light else HEAD_SOON)


def _known_head(scene: Scene) -> Kind:
    return (scene.scope, KNOWN_HEAD)


def _of_documents(scene: Scene, forecast: Forecast, trust: Chance) -> Iterator[Candidate]:
    if scene.policy.documents == "off":
        return
    shared = scene.policy.documents == "shared"
    chance = forecast.chance((scene.scope, "documents"))
    for i in scene.ending("documents"):
        yield Candidate(i, "documents", SURE if shared else _own(scene, i, chance).capped(trust))


def _end(scene: Scene, forecast: Forecast, kind: Kind) -> Chance:
    """Whether ends of this kind come back is the kind's; how soon is the conversation's own."""
    # One large first turn is written to see whether such come back: not one more for each head.
    first = (scene.scope, kind[1]) if kind[1].startswith("large:") and kind[0] != scene.scope else None
    chance = forecast.chance(kind, first)
    # The pace on one model tells nothing of coming back on another.
    return chance if _arrives(scene) else chance.paced(forecast.count(_pace(scene)), OWN)


def _pace(scene: Scene) -> Kind:
    return (scene.conversation, f"extends:{_last(scene.prefix)}")


def _watches(scene: Scene, head: int | None, doubt: Shape | None) -> Iterator[Watch]:
    """What of the head is watched; what changes and documents, until they are known."""
    known = scene.view.entries
    if head is not None:
        yield Watch(head, (_known_head(scene) if head in known else (scene.scope, "head"),))
    whole = scene.prefix.head - 1
    if doubt is not None and whole not in known:
        yield Watch(whole, ((scene.scope, doubt),))
    for index in scene.ending("documents"):
        if index not in known:
            yield Watch(index, ((scene.scope, "documents"),))
    for index in _guessed(scene):
        yield Watch(index, (_fresh(scene),))


def _ends(scene: Scene, end: int | None, kind: Kind, depths: Mapping[int, Kind]) -> Iterator[Watch]:
    # What is below the minimum can't be written, and tells nothing of what can. A repeat is no new one.
    repeats = scene.view.repeats
    if end is not None and not repeats and scene.sizes.reaches(end, scene.rules.min_tokens):
        yield Watch(end, (kind, _pace(scene)))
    stays = scene.stays
    if stays is not None and not repeats and scene.sizes.reaches(stays, scene.rules.min_tokens):
        yield Watch(stays, (_stays(scene), _pace(scene)))
    before = scene.landmarks.history
    if before is not None and not repeats and scene.sizes.reaches(before, scene.rules.min_tokens):
        yield Watch(before, (_past(scene),))
    # What is read needs no watching; what was seen and is not held may be worth a write when it returns.
    held = scene.view.anchor
    for index, deep in depths.items():
        if index > held:
            yield Watch(index, (deep, (scene.scope, "again")))


def _depths(scene: Scene, head: int | None, end: int | None) -> dict[int, Kind]:
    """Places seen before, by block index; those at one depth behind the head are of one kind.

    The first of many documents returns more often than the sixth.
    """
    behind = scene.prefix.head
    places = [i for i in _parted(scene.view) if i not in {head, end}][-MAX_DEPTHS:]
    new = {*scene.ending("again"), *(() if scene.parts is None else (scene.parts,))}
    places += sorted(i for i in new - {head, end} if i not in scene.view.entries)
    return {
        i: (scene.scope, f"again:{i - behind}")
        for i in places
        if i < behind or scene.policy.tail != "never" or _ends_documents(scene, i)
    }


def _parted(view: View) -> list[int]:
    """Places behind what is held, and those before it that more went through than through the next."""
    held = view.anchor
    times = [place.times for place in view.entries.values()]
    pairs = zip(view.entries, times, (*times[1:], 0), strict=False)
    return [i for i, here, there in pairs if here > there + 1 or i > held]


def _past(scene: Scene) -> Kind:
    """Of what was said before the newest message: it comes back even where that is not kept as it is."""
    return (_where(scene), "elsewhere:past" if _arrives(scene) else "history:past")


def _stays(scene: Scene) -> Kind:
    return (_where(scene), "stays")


def _arrives(scene: Scene) -> bool:
    """Whether a conversation comes here from another model."""
    return scene.elsewhere and scene.view.seen_from(scene.prefix.head) is None


def _guessed(scene: Scene) -> list[int]:
    """Where texts that were not seen yet are guessed to part."""
    return [i for i in scene.ending("fresh") if i not in scene.view.entries]


def _fresh(scene: Scene) -> Kind:
    return (_where(scene), "fresh")


def _ends_documents(scene: Scene, index: int) -> bool:
    return scene.prefix.ends.get(index) == "documents"


def _doubt(prefix: Prefix) -> Shape | None:
    """What in the head may not come back; None where nothing looks like it."""
    ends = {what for i, what in prefix.ends.items() if i < prefix.head}
    return "documents" if "documents" in ends else "clock" if "volatile" in ends else None


def _last(prefix: Prefix) -> str:
    """What a request ends with: what people say is followed by another pause than what a tool says."""
    blocks = prefix.blocks[: len(prefix.blocks) - prefix.fleeting]
    return "result" if blocks and blocks[-1].kind in _RESULTS else "text"


_RESULTS = frozenset({"toolResult", "tool_result"})


def _kind(scene: Scene) -> Kind:
    """The kind of a request's end. Heads that never come back are counted together."""
    shape = _shape(scene)
    long = shape == "tools" and _added(scene.sizes, None, scene.prefix.head) > SMALL_SHARE
    forced = ":forced" if scene.forced else ""
    return (_where(scene), f"{shape}:{_last(scene.prefix)}{':long' if long else ''}{forced}")


def _where(scene: Scene) -> bytes:
    head = scene.prefix.head - 1
    return scene.prefix.digests[head] if head in scene.view.entries else scene.scope


def _shape(scene: Scene) -> Shape:
    prefix, view = scene.prefix, scene.view
    blocks, head = prefix.blocks, prefix.head
    if len(blocks) == head:
        return "large"
    if _arrives(scene) or scene.gone:
        return "gone" if scene.gone else "elsewhere"
    # Who is made to call a tool has no step after it, as far as that tells: it extracts.
    tools = blocks[0].layer == "tools" and not scene.forced
    before = view.seen_from(head)
    if before is None:
        before = scene.landmarks.previous
        shape: Shape = "history" if before is not None else "tools" if tools else "small_first"
    else:
        shape = "extends"
    if tools:
        return shape
    newest = blocks[-1].path[0]
    parted = [i for i, what in prefix.ends.items() if i >= head and what in _WHOLE]
    here = {blocks[i].kind for i in parted if blocks[i].path[0] == newest}
    if here:
        return "retrieved" if "text" in here else "large"
    added = _added(scene.sizes, before, head)
    if shape == "small_first":
        return "large" if added > SMALL_SHARE else shape
    return "large_turn" if added > LARGE_SHARE else shape


# What is followed by questions that come once.
_WHOLE = frozenset({"documents", "again", "fresh"})


def _added(sizes: Sizes, before: int | None, head: int) -> float:
    """What the request adds to what was there before, as a share of all of it."""
    total = sizes.at(-1)
    last = before if before is not None else head - 1
    known = sizes.at(last) if last >= 0 else 0
    return (total - known) / total if total else 0.0
