"""What was seen of conversations in Claude's bodies of InvokeModel."""

from functools import partial

from tests.emulator.bodies import TOOL, assistant, body, result, text, use, user
from tests.emulator.reported.models import OPUS_47, SONNET_45
from tests.emulator.reported.row import INVOKE, Row
from tests.emulator.wire import HAIKU, OPUS_48, SONNET, SONNET_4

THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
WITHOUT_RESULT = (
    "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: {}."
    " Each `tool_use` block must have a corresponding `tool_result` block in the next message."
)
UNEXPECTED = 'messages: Unexpected role "{}". {}'
TOP = 'The Messages API accepts a top-level `system` parameter, not "system" as an input message role.'


_row = partial(Row, operation=INVOKE)
ROWS = (
    _row(
        "empty text",
        "continue#11045",
        "2026-03",
        SONNET,
        body(user("a", "")),
        "messages: text content blocks must be non-empty",
    ),
    _row(
        "empty text in a tool result",
        "hermes-agent#55092",
        "2026-06",
        SONNET_45,
        body(user("a"), assistant(use()), user(result(content=[text("")])), tools=[TOOL]),
        "messages: text content blocks must be non-empty",
    ),
    _row(
        "text of white space",
        "hermes-agent#61318",
        "2026-07",
        SONNET,
        body(user("a", " \n")),
        "messages: text content blocks must contain non-whitespace text",
    ),
    _row(
        "no message",
        "Anthropic Messages API",
        "2026",
        SONNET,
        {**body(), "messages": []},
        "messages: at least one message is required",
    ),
    _row(
        "empty content",
        "Anthropic Messages API",
        "2026",
        SONNET,
        body({"role": "user", "content": []}, assistant("a"), user("b")),
        "messages.0: all messages must have non-empty content except for the optional final assistant message",
    ),
    _row(
        "call without a result",
        "claude-code#7929",
        "2025-09",
        SONNET,
        body(user("a"), assistant(use()), user("b"), tools=[TOOL]),
        WITHOUT_RESULT.format("c1"),
    ),
    _row(
        "call without a result",
        "claude-code#8210",
        "2025-09",
        SONNET,
        body(user("a"), assistant(use("c1"), use("c2")), user(result("c1")), tools=[TOOL]),
        WITHOUT_RESULT.format("c2"),
    ),
    _row(
        "call without a result",
        "claude-code#7929",
        "2025-09",
        SONNET_45,
        body(user("a"), assistant(use()), tools=[TOOL]),
        WITHOUT_RESULT.format("c1"),
    ),
    _row(
        "result without a call",
        "claude-code#13460",
        "2025-12",
        SONNET,
        body(user("a"), assistant("b"), user(result("c9")), tools=[TOOL]),
        "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: c9."
        " Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
    ),
    _row(
        "prefill",
        "hermes-agent#101401",
        "2026-09",
        SONNET,
        body(user("a"), assistant("b")),
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    _row(
        "prefill with tools",
        "collmbo#12",
        "2024-10",
        HAIKU,
        body(user("a"), assistant("b"), tools=[TOOL]),
        "Your API request included an `assistant` message in the final position, which would pre-fill the"
        " `assistant` response. When using tools, pre-filling the `assistant` response is not supported.",
    ),
    _row(
        "prefill that ends in white space",
        "langchain-aws#532",
        "2025-07",
        HAIKU,
        body(user("a"), assistant("b ")),
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    _row(
        "thinking with a forced tool",
        "langchain-aws#925",
        "2026-03",
        SONNET_45,
        body(tools=[TOOL], tool_choice={"type": "any"}, **THINKING),
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    _row(
        "budget of thinking",
        "claude-code#49238",
        "2026-04",
        OPUS_47,
        body(**THINKING),
        '"thinking.type.enabled" is not supported for this model.'
        ' Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.',
    ),
    _row(
        "thinking without a signature",
        "llama_index#20851",
        "2026-03",
        SONNET_4,
        body(user("a"), assistant({"type": "thinking", "thinking": "t"}, "b"), user("c")),
        "messages.1.content.0.thinking.signature: Field required",
    ),
    _row(
        "thinking with a wrong signature",
        "bifrost#6942",
        "2026-09",
        SONNET,
        body(user("a"), assistant({"type": "thinking", "thinking": "t", "signature": ""}, "b"), user("c")),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    _row(
        "role",
        "litellm#32578",
        "2026-07",
        SONNET,
        body(user("a"), {"role": "system", "content": "s"}),
        UNEXPECTED.format("system", TOP),
    ),
    _row(
        "role",
        "litellm#32578",
        "2026-07",
        HAIKU,
        body(user("a"), {"role": "system", "content": "s"}),
        UNEXPECTED.format("system", TOP),
    ),
    _row(
        "role",
        "Anthropic Messages API",
        "2026",
        SONNET,
        body(user("a"), {"role": "tool", "content": "s"}),
        UNEXPECTED.format("tool", 'Allowed roles are "user" or "assistant".'),
        by_sense=True,
    ),
    _row("role", "litellm#32578", "2026-07", OPUS_48, body(user("a"), {"role": "system", "content": "s"})),
    _row("prefill", "phoenix#15392: before 4.6", "2026-08", HAIKU, body(user("a"), assistant("b"))),
    _row("text of white space", "pydantic-ai recording", "2026-08", SONNET_45, body(user("a", "\n"))),
    _row(
        "budget of thinking",
        "claude-code#49238",
        "2026-04",
        OPUS_47,
        body(thinking={"type": "adaptive"}, output_config={"effort": "high"}),
    ),
    _row(
        "thinking with a forced tool",
        "langchain-aws#925",
        "2026-03",
        SONNET_45,
        body(tools=[TOOL], tool_choice={"type": "auto"}, **THINKING),
    ),
    _row("two user turns", "recordings", "2026", SONNET, body(user("a"), user("b"))),
    _row(
        "call without a result",
        "Anthropic docs",
        "2026",
        SONNET,
        body(user("a"), assistant(use()), user(result(is_error=True), "b"), tools=[TOOL]),
    ),
    _row(
        "call without a result",
        "Anthropic docs",
        "2026",
        SONNET,
        body(
            user("a"),
            assistant(use()),
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1"}]},
            tools=[TOOL],
        ),
    ),
)
