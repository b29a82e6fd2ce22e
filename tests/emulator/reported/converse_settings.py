"""What was seen of tools, calls and settings of Converse."""

from functools import partial

from cachepoint.emulator import Guardrail
from tests.emulator.reported.models import FABLE, OPUS_5, OPUS_46, OPUS_47, SONNET_5, SONNET_45
from tests.emulator.reported.row import Row
from tests.emulator.reported.shapes import (
    IMAGE,
    OUTPUT,
    SAY,
    STRICT,
    THINKING,
    TOOLS,
    additional,
    called,
    choosing,
    gave,
    guarded,
    named,
    said,
    turns,
)
from tests.emulator.wire import (
    LLAMA,
    NOVA,
    OPUS_48,
    POINT,
    SONNET,
    SONNET_4,
    assistant,
    result,
    use,
    user,
)

MODEL = "The model returned the following errors: "
EXTRA = "Extra inputs are not permitted"
FORCED = f"{MODEL}Thinking may not be enabled when tool_choice forces tool use."
BUDGET = (
    f'{MODEL}"thinking.type.enabled" is not supported for this model.'
    ' Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
)
TURN = "Conversation blocks and tool result blocks cannot be provided in the same turn."
CHOICE = "This model doesn't support the toolConfig.toolChoice.{0} field. Remove toolConfig.toolChoice.{0} and try again."
CONSTRAINT = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}"
PATTERN = "Member must satisfy regular expression pattern: {}"
CALL_ID = "messages.2.member.content.1.member.toolUse.toolUseId"
CALL_NAME = "messages.2.member.content.1.member.toolUse.name"
EXTRANEOUS = "Malformed input request: {}: extraneous key [{}] is not permitted, please reformat your input and try again."
UNKNOWN_GUARDRAIL = "The guardrail identifier or version provided in the request does not exist."
GUARDED = {"guardrails": {"g1": Guardrail(words=("bomb",))}}
NOTHING_COUNTED = {"inputTokens": 0, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0}

_schema = partial(Row, "output schema")
_strict = partial(Row, "strict tools")
_budget = partial(Row, "budget of thinking")
_field = partial(Row, "additional field that the model has not")
_beta = partial(Row, "beta flag")
_forced = partial(Row, "thinking with a forced tool")
_json = partial(Row, "JSON of a tool result")
_choice = partial(Row, "forced tool on Llama")
_beside = partial(Row, "text beside a tool result on Llama")
_id = partial(Row, "tool use id")
_tool = partial(Row, "tool name")
_guardrail = partial(Row, "unknown guardrail")
_media = partial(Row, "checkpoint behind an image on Nova")

