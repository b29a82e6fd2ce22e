"""What breaks a cached prefix, injected into a talk that was read until then: cause, place and kind of each."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.adapters.contract import CLAUDE, Tool

OPUS = "us.anthropic.claude-opus-4-8"
FILLER = "The pump holds four litres; the valve is on its left side, behind the grey cover. "
RULES = [f"Rule {i}: {FILLER * 2}" for i in range(40)]
STOCK = {"valve": 3, "cover": 8, "seal": 1}


def system(**lines: str) -> str:
    """The rules, with lines put in at the start, in the middle and at the end."""
    rules = RULES.copy()
    rules.insert(20, lines.get("middle", "Stock: " + json.dumps(STOCK)))
    return "\n".join([lines.get("start", "You help with pumps."), *rules, lines.get("end", "Be brief.")])


def said(i: int) -> tuple[str, str]:
    """A question and its answer, of some 500 tokens."""
    return f"Question {i}: {FILLER * 12}", f"Answer {i}: {FILLER * 12}"


def schema(**extra: str) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in extra.items()}
    return {"type": "object", "properties": properties, "required": list(properties)}


TOOLS = tuple(
    Tool(name, f"{name}: {FILLER * 3}", schema(part="its number")) for name in ("zeta", "alpha", "mid")
)


@dataclass(frozen=True)
class Talk:
    """What one call sends: `turns` are questions and answers, and `ask` the newest question."""

    system: str = field(default_factory=system)
    tools: tuple[Tool, ...] = TOOLS
    turns: tuple[tuple[str, str], ...] = ()
    ask: str = said(0)[0]
    model: str = CLAUDE
    options: dict[str, Any] = field(default_factory=dict)
    gap: float = 5.0

    def on(self) -> "Talk":
        """A turn later."""
        i = int(self.ask.split(":")[0].split()[1])
        return replace(self, turns=(*self.turns, (self.ask, said(i)[1])), ask=said(i + 1)[0])

    def but(self, **changes: Any) -> "Talk":
        return replace(self, **changes)


@dataclass(frozen=True)
class Break:
    """A break: what is injected into the last of `calls` calls, and what its miss must say.

    `start` is the talk before it; `where` and `what` are None where nothing is claimed of them.
    """

    name: str
    breaks: Callable[[Talk], Talk]
    cause: str | None
    where: str | None = None
    what: str | None = None
    start: Callable[[Talk], Talk] = lambda talk: talk
    calls: int = 4


def tools(*names_or_tools: str | Tool) -> tuple[Tool, ...]:
    by_name = {tool.name: tool for tool in TOOLS}
    return tuple(by_name[t] if isinstance(t, str) else t for t in names_or_tools)


def tool(at: int, **changes: Any) -> Callable[[Talk], Talk]:
    return lambda talk: talk.but(
        tools=(*talk.tools[:at], replace(talk.tools[at], **changes), *talk.tools[at + 1 :])
    )


def line(**lines: str) -> Callable[[Talk], Talk]:
    return lambda talk: talk.but(system=system(**lines))


def turns(change: Callable[[list], list]) -> Callable[[Talk], Talk]:
    return lambda talk: talk.but(turns=tuple(change(list(talk.turns))))


def edited(at: int, side: int, text: str) -> Callable[[Talk], Talk]:
    def change(said: list) -> list:
        pair = list(said[at])
        pair[side] = text
        return [*said[:at], tuple(pair), *said[at + 1 :]]

    return turns(change)


SYSTEM, ZETA = "system[0]", "tools[0]"
OTHER = Tool("omega", f"omega: {FILLER}", schema(part="its number"))
KEYS = dict(reversed(STOCK.items()))

BREAKS = (
    Break("another-model", lambda t: t.but(model=OPUS), "model_changed", what="another model"),
    # Tools.
    Break(
        "two-tools-swapped",
        lambda t: t.but(tools=tools("alpha", "zeta", "mid")),
        "tools_changed",
        ZETA,
        "reordered: alpha, zeta",
    ),
    Break(
        "all-tools-in-another-order",
        lambda t: t.but(tools=t.tools[::-1]),
        "tools_changed",
        ZETA,
        "reordered: mid, zeta",
    ),
    Break(
        "last-tools-swapped",
        lambda t: t.but(tools=tools("zeta", "mid", "alpha")),
        "tools_changed",
        "tools[1]",
        "reordered: mid, alpha",
    ),
    Break("tool-discovered", lambda t: t.but(tools=(*t.tools, OTHER)), "tools_changed", None, "added: omega"),
    Break(
        "tool-put-in-front", lambda t: t.but(tools=(OTHER, *t.tools)), "tools_changed", ZETA, "added: omega"
    ),
    Break("tool-removed", lambda t: t.but(tools=t.tools[:2]), "tools_changed", None, "removed: 1 of 3"),
    Break("first-tool-removed", lambda t: t.but(tools=t.tools[1:]), "tools_changed", ZETA, "removed: 1 of 3"),
    Break(
        "tool-renamed", tool(1, name="omega"), "tools_changed", "tools[1]", "added: omega; removed: 1 of 3"
    ),
    Break(
        "description-edited",
        tool(1, description="alpha: another thing"),
        "tools_changed",
        "tools[1]",
        "edited: alpha, description",
    ),
    Break(
        "clock-in-a-description",
        tool(2, description=f"mid: it is 10:31:07. {FILLER * 3}"),
        "tools_changed",
        "tools[2]",
        "a time of day",
    ),
    Break(
        "date-in-a-description",
        tool(0, description=f"zeta: as of 2026-11-26. {FILLER * 3}"),
        "tools_changed",
        ZETA,
        "a date",
    ),
    Break(
        "white-space-in-a-description",
        tool(0, description=f"zeta:  {FILLER * 3}"),
        "tools_changed",
        ZETA,
        "white space",
    ),
    Break(
        "schema-edited",
        tool(1, schema=schema(part="its number or its name")),
        "tools_changed",
        "tools[1]",
        "edited: alpha, ",
    ),
    Break(
        "parameter-added",
        tool(1, schema=schema(part="its number", shelf="where it lies")),
        "tools_changed",
        "tools[1]",
        "edited: alpha, ",
    ),
    # The system prompt.
    Break(
        "clock-at-the-start", line(start="You help. Now: 10:31:07"), "system_changed", SYSTEM, "a time of day"
    ),
    Break(
        "clock-in-the-middle", line(middle="Now it is 10:31:07."), "system_changed", SYSTEM, "a time of day"
    ),
    Break("clock-at-the-end", line(end="Be brief. It is 10:31."), "system_changed", SYSTEM, "a time of day"),
    Break(
        "date",
        line(middle="Today is 2026-11-27."),
        "system_changed",
        SYSTEM,
        "a date",
        start=line(middle="Today is 2026-11-26."),
    ),
    Break(
        "date-in-words",
        line(start="Today is Friday."),
        "system_changed",
        SYSTEM,
        "a date",
        start=line(start="Today is Thursday."),
    ),
    Break(
        "month", line(end="November 27"), "system_changed", SYSTEM, "a date", start=line(end="November 26")
    ),
    Break(
        "uuid",
        line(middle="Session 0d3e5a6e-3c1b-4f7e-9b7c-2f4f5a6b7c8d"),
        "system_changed",
        SYSTEM,
        "a UUID",
    ),
    Break("unix-time", line(middle="ts=1795000123"), "system_changed", SYSTEM, "a unix time"),
    Break("counter", line(end="Turn 4"), "system_changed", SYSTEM, start=line(end="Turn 3")),
    Break("name", line(start="You help Ada."), "system_changed", SYSTEM, start=line(start="You help Bob.")),
    Break(
        "json-keys",
        line(middle="Stock: " + json.dumps(KEYS)),
        "system_changed",
        SYSTEM,
        "the order of JSON keys",
    ),
    Break(
        "white-space",
        line(middle="Stock: " + json.dumps(STOCK, indent=1)),
        "system_changed",
        SYSTEM,
        "white space",
    ),
    Break(
        "rules-in-another-order",
        lambda t: t.but(system="\n".join([*RULES[20:], *RULES[:20]])),
        "system_changed",
        SYSTEM,
        "the order",
        start=lambda t: t.but(system="\n".join(RULES)),
    ),
    Break("sentence-added", line(end="Be brief. Be kind."), "system_changed", SYSTEM),
    Break("sentence-removed", line(end=""), "system_changed", SYSTEM),
    Break("system-removed", lambda t: t.but(system=""), "system_changed", None, "removed"),
    Break(
        "system-added",
        lambda t: t.but(system=system()),
        "system_changed",
        SYSTEM,
        "added",
        start=lambda t: t.but(system=""),
    ),
    Break(
        "fork-with-another-prompt",
        lambda t: t.but(system="You write poems. " * 200),
        "system_changed",
        SYSTEM,
        "another system prompt",
    ),
    # The history.
    Break(
        "first-turn-dropped",
        turns(lambda s: s[1:]),
        "messages_changed",
        "messages[0].content[0]",
        "history truncated: 2 blocks dropped",
    ),
    Break(
        "two-turns-dropped",
        turns(lambda s: s[2:]),
        "messages_changed",
        "messages[0].content[0]",
        "history truncated: 4 blocks dropped",
    ),
    Break(
        "window-of-two",
        turns(lambda s: s[-2:]),
        "messages_changed",
        "messages[0].content[0]",
        "history truncated",
        calls=6,
    ),
    Break(
        "middle-dropped",
        turns(lambda s: [s[0], *s[3:]]),
        "messages_changed",
        "messages[2].content[0]",
        "history truncated: 4 blocks dropped",
        calls=6,
    ),
    Break(
        "summary-of-langchain",
        turns(lambda s: [("Here is a summary of the conversation to date:\n\npumps", "I see."), *s[-2:]]),
        "messages_changed",
        "messages[0].content[0]",
        "history summarised",
        calls=6,
    ),
    Break(
        "summary-of-ones-own",
        turns(lambda s: [("So far: pumps. " + FILLER, "I see."), *s[-2:]]),
        "messages_changed",
        "messages[0].content[0]",
        "history compacted: 2 blocks in place of 6",
        calls=6,
    ),
    Break(
        "question-edited",
        edited(1, 0, "Another question. " + FILLER * 12),
        "messages_changed",
        "messages[2].content[0]",
        "a message edited",
    ),
    Break(
        "first-question-edited",
        edited(0, 0, "It is 10:31. " + FILLER * 12),
        "messages_changed",
        "messages[0].content[0]",
        "a message edited",
    ),
    Break(
        "answer-rendered-anew",
        edited(1, 1, "Answer 1: " + FILLER * 12 + "!"),
        "messages_changed",
        "messages[3].content[0]",
        "an answer rendered otherwise",
    ),
    Break(
        "turn-put-in",
        turns(lambda s: [s[0], ("By the way. " + FILLER, "Yes."), *s[1:]]),
        "messages_changed",
        "messages[2].content[0]",
        "2 blocks put into the history",
    ),
    # Time.
    Break(
        "five-minutes-later",
        lambda t: t.but(gap=301),
        "expired",
        what="301 s after the last request, 1 s too late",
    ),
    Break("an-hour-later", lambda t: t.but(gap=3_700), "expired", what="3700 s after the last request"),
    # Nothing that breaks.
    Break("healthy", lambda t: t, None),
    Break("just-in-time", lambda t: t.but(gap=290), None),
    Break("many-turns", lambda t: t, None, calls=12),
)
