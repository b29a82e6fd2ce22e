"""What was seen of checkpoints in Claude's bodies of InvokeModel."""

from functools import partial
from typing import Any

from tests.emulator.bodies import HOUR, MARK, TOOL, assistant, body, result, text, use, user
from tests.emulator.reported.models import HAIKU_3, OPUS_46, OPUS_47
from tests.emulator.reported.row import INVOKE, Row
from tests.emulator.wire import HAIKU, OPUS_48, SONNET, SONNET_4

EXTRA = "Extra inputs are not permitted"
ORDER = (
    "{}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block."
    " Note that blocks are processed in the following order: `tools`, `system`, `messages`."
)


def marks(count: int) -> dict[str, Any]:
    return user(*(text(str(n), **MARK) for n in range(count)))


_row = partial(Row, operation=INVOKE)
ROWS = (
    _row("automatic caching", "pydantic-ai", "2026-10-16", HAIKU, body(**MARK), f"cache_control: {EXTRA}"),
    _row(
        "automatic caching",
        "litellm#26320: before Opus 4.7",
        "2026-07",
        OPUS_46,
        body(**MARK),
        f"cache_control: {EXTRA}",
    ),
    _row(
        "checkpoint on thinking",
        "sub2api#225; inspect_ai#3967",
        "2026-05",
        SONNET,
        body(
            user("a"),
            assistant({"type": "thinking", "thinking": "t", "signature": "c2ln", **MARK}, "b"),
            user("c"),
        ),
        f"messages.1.content.0.thinking.cache_control: {EXTRA}",
    ),
    _row(
        "scope of a checkpoint",
        "LiteLLM 1.109.1: no scope on Bedrock",
        "2026-11",
        SONNET,
        body(system=[text("a", cache_control={"type": "ephemeral", "scope": "global"})]),
        f"system.0.cache_control.ephemeral.scope: {EXTRA}",
    ),
    _row(
        "1h where there is none",
        "litellm#15880; earendil-works/pi#1570",
        "2026-02",
        SONNET_4,
        body(tools=[{**TOOL, **HOUR}]),
        f"tools.0.custom.cache_control.ephemeral.ttl: {EXTRA}",
    ),
    _row(
        "ttl that there is not",
        "Anthropic Messages API",
        "2026",
        SONNET,
        body(system=[text("a", cache_control={"type": "ephemeral", "ttl": "2h"})]),
        "system.0.cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
        by_sense=True,
    ),
    _row(
        "checkpoint on a model without",
        "earendil-works/pi#7938",
        "2026-08",
        HAIKU_3,
        body(system=[text("a", **MARK)]),
        f"system.0.cache_control: {EXTRA}",
    ),
    _row(
        "more than four checkpoints",
        "many threads",
        "2026",
        SONNET,
        body(marks(5)),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    _row(
        "more than four checkpoints",
        "many threads: one on a part of a result counts",
        "2026",
        SONNET,
        body(
            user("a"),
            assistant(use()),
            {"role": "user", "content": [result(content=[text("x", **MARK), text("y", **MARK)], **MARK)]},
            assistant("b"),
            marks(2),
            tools=[TOOL],
        ),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    _row(
        "1h behind 5m",
        "strands#3677",
        "2026-08",
        SONNET,
        body(user(text("a", **HOUR)), system=[text("s", **MARK)]),
        ORDER.format("messages.0.content.0"),
    ),
    _row(
        "1h behind 5m",
        "Portkey gateway#1762: on a part of a result too",
        "2026",
        SONNET,
        body(
            user("a"),
            assistant(use()),
            user(result(content=[text("x", **MARK)]), text("y", **HOUR)),
            tools=[TOOL],
        ),
        ORDER.format("messages.2.content.1"),
    ),
    _row(
        "checkpoint on an empty text",
        "hermes-agent#1216",
        "2026-03",
        SONNET,
        body(user("a", text("", **MARK))),
        "messages.0.content.1.text: cache_control cannot be set for empty text blocks",
    ),
    _row(
        "checkpoint on an empty text",
        "Anthropic's batch API",
        "2026",
        SONNET,
        body(system=[text("", **MARK)]),
        "system.0: cache_control cannot be set for empty text blocks",
    ),
    _row("automatic caching", "pydantic-ai", "2026-10-16", OPUS_48, body(**MARK)),
    _row("automatic caching", "pydantic-ai", "2026-10-16", OPUS_47, body(**HOUR)),
    _row("more than four checkpoints", "many threads", "2026", SONNET, body(marks(4))),
    _row(
        "1h behind 5m",
        "Anthropic docs",
        "2026",
        SONNET,
        body(user(text("a", **MARK)), system=[text("s", **HOUR)], tools=[{**TOOL, **HOUR}]),
    ),
    _row(
        "ttl that there is not",
        "Anthropic docs: null is none",
        "2026",
        SONNET,
        body(user(text("a", cache_control=None))),
    ),
    _row(
        "ttl that there is not",
        "pydantic-ai recording",
        "2026-08",
        HAIKU,
        body(user(text("a", cache_control={"type": "ephemeral", "ttl": "5m"}))),
    ),
    _row(
        "optimized latency with a checkpoint",
        "boto3#4626",
        "2025-09",
        HAIKU,
        body(system=[text("s", **MARK)]),
        f"system.0.cache_control: {EXTRA}",
        more={"performanceConfigLatency": "optimized"},
    ),
    _row(
        "optimized latency with a checkpoint",
        "boto3#4626",
        "2025-09",
        HAIKU,
        body(),
        more={"performanceConfigLatency": "optimized"},
    ),
)
