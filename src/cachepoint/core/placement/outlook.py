"""What kind of call a request is, and what of it is worth a write."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cachepoint.core.models.rules import ModelRules
from cachepoint.core.placement.forecast import Forecast, Kind, Shape
from cachepoint.core.placement.planner import Outlook, end_of, head_of, previous_end
from cachepoint.core.placement.sizes import Sizes
from cachepoint.core.placement.view import View
from cachepoint.core.policy import CachePolicy
from cachepoint.core.prompt.prefix import Prefix

# A first turn is small where it is at most this share of its request; what a later turn adds is large
# where it is more than that share.
SMALL_SHARE = 0.25
LARGE_SHARE = 0.5
# Blocks of one message that are watched as places where requests may part.
MAX_BRANCHES = 16


@dataclass(frozen=True, slots=True)
class Scene:
    """One request as the forecast looks at it. `scope` stands for endpoint, API and model."""

    prefix: Prefix
    view: View
    sizes: Sizes
    rules: ModelRules
    policy: CachePolicy
    scope: bytes


@dataclass(frozen=True, slots=True)
class Watch:
    """A prefix whose return is counted: the block it ends at, and what is counted."""

    index: int
    kinds: tuple[Kind, ...]


def foresee(scene: Scene, forecast: Forecast) -> tuple[Outlook, list[Watch]]:
    """Sort a request into its kind, and ask whether its parts are worth a write.

    Args:
        scene: The request.
        forecast: What was learned so far.

    Returns:
        What is to be expected, and what is to be watched.
    """
    prefix, view, policy = scene.prefix, scene.view, scene.policy
    worth = threshold(scene.rules, policy)

    def chance(shape: Shape) -> bool:
        return forecast.chance((scene.scope, shape)) > worth

    head, end = head_of(prefix), end_of(prefix)
    depths = _depths(scene, head, end)
    held = max(view.live, default=-1)
    anywhere: Kind = (scene.scope, "again")
    again = max(
        (i for i, k in depths.items() if i > held and forecast.chance(k, anywhere) > worth), default=None
    )
    kind = _kind(scene)
    likely = forecast.chance(kind) > worth
    doubt = _doubt(prefix)
    # What may change by the call is watched to its end; where such heads return, they are heads.
    whole = prefix.head - 1 if doubt is not None else None
    trusted = doubt is None or whole in view.entries or chance(doubt)
    shared = policy.documents == "shared" or (policy.documents == "auto" and chance("documents"))
    outlook = Outlook(
        head=head is not None and (head in view.entries or chance("head")),
        end=policy.tail == "always" or (policy.tail == "auto" and likely and trusted),
        whole=whole if trusted else None,
        again=again,
        documents=tuple(_documents(prefix)) if shared else (),
        stale=kind[1] == "history" and not likely and prefix.head - 1 in view.entries,
        changing=doubt == "clock" and not trusted and forecast.watched((scene.scope, doubt)),
    )
    return outlook, [*_watches(scene, head, doubt), *_ends(scene, end, kind, depths)]


def _watches(scene: Scene, head: int | None, doubt: Shape | None) -> Iterator[Watch]:
    """What of the head is watched: until it is known, it comes back or does not."""
    known = scene.view.entries
    if head is not None and head not in known:
        yield Watch(head, ((scene.scope, "head"),))
    whole = scene.prefix.head - 1
    if doubt is not None and whole not in known:
        yield Watch(whole, ((scene.scope, doubt),))
    for index in _documents(scene.prefix):
        if index not in known:
            yield Watch(index, ((scene.scope, "documents"),))


def _ends(scene: Scene, end: int | None, kind: Kind, depths: Mapping[int, Kind]) -> Iterator[Watch]:
    # What is below the minimum can't be written, and tells nothing of what can.
    if end is not None and scene.sizes.reaches(end, scene.rules.min_tokens):
        yield Watch(end, (kind,))
    # What is read needs no watching; what was seen and is not held may be worth a write when it returns.
    held = max(scene.view.live, default=-1)
    for index, deep in depths.items():
        if index > held:
            yield Watch(index, (deep, (scene.scope, "again")))


def branches(prefix: Prefix) -> list[int]:
    """Blocks at which requests may part: of the head, and of the message that was asked last."""
    count = len(prefix.blocks)
    last = prefix.blocks[-1].path[0] if count > prefix.head else None
    tail = [i for i in range(prefix.head, count) if prefix.blocks[i].path[0] == last]
    head = [i for i in range(prefix.head) if prefix.blocks[i].layer == "system"] or (
        [prefix.head - 1] if prefix.head else []
    )
    return [*head[-MAX_BRANCHES:], *tail[:MAX_BRANCHES]]


def _depths(scene: Scene, head: int | None, end: int | None) -> dict[int, Kind]:
    """Places seen before, by block index; those at one depth behind the head are of one kind.

    The first of many documents returns more often than the sixth.
    """
    behind = scene.prefix.head
    return {
        i: (scene.scope, f"again:{i - behind}")
        for i in scene.view.entries
        if i not in {head, end} and (i < behind or scene.policy.tail != "never" or _ends_documents(scene, i))
    }


def _ends_documents(scene: Scene, index: int) -> bool:
    return scene.prefix.blocks[index].ends == "documents"


def _doubt(prefix: Prefix) -> Shape | None:
    """What in the head may not come back; None where nothing looks like it."""
    ends = {b.ends for b in prefix.blocks[: prefix.head]}
    return "documents" if "documents" in ends else "clock" if "volatile" in ends else None


def _documents(prefix: Prefix) -> Iterator[int]:
    return (i for i, b in enumerate(prefix.blocks) if b.ends == "documents")


def _kind(scene: Scene) -> Kind:
    """The kind of a request's end. Heads that never come back are counted together."""
    prefix, view = scene.prefix, scene.view
    head = prefix.head - 1
    where = prefix.digests[head] if head in view.entries else scene.scope
    return (where, _shape(scene))


def _shape(scene: Scene) -> Shape:
    prefix, view = scene.prefix, scene.view
    blocks, head = prefix.blocks, prefix.head
    if len(blocks) == head:
        return "large"
    tools = blocks[0].layer == "tools"
    before = view.seen_from(head)
    if before is None:
        before = previous_end(prefix)
        shape: Shape = "history" if before is not None else "tools" if tools else "small_first"
    else:
        shape = "extends"
    if tools:
        return shape
    if any(b.ends == "documents" for b in blocks[head:] if b.path[0] == blocks[-1].path[0]):
        return "large"
    added = _added(scene.sizes, before, head)
    if shape == "small_first":
        return "large" if added > SMALL_SHARE else shape
    return "large_turn" if added > LARGE_SHARE else shape


def _added(sizes: Sizes, before: int | None, head: int) -> float:
    """What the request adds to what was there before, as a share of all of it."""
    total = sizes.tokens[-1]
    last = before if before is not None else head - 1
    known = sizes.tokens[last] if last >= 0 else 0
    return (total - known) / total if total else 0.0


def threshold(rules: ModelRules, policy: CachePolicy) -> float:
    """The chance of a return from which a write pays: (w - 1) / (w - r)."""
    read = rules.multipliers.get("read", 0.1)
    write = rules.multipliers.get(f"write_{policy.ttl}", rules.multipliers.get("write_5m", 1.25))
    return (write - 1) / (write - read)
