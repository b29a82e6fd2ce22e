"""What was seen of ids, Regions, keys and windows."""

from functools import partial

from tests.emulator.bodies import body
from tests.emulator.reported.row import INVOKE, Row
from tests.emulator.reported.shapes import said
from tests.emulator.wire import HAIKU, LLAMA, NOVA, SONNET

ACCOUNT = "arn:aws:bedrock:us-east-1:123456789012:{}/{}"
UNKNOWN = "The provided model identifier is invalid."
ON_DEMAND = (
    "Invocation of model ID {} with on-demand throughput isn\u2019t supported."
    " Retry your request with the ID or ARN of an inference profile that contains this model."
)
EU_HAIKU = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
APAC_SONNET = "apac.anthropic.claude-sonnet-4-20250514-v1:0"
JP_SONNET = "jp.anthropic.claude-sonnet-4-6"
PROMPT = ACCOUNT.format("prompt", "ABCDEFGHIJ:1")
OPAQUE = (
    ACCOUNT.format("provisioned-model", "abcdefghij12"),
    ACCOUNT.format("custom-model-deployment", "abcdefghij12"),
    ACCOUNT.format("imported-model", "abcdefghij12"),
    ACCOUNT.format("prompt-router", "router1"),
    ACCOUNT.format("default-prompt-router", "anthropic.claude:1"),
    "arn:aws:sagemaker:us-east-1:123456789012:endpoint/mine",
)
LONG = {"emulator": {"sizer": lambda prompt, rules: [1_000_001, 0]}}
BAD_TOKEN = {
    "token": "bad",
    "emulator": {"access_keys": ["good"]},
    "code": "AccessDeniedException",
    "status": 403,
}
BAD_KEY = {"emulator": {"access_keys": ["good"]}, "code": "UnrecognizedClientException", "status": 403}
NO_TOKEN = "Authentication failed: Please make sure your API Key is valid."
OVERRIDDEN = "The {} field can't be overridden at runtime when a prompt from Prompt management is used."
NO_KEY = "The security token included in the request is invalid."

_area = partial(Row, "profile of another area")
_bare = partial(Row, "id that only a profile can call")
_window = partial(Row, "prompt beyond the context")
_key = partial(Row, "access key")
_token = partial(Row, "bearer token")
_id = partial(Row, "unknown model id")
_opaque = partial(Row, "id that hides its model")
_prompt = partial(Row, "prompt of Prompt management")

ROWS = (
    _area("OpenMetadata#31699", "2026-08", EU_HAIKU, said(), UNKNOWN, region="us-east-1"),
    _area("OpenMetadata#31699", "2026-08", EU_HAIKU, body(), UNKNOWN, region="us-east-1", operation=INVOKE),
    _area("OpenMetadata#31699", "2026-08", APAC_SONNET, said(), UNKNOWN, region="us-west-2"),
    _area("agent-health#298", "2026-06", SONNET, said(), UNKNOWN, region="eu-central-1"),
    _area("AWS user guide, inference profiles", "2026", JP_SONNET, said(), UNKNOWN, region="ap-southeast-2"),
    _area("AWS user guide, inference profiles", "2026", EU_HAIKU, said(), region="eu-north-1"),
    _area("AWS user guide, inference profiles", "2026", APAC_SONNET, said(), region="ap-south-1"),
    _area("AWS user guide, inference profiles", "2026", JP_SONNET, said(), region="ap-northeast-3"),
    _area("AWS user guide, inference profiles", "2026", SONNET, said(), region="ca-central-1"),
    _area(
        "AWS user guide, inference profiles",
        "2026",
        "global.anthropic.claude-sonnet-4-6",
        said(),
        region="me-central-1",
    ),
    *(
        _bare(source, date, model, said(), ON_DEMAND.format(model))
        for source, date, model in (
            ("Flowise#4253", "2025-04", "anthropic.claude-3-7-sonnet-20250219-v1:0"),
            ("catwalk#223", "2026-03", "anthropic.claude-sonnet-4-6"),
            ("dify-official-plugins#3511", "2026-07", "anthropic.claude-opus-5"),
        )
    ),
    _bare(
        "catwalk#223",
        "2026-03",
        "anthropic.claude-sonnet-4-6",
        body(),
        ON_DEMAND.format("anthropic.claude-sonnet-4-6"),
        operation=INVOKE,
    ),
    _bare("recordings", "2025", "amazon.nova-lite-v1:0", said()),
    _window(
        "goose#7504; moca#254",
        "2026-03",
        SONNET,
        said(),
        "The model returned the following errors: prompt is too long: 200001 tokens > 200000 maximum",
        emulator={"sizer": lambda prompt, rules: [200_001, 0]},
    ),
    _window(
        "goose#7504",
        "2026-02",
        HAIKU,
        body(),
        "prompt is too long: 200001 tokens > 200000 maximum",
        operation=INVOKE,
        emulator={"sizer": lambda prompt, rules: [200_001, 0]},
    ),
    _window(
        "assessment-generator#2; continue#6005",
        "2025-06",
        LLAMA,
        said(),
        "Input is too long for requested model.",
        **LONG,
    ),
    _window(
        "Anthropic's table of models",
        "2026",
        HAIKU,
        said(),
        emulator={"sizer": lambda prompt, rules: [200_000, 0]},
    ),
    _key("vercel/ai#4163; claude-code#2260", "2025-06", SONNET, said(), NO_KEY, **BAD_KEY),
    _key("vercel/ai#4163; claude-code#2260", "2025-06", SONNET, body(), NO_KEY, operation=INVOKE, **BAD_KEY),
    _token("open-science#53; opencode#47073", "2026-09", SONNET, said(), NO_TOKEN, **BAD_TOKEN),
    _token("open-science#53; opencode#47073", "2026-09", NOVA, said(), NO_TOKEN, **BAD_TOKEN),
    _token("opencode#47073", "2026-09", SONNET, said(), token="good", emulator={"access_keys": ["good"]}),
    _id("many threads", "2026", "anthropic.claude-opus-9", said(), UNKNOWN),
    _id("many threads", "2026", "gpt-4", said(), UNKNOWN),
    *(_opaque("ConversationalModelId of botocore 1.44.5", "2026-11", arn, said()) for arn in OPAQUE),
    _prompt("AWS API reference, Converse", "2026", PROMPT, {}),
    _prompt("stdapi.ai#79", "2026-07", PROMPT, {"promptVariables": {"city": {"text": "Paris"}}}),
    *(
        _prompt("langchainjs#9310", "2025-11", PROMPT, {name: value}, OVERRIDDEN.format(name), by_sense=True)
        for name, value in (
            ("inferenceConfig", {}),
            ("system", []),
            ("toolConfig", {"tools": []}),
            ("additionalModelRequestFields", {}),
        )
    ),
    _prompt("AWS API reference, Converse: gone on", "2026", PROMPT, said()),
)
