"""One page that opens without a network: what the cache saved, and where it broke."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from html import escape
from importlib.resources import files
from itertools import islice
from string import Template

from cachepoint.core.accounting.money import dollars, minus, over
from cachepoint.core.drawing.words import counted
from cachepoint.observers import charts
from cachepoint.reporting.pictures import (
    KINDS,
    broke,
    called,
    legend,
    moment,
    nearness,
    parts,
    percent,
    size,
    stack,
    together,
    unsaid,
)
from cachepoint.reporting.rows import Row
from cachepoint.reporting.tally import Conversation, Loss, Sums, Tally

_BARS = 5_000
_OPEN_CARDS = 18
_LOSSES = 6
_NAMED = 3
_DAY = len("2026-11-22")
_ALONE = 120

_WORDS = {
    "model_changed": "the conversation went on with another model",
    "tools_changed": "the list of tools is not what it was",
    "system_changed": "the system prompt is not what it was",
    "messages_changed": "an earlier message is not what it was",
    "settings_changed": "a setting that the cache depends on was changed, such as thinking or effort",
    "first_write": "nothing of this prompt had been sent before",
    "expired": "the entry's time to live had passed",
    "below_minimum": "the prompt is shorter than the model caches",
    "lookback_exceeded": "more blocks were added than Bedrock looks back over",
    "in_flight": "another call was still writing it",
    "evicted_or_rerouted": "Bedrock no longer held it, or sent the call to another Region",
    "not_marked": "no checkpoint was placed",
}


def page(tally: Tally, title: str = "Prompt caching report", more: Iterable[str] = ()) -> str:
    """The page: a whole HTML document, without scripts and without anything from elsewhere.

    Args:
        tally: The calls; of a session, `session.tally`.
        title: Its heading.
        more: Sections of HTML in front of the table of models.
    """
    sections = (
        _head(tally, title),
        _tiles(tally),
        *(f'<p class="soft">{line}.</p>' for line in nearness(tally.bound, tally.sums.calls)),
        f'<div class="two">{charts.cost(tally)}{charts.hits(tally)}</div>',
        _tokens(tally),
        _losses(tally),
        _conversations(tally),
        *more,
        table("By model", "model", tally.by_model),
        _foot(tally),
    )
    return _template().substitute(title=escape(title), body="\n".join(filter(None, sections)))


@lru_cache(maxsize=1)
def _template() -> Template:
    return Template(files("cachepoint.observers").joinpath("page.html").read_text("utf-8"))


def _head(tally: Tally, title: str) -> str:
    if tally.first is None or tally.last is None:
        calls = f"{counted(tally.sums.calls, 'call')} at unknown times" if tally.sums.calls else "No calls."
        return f"<h1>{escape(title)}</h1><p class=soft>{calls}</p>"
    began, ended = moment(tally.first)[:-3], moment(tally.last)[:-3]
    same = began[:_DAY] == ended[:_DAY]
    calls = f"{counted(tally.sums.calls, 'call')}, {began} to {ended[_DAY:].strip() if same else ended} UTC"
    return f'<h1>{escape(title)}</h1><p class="soft">{calls}</p>'


def _tiles(tally: Tally) -> str:
    sums, factor = tally.sums, tally.rewrite_factor
    quota, (paid, full) = tally.quota_tokens, sums.money or (None, None)
    saved = None if paid is None or full is None else minus(full, paid)
    share = None if saved is None or not full else over(saved, full)
    tiles = (
        ("Lost" if saved is not None and saved < 0 else "Saved", _abs(saved), _of_bill(share)),
        ("Paid", dollars(paid), _priced(sums)),
        ("Without a cache", dollars(full), "the same tokens, all fresh"),
        ("Hit share", percent(sums.usage.hit_share), "of input tokens were read"),
        ("Re-write factor", "none" if factor is None else f"{factor:.2f}", "each text written once is 1"),
        ("Quota", "unknown" if quota is None else short(quota), "tokens counted; reads are not"),
    )
    return '<dl class="tiles">' + "".join(_tile(*tile) for tile in tiles) + "</dl>"


def _tile(name: str, figure: str, note: str) -> str:
    return f"<div><dt>{name}</dt><dd>{figure}</dd><dd>{note}</dd></div>"


def _abs(amount: Decimal | None) -> str:
    return dollars(None if amount is None else amount.copy_abs())


def _of_bill(share: Decimal | None) -> str:
    if share is None:
        return "no price is known"
    return f"{share.copy_abs():.0%} {'off' if share >= 0 else 'more than'} the bill without"


def _priced(sums: Sums) -> str:
    missing = sums.calls - sums.priced
    return (
        "input and output" if not missing else f"without {counted(missing, 'call')} of unknown price or usage"
    )


def _tokens(tally: Tally) -> str:
    usage = tally.sums.usage
    if not usage.input_tokens:
        return ""
    shares = [(kind, n, n / usage.input_tokens) for kind, n in zip(KINDS, parts(usage), strict=True)]
    bar = "".join(f'<div style="flex:{n};background:var(--{kind[0]})"></div>' for kind, n, _ in shares if n)
    rows = "".join(
        f'<span><i style="background:var(--{name})"></i><b>{label}</b> '
        f"{'unknown' if unsaid(name, usage) else f'{n:,} ({share:.1%})'}</span>"
        for (name, label), n, share in shares
    )
    return (
        f"<h2>{usage.input_tokens:,} input tokens</h2>"
        f'<div class="share">{bar}</div><div class="legend">{rows}</div>'
        f'<p class="soft">and {usage.output_tokens:,} output tokens, which no cache changes.</p>'
    )


def _losses(tally: Tally) -> str:
    if not tally.waste:
        return ""
    priced = sorted(
        ((loss, loss.row.dearer(loss.tokens)) for loss in tally.losses), key=_by_money, reverse=True
    )
    causes = sorted(tally.waste.items(), key=lambda item: (-item[1].tokens, -item[1].calls))
    most = max(waste.tokens for _, waste in causes) or 1
    rows = "".join(
        f"<tr><td><b>{escape(cause)}</b> <small>{_WORDS.get(cause, '')}</small></td><td>{waste.calls:,}</td>"
        f'<td>{waste.tokens:,}</td><td style="width:24%"><div style="height:.7em;background:var(--miss);'
        f'width:{waste.tokens * 100 / most:.1f}%"></div></td></tr>'
        for cause, waste in causes
    )
    return (
        "<h2>What was lost, by cause</h2>"
        '<div class="wide"><table><tr><th>cause</th><th>calls</th>'
        "<th>tokens lost</th><th></th></tr>"
        f"{rows}</table></div>" + _largest(priced)
    )


def _largest(priced: Sequence[tuple[Loss, Decimal | None]]) -> str:
    if not priced:
        return ""
    items = "".join(_loss(loss, amount) for loss, amount in islice(priced, _LOSSES))
    return f'<h2>The largest losses</h2><ul class="rows">{items}</ul>'


def _by_money(priced: tuple[Loss, Decimal | None]) -> tuple[Decimal, int]:
    loss, amount = priced
    return amount or Decimal(), loss.tokens


def _loss(loss: Loss, amount: Decimal | None) -> str:
    row = loss.row
    where = f" at <code>{escape(row.where)}</code>" if row.where else ""
    place = "" if row.conversation is None else f", conversation <code>{escape(row.conversation)}</code>"
    money = "" if amount is None else f" <b>{dollars(amount)}</b>"
    return (
        f"<li><div>{counted(loss.tokens, 'token')}{money}</div><div><b>{escape(row.cause or '')}</b>{where}: "
        f"{_WORDS.get(row.cause or '', 'no cause is known')}<br><small>{moment(row.at)}{place}, "
        f"{escape(row.model)}</small></div></li>"
    )


def _conversations(tally: Tally) -> str:
    cards = list(_cards(tally))
    if not cards:
        return ""
    drawn = [_card(one) for one in cards]
    hidden = drawn[_OPEN_CARDS:]
    more = (
        f'<details><summary>{len(hidden)} more</summary><div class="cards">{"".join(hidden)}</div></details>'
        if hidden
        else ""
    )
    kept = (
        ""
        if tally.complete
        else " Of so many calls, those of the conversations that lost most and of the latest are kept."
    )
    return (
        "<h2>Conversations, call by call</h2>"
        "<p>A bar is a call, as high as its input. A healthy conversation is blue with a thin cap: what was "
        "said before is read, and only what is new is written. Where the blue falls away, the cache broke; "
        f"the mark below says so.{kept}</p>"
        f'<div class="legend">{legend()}</div><div class="cards">{"".join(drawn[:_OPEN_CARDS])}</div>{more}'
    )


def _cards(tally: Tally) -> Iterator[Conversation]:
    """Conversations, most lost first, while there is room; those of a single call share cards."""
    left = _BARS
    alone: list[Row] = []
    for one in tally.conversations:
        if one.calls == 1:
            alone.extend(one.rows)
        elif len(one.rows) <= left:
            left -= len(one.rows)
            yield one
    alone.sort(key=lambda row: row.at)
    for start in range(0, min(len(alone), left), _ALONE):
        yield together(alone[start : start + _ALONE])


def _card(one: Conversation) -> str:
    largest = max(row.usage.input_tokens for row in one.rows)
    title = f"<b>{escape(called(one))}</b>, {size(one)} from {moment(one.rows[0].at)[:-3]}"
    lost = f"<span>{counted(one.lost, 'token')} lost{_breaks(one)}</span>" if one.lost else ""
    return (
        f'<figure><div class="plot"><em>{counted(largest, "token")}</em>{stack(one.rows)}</div>'
        f"<figcaption>{title}{lost}</figcaption></figure>"
    )


def _breaks(one: Conversation) -> str:
    broken = [(n, row) for n, row in enumerate(one.rows, one.calls - len(one.rows) + 1) if broke(row)]
    named = ", ".join(f"{escape(row.cause or '')} in call {n}" for n, row in broken[:_NAMED])
    more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    return f": {named}{more}" if broken else ""


def table(title: str, name: str, sums: Mapping[str, Sums]) -> str:
    """A table of sums by name; nothing where there are none."""
    if not sums:
        return ""
    heads = ("calls", "input", "read", "written", "fresh", "output", "paid", "saved")
    rows = "".join(_model(name, one) for name, one in sorted(sums.items(), key=_busiest))
    return (
        f'<h2>{escape(title)}</h2><div class="wide"><table><tr><th>{escape(name)}</th>'
        f"{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table></div>"
    )


def _busiest(item: tuple[str, Sums]) -> int:
    return -item[1].usage.input_tokens


def _model(name: str, sums: Sums) -> str:
    usage, money = sums.usage, sums.money
    paid, saved = (None, None) if money is None else (money[0], minus(money[1], money[0]))
    counts = (
        f"{sums.calls:,}",
        f"{usage.input_tokens:,}",
        _known(usage.read_tokens),
        _known(usage.write_tokens),
        f"{usage.uncached_tokens:,}",
        f"{usage.output_tokens:,}",
        dollars(paid),
        dollars(saved),
    )
    cells = "".join(f"<td>{text}</td>" for text in counts)
    return f"<tr><td><code>{escape(name)}</code></td>{cells}</tr>"


def _known(tokens: int | None) -> str:
    return "unknown" if tokens is None else f"{tokens:,}"


def short(number: int) -> str:
    """A large number in few letters."""
    for limit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= limit:
            return f"{number / limit:,.1f} {name}"
    return str(number)


def _foot(tally: Tally) -> str:
    unpriced = tally.sums.calls - tally.sums.priced
    missing = f" Not in the money: {counted(unpriced, 'call')} of unknown price or usage." if unpriced else ""
    return (
        "<footer><p>Tokens are what Bedrock reported. Money is computed from them with list prices of each "
        f"call's day, in US dollars; it is not the bill.{missing} Tokens lost are what a call paid for again "
        "though it had been in the cache, or what the report says it could have read.</p><p>Made by "
        "<code>cachepoint report</code>. No prompt text is in the reports, nor in this page.</p></footer>"
    )