TOOLS_AND_CALLS = (
    _forced("langchain-aws#925", "2026-03", SONNET_45, choosing({"any": {}}, **THINKING), FORCED),
    _forced("vercel/ai#17729", "2026-07", OPUS_46, choosing({"any": {}}, **THINKING), FORCED),
    _forced(
        "oh-my-pi#341", "2026-03", SONNET, choosing({"tool": {"name": "get_weather"}}, **THINKING), FORCED
    ),
    _forced("pydantic-ai#3092", "2025-10", SONNET_45, choosing({"auto": {}}, **THINKING)),
    _forced("langchain-aws#925: without thinking", "2026-03", SONNET_45, choosing({"any": {}})),
    _choice(
        "harness-sdk#1241; llama_index#19886", "2025-11", LLAMA, choosing({"any": {}}), CHOICE.format("any")
    ),
    _choice(
        "bifrost#3196", "2026-05", LLAMA, choosing({"tool": {"name": "get_weather"}}), CHOICE.format("tool")
    ),
    _choice("harness-sdk#1981", "2026-03", LLAMA, choosing({"auto": {}})),
    _beside(
        "browser-use#710; harness-sdk#1223",
        "2025-02",
        LLAMA,
        turns(user(SAY), assistant(use()), user(result(), SAY), **TOOLS),
        f"messages.2.content: {TURN}",
    ),
    _beside("recordings", "2026", SONNET, turns(user(SAY), assistant(use()), user(result(), SAY), **TOOLS)),
    _id(
        "llama_index#22775",
        "2026-08",
        SONNET,
        called("call 1"),
        CONSTRAINT.format("call 1", CALL_ID, PATTERN.format("[a-zA-Z0-9_.:-]+")),
    ),
    _id(
        "llama_index#22775: 64 characters",
        "2026-08",
        NOVA,
        called("c" * 65),
        CONSTRAINT.format("c" * 65, CALL_ID, "Member must have length less than or equal to 64"),
    ),
    _id("llama_index#22775", "2026-08", SONNET, called("functions.get_weather:0")),
    _id("llama_index#22775", "2026-08", SONNET, called("c" * 64)),
    _tool(
        "vercel/ai#17769",
        "2026-07",
        SONNET,
        called(name="$READFILE"),
        CONSTRAINT.format("$READFILE", CALL_NAME, PATTERN.format("[a-zA-Z0-9_-]+")),
    ),
    _tool(
        "litellm#24668",
        "2026-03",
        NOVA,
        named(""),
        CONSTRAINT.format("", "toolConfig.tools.1.member.toolSpec.name", PATTERN.format("[a-zA-Z0-9_-]+")),
    ),
    _json(
        "bifrost#5762",
        "2026-08",
        SONNET,
        gave({"json": [1]}),
        "The format of the value at messages.2.content.0.toolResult.content.0.json is invalid."
        " Provide a json object for the field and try again.",
    ),
    _json("bifrost#5762", "2026-08", SONNET, gave({"json": {"a": [1]}})),
    _strict("lobehub#19876", "2026-09", FABLE, said(**STRICT), f"{MODEL}tools.0.custom.strict: {EXTRA}"),
    _strict("lobehub#19876", "2026-09", OPUS_5, said(**STRICT)),
)
SETTINGS = (
    _schema("models.dev#1765", "2026-05", OPUS_47, said(**OUTPUT), f"{MODEL}output_config.format: {EXTRA}"),
    _schema("presenton#939", "2026-09", SONNET_5, said(**OUTPUT), f"{MODEL}output_config.format: {EXTRA}"),
    _schema("vercel/ai#17719", "2026-07", SONNET_4, said(**OUTPUT), f"{MODEL}output_config: {EXTRA}"),
    _schema("vercel/ai#17719", "2026-07", OPUS_46, said(**OUTPUT)),
    _budget("claude-code#49238", "2026-04", OPUS_47, said(**THINKING), BUDGET),
    _budget("claude-code#49238", "2026-04", OPUS_47, additional(thinking={"type": "adaptive"})),
    _field("litellm#13825", "2025-08", SONNET_4, additional(guardrails={}), f"{MODEL}guardrails: {EXTRA}"),
    _field("litellm#13609", "2025-08", SONNET, additional(reasoning={}), f"{MODEL}reasoning: {EXTRA}"),
    _field(
        "agentgateway#3240",
        "2026-08",
        SONNET,
        additional(defer_loading=True),
        f"{MODEL}defer_loading: {EXTRA}",
    ),
    _field(
        "inspect_ai 0.3.285",
        "2026-08",
        OPUS_48,
        additional(cache_control={}),
        f"{MODEL}cache_control: {EXTRA}",
    ),
    _field("inspect_ai#3939", "2026-05", NOVA, additional(top_k=5), EXTRANEOUS.format("#", "top_k")),
    _field("inspect_ai#3939", "2026-05", NOVA, additional(inferenceConfig={"topK": 5})),
    _field("inspect_ai#3939", "2026-05", SONNET, additional(top_k=5)),
    Row(
        "additional field that Converse has itself",
        "LibreChat#14246",
        "2026-07",
        SONNET,
        additional(system="s"),
        "The additional field system conflicts with an existing field.",
    ),
    _beta(
        "cline#5568",
        "2025-08",
        SONNET_4,
        additional(anthropic_beta=["no-such-thing"]),
        f"{MODEL}invalid beta flag",
    ),
    _beta(
        "agentgateway#3240",
        "2026-08",
        SONNET,
        additional(anthropic_beta=["tool-search-tool-2025-10-19"]),
        "The tool-search-tool beta feature is not currently supported on the Converse and ConverseStream APIs",
    ),
    _beta(
        "AWS user guide, computer use",
        "2026",
        SONNET_45,
        additional(anthropic_beta=["computer-use-2025-01-24"], tools=[]),
    ),
    _beta("litellm#41203", "2026-09", SONNET_45, additional(anthropic_beta=["compact-2026-01-12"])),
    Row(
        "guardrail without its version",
        "harness-sdk#4223",
        "2026-09",
        SONNET,
        said(guardrailConfig={"guardrailIdentifier": "g"}),
        "1 validation error detected: Value null at 'guardrailConfig.guardrailVersion' failed to satisfy constraint:"
        " Member must not be null",
    ),
    _guardrail("measured in us-east-1", "2026", SONNET, guarded("hi"), UNKNOWN_GUARDRAIL),
    _guardrail(
        "measured in us-east-1", "2026", NOVA, guarded("hi", "g2"), UNKNOWN_GUARDRAIL, emulator=GUARDED
    ),
    _guardrail(
        "AWS user guide, guardrails", "2026", SONNET, guarded("hi"), emulator=GUARDED, stop="end_turn"
    ),
    _guardrail(
        "ministack#1570; bedrock-access-gateway#107",
        "2026",
        SONNET,
        guarded("a bomb"),
        emulator=GUARDED,
        stop="guardrail_intervened",
        usage=NOTHING_COUNTED,
    ),
    _media(
        "generative-ai-use-cases#1077",
        "2025-05",
        NOVA,
        said(SAY, IMAGE, POINT),
        EXTRANEOUS.format("#/messages/0/content/1", "cachePoint"),
        by_sense=True,
    ),
    _media("generative-ai-use-cases#1077: the text last", "2025-05", NOVA, said(IMAGE, SAY, POINT)),
    _media("recordings", "2026", SONNET, said(SAY, IMAGE, POINT)),
    Row(
        "minimum on Nova Lite",
        "rig recording: 27 tokens",
        "2026",
        NOVA,
        said(SAY, POINT),
        emulator={"sizer": lambda prompt, rules: [27, 0]},
        times=2,
        usage={"inputTokens": 0, "cacheReadInputTokens": 27, "cacheWriteInputTokens": 0},
    ),
)
ROWS = (*TOOLS_AND_CALLS, *SETTINGS)
