"""What was measured on Bedrock of lookback and trimming: which requests, and how far the last ones were read.

The requests are built as the framework that was measured builds them, checkpoints included. How far they were read
is all that is held: their sizes are ours. Source of each row: the guides of CacheCanary, whose scripts
(`scripts/live_*.py` of github.com/Haarris/cachecanary) ran them on Claude Sonnet 4.6 in us-west-2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from tests.emulator import bodies
from tests.emulator.reported.row import CONVERSE, INVOKE
from tests.emulator.wire import POINT, SONNET, TOOL, assistant, result, text, use, user

Read = Literal["all", "head", "nothing"]
Request = Mapping[str, Any]

LANGCHAIN = "cachecanary.com/langchain"
STRANDS = "cachecanary.com/strands"
BOUNDARY = "github.com/Haarris/cachecanary, scripts/live_lookback_boundary.py"

SYSTEM = text(2_200, "rule")["text"]
HISTORY = text(4_700, "paid")["text"]
MARK = bodies.MARK


@dataclass(frozen=True)
class Measurement:
    """Requests in their order, and what the last ones read.

    `reads` is of the last calls: all that the call before had in the cache, its head alone (tools and system), or
    nothing. `cause` is why one of them read less than all; None where it read all. `published` is what the source
    says: tokens read and written.
    """

    case: str
    source: str
    published: str
    requests: Sequence[Request]
    reads: Sequence[Read]
    cause: str | None
    operation: str = CONVERSE
    date: str = "2026-10"
    model: str = SONNET
    region: str = "us-west-2"

    def __str__(self) -> str:
        return f"{self.case}, {self.source}"


def agent(calls: int, *, lead: bool = False) -> list[dict[str, Any]]:
    """A question, so many tool calls at once, and their results."""
    spoken = [{"text": "Checking those orders."}] if lead else []
    ids = [f"tu{n}" for n in range(calls)]
    return [
        user({"text": HISTORY}),
        assistant(*spoken, *[use(one, location=one) for one in ids]),
        user(*[result(one, {"text": f"order {one} shipped. " * 8}) for one in ids]),
    ]


def marked(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "content": [*message["content"], POINT]}


def laid(
    messages: Sequence[dict[str, Any]], *, tools: bool = True, system: bool = True, before: bool = True
) -> Request:
    """Checkpoints behind tools, system, the newest message, and the message before it."""
    *past, newest = messages
    if before and past:
        past[-1] = marked(past[-1])
    return {
        "toolConfig": {"tools": [TOOL, *([POINT] if tools else [])]},
        "system": [{"text": SYSTEM}, *([POINT] if system else [])],
        "messages": [*past, marked(newest)],
    }


# BedrockPromptCachingMiddleware of langchain-aws 1.8.1, on ChatBedrockConverse.
by_middleware = laid
# The same beside a system checkpoint of the user's own: without the one on the message before the newest.
beside_own = partial(laid, tools=False, before=False)
# CacheConfig(strategy="auto") of Strands Agents 1.58.1.
by_strands = partial(laid, tools=False, before=False)


def step(lay: Any, calls: int) -> list[Request]:
    """An agent's first call, and the one with the results of so many tool calls at once."""
    messages = agent(calls)
    return [lay(messages[:1]), lay(messages)]


def invoked(calls: int) -> list[Request]:
    """The same through ChatBedrock: the system prompt as a text, one checkpoint at the end."""
    ids = [f"tu{n}" for n in range(calls)]
    asked = bodies.text(HISTORY)
    first = bodies.user({**asked, **MARK})
    said = bodies.assistant(*[bodies.use(one) for one in ids])
    results = [bodies.result(one, f"order {one} shipped. " * 8) for one in ids]
    results[-1] |= MARK
    more = {"system": SYSTEM, "tools": [bodies.TOOL]}
    return [bodies.body(first, **more), bodies.body(bodies.user(asked), said, bodies.user(*results), **more)]


def boundary(calls: int, *, lead: bool) -> list[Request]:
    """One checkpoint in the messages alone, moved over so many blocks; the system prompt is too short for one."""
    messages = agent(calls, lead=lead)
    short = {"system": [{"text": "You are a support agent."}]}
    return [{**laid(m, tools=False, system=False, before=False), **short} for m in (messages[:1], messages)]


def steps(count: int, cleared: Any) -> list[Request]:
    """An agent of one tool call a step, whose oldest results `cleared(step)` are taken out before each call."""
    requests = []
    for now in range(count + 1):
        messages = [user({"text": HISTORY})]
        for n in range(now):
            said = "[cleared]" if n < cleared(now) else f"order {n} shipped on day {n}. " * 90
            messages += [assistant(use(f"tu{n}", location=str(n))), user(result(f"tu{n}", {"text": said}))]
        requests.append(by_middleware(messages))
    return requests


def stock(now: int) -> int:
    """ClearToolUsesEdit with `keep=3`, from the seventh step on: one more at every call."""
    return now - 3 if now >= 7 else 0


