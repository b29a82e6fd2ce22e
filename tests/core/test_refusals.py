"""Which of Bedrock's messages are about a checkpoint of ours, and what they teach."""

import pytest
from builders import NOVA, SONNET

from cachepoint.core.models.refusals import read_refusal, stricter
from cachepoint.core.models.rules import rules_for

TOOLS = ("tools", (19,))
SYSTEM = ("system", (1,))
MESSAGES = ("messages", (6, 1))
ALL = [TOOLS, SYSTEM, MESSAGES]
MALFORMED = "Malformed input request: {}, please reformat your input and try again."
MODEL = "The model returned the following errors: {}"


@pytest.mark.parametrize(
    "message",
    [
        MALFORMED.format("#/messages/0/content/0: extraneous key [type] is not permitted"),
        MALFORMED.format(
            "#/toolConfig/tools/1/toolSpec/inputSchema/json: extraneous key [$defs] is not permitted"
        ),
        MALFORMED.format("#/toolConfig/tools/19: extraneous key [$defs] is not permitted"),
        MODEL.format("messages.0.content.0.image.source.type: Field required"),
        MODEL.format("messages.6.content.1.source.type: Field required"),
        MODEL.format("messages.6.content.0.type: Field required"),
        MODEL.format("messages.16.content.1.type: Field required"),
        "Malformed input request: #: extraneous key [cache_control_injection_points] is not permitted",
        "cache_control: Extra inputs are not permitted",
        "messages.6.content.1.cache_control.scope: Extra inputs are not permitted",
        "Input is too long for requested model.",
        "",
    ],
)
def test_a1_an_ordinary_400_is_no_refused_checkpoint(message):
    """A1: zed#28521, mcp-agent#126, koog#1209; litellm#30314."""
    assert read_refusal(message, ALL) is None


@pytest.mark.parametrize(
    ("message", "facts"),
    [
        # hermes-agent#97281: the number is that of the last tool, not of the point.
        (MALFORMED.format("#/toolConfig/tools/18: extraneous key [cachePoint] is not permitted"), {"tools"}),
        (
            MALFORMED.format("#/messages/6/content/0: extraneous key [cachePoint] is not permitted"),
            {"messages"},
        ),
        (MALFORMED.format("#/system/0: extraneous key [cachePoint] is not permitted"), {"system"}),
        (
            MALFORMED.format(
                "#/toolConfig/tools/0: extraneous key [cachePoint] is not permitted"
                "#/messages/6/content/0: extraneous key [cachePoint] is not permitted"
            ),
            {"tools", "messages"},
        ),
        (MALFORMED.format("#: extraneous key [cachePoint] is not permitted"), {"explicit"}),
        (
            "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more information.",
            {"explicit"},
        ),
        (
            "This model doesn't support the cachePoint field. Remove cachePoint from your request and try again.",
            {"explicit"},
        ),
        ("Extended TTL prompt caching is only supported for Anthropic models", {"1h"}),
        ("There is nothing available to cache. Please remove the invalid cache point and try again.", set()),
        (
            "Cache point cannot be inserted after reasoning block. Please remove the invalid cache point and try again.",
            set(),
        ),
        ("A maximum of 4 blocks with cache_control may be provided. Found 5.", set()),
        (
            "system.0.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.",
            set(),
        ),
        ("system.0.cache_control: Extra inputs are not permitted", set()),
        ("messages.6.content.1.tool_result.cache_control: Extra inputs are not permitted", set()),
        # litellm#15880, litellm#34248.
        ("tools.20.custom.cache_control.ephemeral.ttl: Extra inputs are not permitted", {"1h"}),
        ("messages.0.content.0.text.cache_control.ephemeral.ttl: Extra inputs are not permitted", {"1h"}),
        (MODEL.format("messages.6.content.1.type: Field required"), set()),
    ],
)
def test_a_refused_checkpoint_of_ours_teaches_only_what_it_disproves(message, facts):
    """Law 4."""
    assert read_refusal(message, ALL) == facts
    assert read_refusal(message, []) is None


@pytest.mark.parametrize(
    ("placed", "message"),
    [
        ([SYSTEM, MESSAGES], "#/toolConfig/tools/18: extraneous key [cachePoint] is not permitted"),
        ([TOOLS, MESSAGES], "#/messages/4/content/0: extraneous key [cachePoint] is not permitted"),
        ([TOOLS, SYSTEM], "messages.6.content.1.type: Field required"),
    ],
)
def test_a1_what_the_caller_placed_is_not_ours(placed, message):
    """A1: the error of a checkpoint that stands where none of ours does goes through."""
    assert read_refusal(message, placed) is None


def test_the_number_of_a_point_may_leave_out_the_points_before_it():
    placed = [("messages", (0, 1)), ("messages", (0, 4))]

    assert read_refusal("messages.0.content.3.type: Field required", placed) == set()
    assert read_refusal("messages.0.content.2.type: Field required", placed) is None


def test_a_row_loses_what_was_disproved_and_nothing_else():
    """Law 4."""
    rules = rules_for(SONNET)

    assert stricter(rules, set()) is rules
    assert set(stricter(rules, {"messages"}).fields) == {"tools", "system"}
    assert stricter(rules, {"1h"}).ttls == ("5m",)
    assert not stricter(rules, {"explicit"}).caches
    assert not stricter(rules, {"tools", "system", "messages"}).caches
    assert stricter(rules, {"a word of another version"}) == rules
    assert stricter(rules_for(NOVA), {"system"}).fields == ("messages",)
