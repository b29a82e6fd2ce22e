"""What kind of call a request is, and what of it is worth a write."""

from collections.abc import Iterator
from dataclasses import dataclass

from cachepoint.core.memory.mirror import View
from cachepoint.core.models.rules import TTL_SECONDS, ModelRules
from cachepoint.core.placement.forecast import Forecast, Kind, Shape
from cachepoint.core.placement.planner import Outlook, Sizes, end_of, head_of, previous_end
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
    """One request as the forecast looks at it. `scope` stands for API, region and model."""

    prefix: Prefix
    view: View
    sizes: Sizes
    rules: ModelRules
    policy: CachePolicy
    scope: bytes


def foresee(scene: Scene, forecast: Forecast) -> Outlook:
    """Sort a request into its kind, ask whether its parts are worth a write, and watch them.

    Args:
        scene: The request.
        forecast: What was learned so far; it learns from this request.
    """
    prefix, view, policy = scene.prefix, scene.view, scene.policy
    forecast.saw(prefix.digests, view.now)
    worth = threshold(scene.rules, policy)
    until = view.now + TTL_SECONDS[policy.ttl]

    def chance(shape: Shape) -> bool:
        return forecast.chance((scene.scope, shape)) > worth

    def watch(index: int | None, kind: Kind) -> None:
        if index is not None and index not in view.entries:
            forecast.watch(prefix.digests[index], kind, until)

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
    shared = policy.documents == "shared" or chance("documents")
    outlook = Outlook(
        head=head is not None and (head in view.entries or chance("head")),
        end=policy.tail == "always" or (policy.tail == "auto" and likely and trusted),
        whole=whole if trusted else None,
        again=again,
        documents=tuple(_documents(prefix)) if shared else (),
        stale=kind[1] == "history" and not likely and prefix.head - 1 in view.entries,
        changing=doubt == "clock" and not trusted and forecast.watched((scene.scope, doubt)),
    )
    watch(head, (scene.scope, "head"))
    if doubt is not None:
        watch(whole, (scene.scope, doubt))
    for index in _documents(prefix):
        watch(index, (scene.scope, "documents"))
    # What is below the minimum can't be written, and tells nothing of what can.
    if end is not None and scene.sizes.reaches(end, scene.rules.min_tokens):
        forecast.watch(prefix.digests[end], kind, until)
    for index, deep in depths.items():
        forecast.watch(prefix.digests[index], deep, until, anywhere)
    return outlook


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
        i: (scene.scope + (i - behind).to_bytes(4, "big", signed=True), "again")
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
    """The chance of a return from which a write pays: (w - 1) / (w - r), placement-theory §2.2."""
    read = rules.multipliers.get("read", 0.1)
    write = rules.multipliers.get(f"write_{policy.ttl}", rules.multipliers.get("write_5m", 1.25))
    return (write - 1) / (write - read)