def in_chunks(now: int) -> int:
    """As the guide's ClearToolUsesInChunks: five at once."""
    return (now - 3) // 5 * 5 if now >= 7 else 0


def chat(first: int, last: int, dropped: Any) -> list[Request]:
    """The questions from `first` to `last` of a chat, of whose messages `dropped(question)` are gone."""
    messages = []
    requests = []
    for n in range(last + 1):
        begin = f"{HISTORY} " if n == 0 else ""
        messages.append(user({"text": f"{begin}Question {n}: summarise order batch {n}."}))
        if n >= first:
            requests.append(by_strands(messages[dropped(n) :]))
        messages.append(assistant(text(700, f"{n:03}")))
    return requests


def window(question: int) -> int:
    """SlidingWindowConversationManager, 40 messages: from the 22nd question on two more are gone at each."""
    return max(0, 2 * question - 40)


def trimmed(question: int) -> int:
    """The guide's TrimInChunks: at 42 messages down to 20."""
    return 22 if question >= 21 else 0


ALL: tuple[Read, ...] = ("all",)
HEAD: tuple[Read, ...] = ("head",)
NOTHING: tuple[Read, ...] = ("nothing",)
_langchain = partial(Measurement, source=LANGCHAIN, date="2026-10-07")
_strands = partial(Measurement, source=STRANDS)
BEYOND, CHANGED = "lookback_exceeded", "messages_changed"

# Blocks between the checkpoints of two calls: tool calls, a text in front of them.
GAPS = {19: (9, True), 20: (10, False), 21: (10, True), 22: (11, False), 23: (11, True), 24: (12, False)}

MEASURED: tuple[Measurement, ...] = (
    _langchain(
        "ChatBedrockConverse and the middleware, 21 tool calls at once",
        published="read 6,930, wrote 3,708",
        requests=step(by_middleware, 21),
        reads=ALL,
        cause=None,
    ),
    _langchain(
        "ChatBedrockConverse and the middleware, 22 tool calls at once",
        published="read 2,222 (system prompt only), wrote 8,587",
        requests=step(by_middleware, 22),
        reads=HEAD,
        cause=BEYOND,
    ),
    _langchain(
        "ChatBedrock, 10 tool calls at once",
        published="read 6,930, wrote 1,783",
        requests=invoked(10),
        reads=ALL,
        cause=None,
        operation=INVOKE,
    ),
    _langchain(
        "ChatBedrock, 11 tool calls at once",
        published="read 0, wrote 8,890",
        requests=invoked(11),
        reads=NOTHING,
        cause=BEYOND,
        operation=INVOKE,
    ),
    _langchain(
        "the middleware alone, 11 tool calls at once",
        published="read 6,934, wrote 1,958",
        requests=step(by_middleware, 11),
        reads=ALL,
        cause=None,
    ),
    _langchain(
        "a system checkpoint of one's own and the middleware, 11 tool calls at once",
        published="read 2,226 (system prompt only), wrote 6,666",
        requests=step(beside_own, 11),
        reads=HEAD,
        cause=BEYOND,
    ),
    _strands(
        "auto, 10 tool calls at once",
        published="read 6,933, wrote 1,783",
        requests=step(by_strands, 10),
        reads=ALL,
        cause=None,
    ),
    _strands(
        "auto, 11 tool calls at once",
        published="read 2,221 (system prompt only), wrote 6,662",
        requests=step(by_strands, 11),
        reads=HEAD,
        cause=BEYOND,
    ),
    _langchain(
        "tool results that stay, step 12",
        published="read 13,834, wrote 627",
        requests=steps(12, lambda _: 0),
        reads=ALL,
        cause=None,
    ),
    _langchain(
        "ClearToolUsesEdit, step 12",
        published="read 2,225, wrote 7,212",
        requests=steps(12, stock),
        reads=HEAD,
        cause=CHANGED,
    ),
    _langchain(
        "ClearToolUsesInChunks(chunk=5), step 12",
        published="read 11,044, wrote 627",
        requests=steps(12, in_chunks),
        reads=ALL,
        cause=None,
    ),
    _strands(
        "a window of 40 messages, from the 22nd question on",
        published="read 2,225, wrote 15,871, on every turn",
        requests=chat(19, 25, window),
        reads=HEAD * 5,
        cause=CHANGED,
    ),
    _strands(
        "trimmed from 40 messages to 20 at once, from the 23rd question on",
        published="read 10,323, 11,100, 11,877, 12,654, wrote 777 on each",
        requests=chat(19, 25, trimmed),
        reads=ALL * 4,
        cause=None,
    ),
    *(
        Measurement(
            f"{gap} blocks between two checkpoints",
            source=BOUNDARY,
            published="a hit" if gap <= 21 else "a miss",
            requests=boundary(calls, lead=lead),
            reads=ALL if gap <= 21 else NOTHING,
            cause=None if gap <= 21 else BEYOND,
        )
        for gap, (calls, lead) in GAPS.items()
    ),
)
