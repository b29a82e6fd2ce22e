"""What was seen of fields and settings in Claude's bodies of InvokeModel."""

from functools import partial
from typing import Any

from tests.emulator.bodies import TOOL, assistant, body, result, use, user
from tests.emulator.reported.models import FABLE, OPUS_5, OPUS_46, OPUS_47, OPUS_55, SONNET_45
from tests.emulator.reported.row import INVOKE, Row
from tests.emulator.wire import OPUS_48, SONNET, SONNET_4

EXTRA = "Extra inputs are not permitted"
SCHEMA = {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}


def without(name: str, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in body(**more).items() if key != name}


_row = partial(Row, operation=INVOKE)
ROWS = (
    _row(
        "required field",
        "immersive-translate#3993",
        "2026-07",
        SONNET,
        without("max_tokens"),
        "max_tokens: Field required",
    ),
    _row(
        "required field",
        "Anthropic Messages API",
        "2026",
        SONNET,
        without("messages"),
        "messages: Field required",
    ),
    _row(
        "required field",
        "Anthropic Messages API",
        "2026",
        SONNET,
        without("anthropic_version"),
        "anthropic_version: Field required",
        by_sense=True,
    ),
    _row(
        "version of the API",
        "boto3#4218; anthropic-sdk-python#2031",
        "2026",
        SONNET_45,
        body(anthropic_version="2026-10-21"),
        "Invalid API version: 2026-10-21",
    ),
    _row(
        "unknown field",
        "litellm#13301",
        "2025-08",
        "us.anthropic.claude-opus-4-1-20250805-v1:0",
        body(max_tokens_to_sample=9),
        f"max_tokens_to_sample: {EXTRA}",
    ),
    _row("unknown field", "AnthropicSwiftSDK#19", "2024-06", SONNET, body(model="m"), f"model: {EXTRA}"),
    _row("unknown field", "litellm#13609", "2025-08", SONNET, body(reasoning={}), f"reasoning: {EXTRA}"),
    _row(
        "beta flag",
        "litellm#19875",
        "2026-01",
        SONNET_45,
        body(anthropic_beta=["mcp-servers-2025-12-04"]),
        "invalid beta flag",
    ),
    _row(
        "beta flag",
        "claude-code#56595",
        "2026-05",
        SONNET,
        body(anthropic_beta=["extended-cache-ttl-2025-04-11"]),
        "invalid beta flag",
    ),
    _row(
        "unknown field",
        "claude-code#4378",
        "2025-07",
        SONNET,
        body(user("a"), assistant(use(text="x")), user(result()), tools=[TOOL]),
        f"messages.1.content.0.tool_use.text: {EXTRA}",
    ),
    _row(
        "output schema",
        "models.dev#1765; vercel/ai#14773",
        "2026-05",
        OPUS_47,
        body(**SCHEMA),
        f"output_config.format: {EXTRA}",
    ),
    _row(
        "output schema",
        "anthropic-sdk-python#1759",
        "2026-07",
        OPUS_48,
        body(**SCHEMA),
        f"output_config.format: {EXTRA}",
    ),
    _row("output schema", "vercel/ai#17719", "2026-07", SONNET_4, body(**SCHEMA), f"output_config: {EXTRA}"),
    _row(
        "strict tools",
        "lobehub#19876",
        "2026-09",
        OPUS_55,
        body(tools=[{**TOOL, "strict": True}]),
        f"tools.0.custom.strict: {EXTRA}",
    ),
    _row(
        "strict tools",
        "lobehub#19876",
        "2026-09",
        FABLE,
        body(tools=[{**TOOL, "strict": True}]),
        f"tools.0.custom.strict: {EXTRA}",
    ),
    _row(
        "type of a block",
        "claude-quickstarts#251",
        "2025-04",
        SONNET,
        body(user({"type": "reasoning", "text": "a"})),
        "messages.0.content.0: Input tag 'reasoning' found using 'type' does not match any of the expected tags: ",
    ),
    _row(
        "type of a block",
        "strands#1966",
        "2026",
        SONNET,
        body({"role": "user", "content": [{"text": "a"}]}),
        "messages.0.content.0.type: Field required",
    ),
    _row(
        "schema of a tool",
        "Anthropic Messages API",
        "2026",
        SONNET,
        body(tools=[{"name": "t"}]),
        "tools.0.custom.input_schema: Field required",
    ),
    _row(
        "schema of a tool",
        "Anthropic Messages API",
        "2026",
        SONNET,
        body(tools=[{**TOOL, "input_schema": {"type": "object", "properties": []}}]),
        "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
    ),
    _row(
        "bounds of a number",
        "Anthropic Messages API",
        "2026",
        SONNET,
        body(max_tokens=0),
        "max_tokens: Input should be greater than or equal to 1",
        by_sense=True,
    ),
    _row(
        "bounds of a number",
        "Anthropic Messages API",
        "2026",
        SONNET,
        body(temperature=2),
        "temperature: Input should be less than or equal to 1",
    ),
    _row("version of the API", "boto3#4218", "2024-07", SONNET, body(user("hi"))),
    _row(
        "beta flag",
        "litellm#41203",
        "2026-09",
        SONNET_45,
        body(anthropic_beta=["compact-2026-01-12", "effort-2025-11-24"]),
    ),
    _row(
        "beta flag",
        "agentgateway#3240: not through Converse",
        "2026-08",
        SONNET,
        body(anthropic_beta=["tool-search-tool-2025-10-19"]),
    ),
    _row("output schema", "vercel/ai#17719", "2026-07", OPUS_46, body(**SCHEMA)),
    _row(
        "strict tools",
        "lobehub#19876",
        "2026-09",
        OPUS_5,
        body(tools=[{**TOOL, "strict": True}]),
    ),
    _row(
        "tools of Anthropic's",
        "Anthropic docs: tools of its own",
        "2026",
        SONNET,
        body(tools=[{"type": "bash_20250124", "name": "bash"}]),
    ),
    _row(
        "bounds of a number",
        "Anthropic docs",
        "2026",
        SONNET,
        body(temperature=0, top_k=5, metadata={"user_id": "u"}),
    ),
)
