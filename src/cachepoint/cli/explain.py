"""`cachepoint explain`: why a request reads less of what the one before it wrote."""

import json
import time
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from cachepoint.cli.check.rules import LOOKBACK, Checked
from cachepoint.cli.check.saved import Saved, load
from cachepoint.cli.faults import echo, told
from cachepoint.cli.named import complete
from cachepoint.core.accounting import pricing
from cachepoint.core.accounting.diagnosis.remedies import remedy
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.drawing.words import counted
from cachepoint.core.prompt.differences import Difference, difference
from cachepoint.core.prompt.parts import same
from cachepoint.core.prompt.prefix import place

_BROKEN, _NO_REQUEST = 1, 2
_LAYERS = ("tools", "system", "messages")


class Told(NamedTuple):
    """What keeps the second request from reading the first.

    Attributes:
        cause: A word of a report's miss.
        where: The place in the request.
        detail: What moved.
        lost: Estimated tokens of the first request that the second can't read.
        dollars: What they cost more than if they were read; None where no price is known.
        remedy: What to do.
        difference: The first difference; None where it is not in the prompt.
    """

    cause: str
    where: str
    detail: str
    lost: int
    dollars: Decimal | None
    remedy: str
    difference: Difference | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        money = None if self.dollars is None else float(self.dollars)
        apart = None if self.difference is None else asdict(self.difference)
        return {**self._asdict(), "dollars": money, "difference": apart}


def command(
    before: Annotated[Path, typer.Argument(help="The request that was sent before, as JSON.")],
    after: Annotated[Path, typer.Argument(help="The one that should have read it.")],
    model: Annotated[
        str | None,
        typer.Option("--model", help="The model, where the requests name none.", autocompletion=complete),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    show_text: Annotated[
        bool, typer.Option("--show-text", help="Show some characters of the prompts where they differ.")
    ] = False,
) -> None:
    """Say what keeps a request from reading what another wrote: exit code 1 where something does."""
    try:
        with told():
            one, other = load(before, model), load(after, model)
    except typer.Exit as ended:
        raise typer.Exit(_NO_REQUEST) from ended
    found = explain(one, other, show=show_text)
    if as_json:
        typer.echo(json.dumps(None if found is None else found.as_dict(), indent=2))
    else:
        for line in _lines(found):
            echo(line)
    if found is not None:
        raise typer.Exit(_BROKEN)


def explain(before: Saved, after: Saved, *, show: bool = False) -> Told | None:
    """What keeps a request from reading what the one before it wrote; None where nothing does."""
    tokens = Checked.of(before).tokens
    total = tokens[-1] if tokens else 0
    if (before.model, before.dialect) != (after.model, after.dialect):
        kind = "model" if before.model != after.model else "API"
        return _told("model_changed", "request", f"another {kind}", total, after, kind)
    everything, messages = _settings(before, after)
    if everything:
        return _told(
            "settings_changed", "request", f"{', '.join(everything)}: all of it is lost", total, after
        )
    apart = difference(before.reading.raw, after.reading.raw, show=show)
    if messages and (apart is None or apart.layer == "messages"):
        lost = total - _upto(before, tokens, "messages")
        return _told(
            "settings_changed", "messages", "tool_choice: the messages are lost", lost, after, "tool_choice"
        )
    if apart is None:
        return _unreachable(before, after, tokens)
    lost = total - _kept(before, after, tokens)
    found = _told(
        f"{apart.layer}_changed", apart.where, _detail(apart), lost, after, apart.kind or apart.change
    )
    return found._replace(difference=apart)


def _unreachable(before: Saved, after: Saved, tokens: tuple[int, ...]) -> Told | None:
    """The same prefix is not read where no checkpoint asks for it, or from too far."""
    wrote, asks = _marked(before), _marked(after)
    if not wrote and not asks:
        # They were saved before the library placed any.
        return None
    if not wrote or not asks:
        which = "the second" if wrote else "the first"
        lost = tokens[wrote[-1]] if wrote else tokens[-1]
        return _told("not_marked", "request", f"{which} request has no checkpoint", lost, after)
    last = wrote[-1]
    if any(0 <= i - last <= LOOKBACK for i in asks):
        return None
    behind = next((i for i in asks if i > last), None)
    if behind is None:
        lost = tokens[last] - tokens[max((i for i in asks if i in wrote), default=0)]
        detail = "truncated: it ends before the last checkpoint of the first"
        return _told(
            "messages_changed", _where(after, len(after.reading.raw) - 1), detail, lost, after, "truncated"
        )
    far = counted(behind - last, "block")
    detail = f"{far} behind the last checkpoint of the first; {LOOKBACK} are looked back"
    return _told("lookback_exceeded", _where(after, behind), detail, tokens[last], after)


def _where(saved: Saved, index: int) -> str:
    block = saved.reading.raw[index]
    return place(block.layer, block.path)


def _marked(saved: Saved) -> list[int]:
    return [i for i, block in enumerate(saved.reading.raw) if block.mark is not None]


def _settings(before: Saved, after: Saved) -> tuple[list[str], bool]:
    """The names of settings that lose everything, and whether one changed that loses the messages."""
    one, other = dict(before.reading.settings), dict(after.reading.settings)
    names = sorted(name for name in {**one, **other} if one.get(name) != other.get(name))
    return [n for n in names if n != "tool_choice" or after.rules.is_nova], "tool_choice" in names


def _kept(before: Saved, after: Saved, tokens: tuple[int, ...]) -> int:
    """Estimated tokens of the blocks that both requests begin with."""
    pairs = zip(before.reading.raw, after.reading.raw, strict=False)
    apart = (i for i, (a, b) in enumerate(pairs) if a.role != b.role or not same(a.payload, b.payload))
    count = next(apart, min(len(before.reading.raw), len(after.reading.raw)))
    return tokens[count - 1] if count else 0


def _upto(saved: Saved, tokens: tuple[int, ...], layer: str) -> int:
    count = sum(block.layer != layer for block in saved.reading.raw)
    return tokens[count - 1] if count else 0


def _detail(apart: Difference) -> str:
    names = f": {', '.join(apart.names)}" if apart.names else ""
    return f"{apart.change}{names}" + (f", {apart.kind}" if apart.kind else "")


def _told(cause: str, where: str, detail: str, lost: int, after: Saved, kind: str = "") -> Told:
    cost = [
        pricing.cost(usage, after.model, time.time())
        for usage in (Usage(write_tokens=lost, write_5m_tokens=lost), Usage(read_tokens=lost))
    ]
    dollars = None if cost[0] is None or cost[1] is None else cost[0] - cost[1]
    return Told(cause, where, detail, lost, dollars, remedy(cause, kind))


def _lines(found: Told | None) -> list[str]:
    if found is None:
        return ["the second request goes on from the first: nothing keeps it from being read"]
    apart = found.difference
    at = "" if apart is None or apart.at is None else f", character {apart.at:,}"
    money = "" if found.dollars is None else f", ${found.dollars:,.6f}"
    lines = [
        f"{found.cause} at {found.where}{at}: {found.detail}",
        f"  written anew instead of read: about {counted(found.lost, 'token')}{money}",
        f"  {found.remedy}",
    ]
    shown = () if apart is None else (("before", apart.before), ("now", apart.after))
    return lines + [f"  {name}: {text!r}" for name, text in shown if text is not None]
