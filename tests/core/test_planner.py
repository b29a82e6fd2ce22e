"""What is placed where, over single requests and short conversations."""

import pytest
from builders import NOVA, OLD, OPUS_48, SONNET, assistant, marks, point, result, text, tool, usage, use, user

from cachepoint import CachePolicy, PromptCache


@pytest.fixture
def clock():
    return [1_000.0]


@pytest.fixture
def cache(clock):
    return PromptCache(policy=CachePolicy(ttl="5m"), clock=lambda: clock[0])


def placed(cache, request, model=SONNET, **options):
    return marks(cache.prepare(request, model_id=model, **options).request)


def test_the_tools_are_a_place_of_their_own(cache):
    """E15: a free one, for prompts that differ behind the same tools."""
    request = {
        "toolConfig": {"tools": [tool("a", 1_200)]},
        "system": [text(900)],
        "messages": [user(text(50))],
    }

    assert placed(cache, request) == ["tools", "system", "messages[0]"]


def test_tools_get_the_point_where_there_is_no_system(cache):
    request = {"toolConfig": {"tools": [tool("a", 1_500)]}, "messages": [user(text(50))]}

    assert placed(cache, request) == ["tools", "messages[0]"]


def test_nothing_below_the_minimum(cache):
    request = {"system": [text(300)], "messages": [user(text(100))]}
    call = cache.prepare(request, model_id=SONNET)

    assert marks(call.request) == []
    assert call.plan.note == "below the minimum of 1024 tokens of Claude Sonnet 4.6"


def test_nothing_at_all_is_below_the_minimum(cache):
    """The reading goes through where there are no bytes to estimate tokens from."""
    call = cache.prepare({"messages": [user({"text": ""})]}, model_id=SONNET)

    assert call.plan.note == "below the minimum of 1024 tokens of Claude Sonnet 4.6"
    assert cache.faults == 0


def test_the_minimum_counts_what_comes_before(cache):
    """The minimum holds for the cumulative prefix (AWS user guide): a short system is no reason to skip."""
    request = {
        "system": [text(600)],
        "messages": [user(text(700)), assistant(text(5)), user(text(5))],
    }

    assert placed(cache, request) == ["messages[0]", "messages[2]"]


def test_a_large_first_question_is_not_written_for_nobody(cache):
    """Retrieved text and question in one block: at the end of it a write is read by no one.

    E12: the first may be the file that a chat opens with.
    """
    assert placed(cache, {"messages": [user(text(5_000))]}) == ["messages[0]"]
    assert placed(cache, {"messages": [user(text(5_000, "b"))]}) == []
    assert placed(cache, {"messages": [user(text(5_000, "c"))]}, policy={"tail": "always"}) == ["messages[0]"]


def test_the_previous_end_is_marked_where_it_was(cache):
    first = {"system": [text(2_000)], "messages": [user(text(50, "q1"))]}
    call = cache.prepare(first, model_id=SONNET)
    cache.settle(call, usage(write=2_050))
    second = {
        **first,
        "messages": [*first["messages"], assistant(text(20)), user(text(30, "q2"))],
    }
    call = cache.prepare(second, model_id=SONNET)

    assert marks(call.request) == ["system", "messages[0]", "messages[2]"]
    assert [c.reason for c in call.plan.checkpoints] == ["head", "anchor", "end"]
    assert call.plan.expected_read_tokens == 2_050


def test_another_worker_marks_the_same_places(clock):
    """A process that never saw the conversation finds the previous end by its shape."""
    second = {
        "system": [text(2_000)],
        "messages": [user(text(50, "q1")), assistant(text(20)), user(text(30, "q2"))],
    }
    call = PromptCache(CachePolicy(), lambda: clock[0]).prepare(second, model_id=SONNET)

    assert [c.reason for c in call.plan.checkpoints] == ["head", "previous_end", "end"]


def test_a_wide_step_keeps_the_anchor(cache):
    """25 parallel calls put 50 blocks between two turns; the lookback reaches 20."""
    tools = {"toolConfig": {"tools": [tool("a", 1_500)]}}
    first = {**tools, "messages": [user(text(50))]}
    cache.settle(cache.prepare(first, model_id=SONNET), usage(write=1_600))
    ids = [f"t{i}" for i in range(25)]
    second = {
        **tools,
        "messages": [
            *first["messages"],
            assistant(*(use("a", i) for i in ids)),
            user(*(result(i) for i in ids)),
        ],
    }
    call = cache.prepare(second, model_id=SONNET)

    assert marks(call.request) == ["tools", "messages[0]", "messages[2]"]
    assert call.plan.expected_read_tokens == 1_600


def test_an_expired_entry_is_no_anchor(cache, clock):
    first = {"system": [text(2_000)], "messages": [user(text(50))]}
    cache.settle(cache.prepare(first, model_id=SONNET), usage(write=2_050))
    clock[0] += 301

    assert cache.prepare(first, model_id=SONNET).plan.expected_read_tokens is None


def test_a_read_keeps_the_entry_alive(cache, clock):
    first = {"system": [text(2_000)], "messages": [user(text(50))]}
    cache.settle(cache.prepare(first, model_id=SONNET), usage(write=2_050))
    for _ in range(3):
        clock[0] += 200
        call = cache.prepare(first, model_id=SONNET)
        assert call.plan.expected_read_tokens == 2_050
        cache.settle(call, usage(read=2_050))


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        pytest.param({"text": ""}, "messages[0]", id="empty text"),
        pytest.param(
            {"document": {"format": "csv", "name": "d", "source": {"bytes": b"a,b"}}},
            "messages[0]",
            id="csv",
        ),
        pytest.param(
            {"video": {"format": "mp4", "source": {"bytes": b"x"}}},
            "messages[0]",
            id="video",
        ),
    ],
)
def test_the_end_steps_back_in_front_of_what_refuses_it(cache, last, expected):
    request = {"messages": [user(text(1_500), last)]}
    call = cache.prepare(request, model_id=SONNET, policy={"tail": "always"})

    assert marks(call.request) == [expected]
    assert call.request["messages"][0]["content"][1] == point()


def test_nothing_goes_behind_reasoning(cache):
    reasoning = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
    request = {
        "messages": [user(text(1_500)), assistant(reasoning, point()), user(text(5))],
    }
    call = cache.prepare(request, model_id=SONNET)

    assert marks(call.request) == ["messages[0]", "messages[2]"]


def test_a_prefilled_answer_is_not_the_end(cache):
    request = {"messages": [user(text(1_500)), assistant({"text": "Sure:"})]}

    assert placed(cache, request, policy={"tail": "always"}) == ["messages[0]"]


def test_latency_optimised_calls_get_none(cache):
    request = {
        "system": [text(2_000)],
        "messages": [user(text(5))],
        "performanceConfig": {"latency": "optimized"},
    }

    assert placed(cache, request) == []


class TestHandPlaced:
    def test_they_stay_and_ours_fill_the_rest(self, cache):
        request = {
            "system": [text(2_000), point("1h"), text(100)],
            "messages": [user(text(10))],
        }

        assert placed(cache, request) == ["system@1h", "system", "messages[0]"]

    def test_of_more_than_four_the_first_and_the_last_three_stay(self, cache):
        request = {
            "system": [text(2_000), point()],
            "messages": [user(*(b for i in range(5) for b in (text(20, f"{i}"), point())))],
        }
        call = cache.prepare(request, model_id=SONNET)

        assert [c.index for c in call.plan.checkpoints] == [0, 3, 4, 5]

    def test_a_point_with_nothing_before_it_goes(self, cache):
        request = {"system": [point(), text(2_000)], "messages": [user(point(), text(10))]}

        assert placed(cache, request) == ["system", "messages[0]"]

    def test_two_in_a_row_are_one(self, cache):
        request = {"system": [text(2_000), point(), point()], "messages": [user(text(10))]}

        assert placed(cache, request) == ["system", "messages[0]"]

    def test_a_late_1h_raises_all_before_it(self, cache):
        request = {
            "system": [text(2_000), point()],
            "messages": [user(text(10), point("1h"))],
        }

        assert placed(cache, request) == ["system@1h", "messages[0]@1h"]

    def test_an_early_5m_lowers_ours_behind_it(self, cache):
        request = {"system": [text(2_000), point("5m")], "messages": [user(text(10))]}

        assert placed(cache, request, policy={"ttl": "1h"}) == ["system@5m", "messages[0]"]

    def test_one_inside_a_tool_result_moves_behind_it(self, cache):
        request = {
            "toolConfig": {"tools": [tool("a", 1_500)]},
            "messages": [
                user(text(5)),
                assistant(use("a", "t")),
                user({"toolResult": {"toolUseId": "t", "content": [text(5), point("1h")]}}),
            ],
        }
        call = cache.prepare(request, model_id=SONNET)
        content = call.request["messages"][2]["content"]

        assert content[0]["toolResult"]["content"] == [text(5)]
        assert content[1] == point("1h")

    def test_1h_becomes_5m_on_a_model_that_knows_no_other(self, cache):
        request = {"system": [text(2_000), point("1h")], "messages": [user(text(10))]}

        assert placed(cache, request, model=OLD) == ["system", "messages[0]"]


class TestTtl:
    def test_1h_for_all(self, cache):
        request = {"system": [text(2_000)], "messages": [user(text(10))]}

        assert placed(cache, request, policy={"ttl": "1h"}) == ["system@1h", "messages[0]@1h"]

    def test_1h_for_the_head_alone(self, cache):
        request = {"system": [text(2_000)], "messages": [user(text(10))]}

        assert placed(cache, request, policy={"head_ttl": "1h"}) == ["system@1h", "messages[0]"]

    def test_it_never_rises(self, cache):
        """A 5m head in front of 1h messages is a 400; the messages give way."""
        request = {"system": [text(2_000)], "messages": [user(text(10))]}
        policy = {"ttl": "1h", "head_ttl": "5m"}

        assert placed(cache, request, policy=policy) == ["system", "messages[0]"]


class TestNova:
    def test_system_and_messages_but_not_tools(self, cache):
        request = {"toolConfig": {"tools": [tool("a", 2_000)]}, "messages": [user(text(50))]}

        assert placed(cache, request, model=NOVA) == ["messages[0]"]

    def test_no_message_with_tool_blocks(self, cache):
        request = {
            "toolConfig": {"tools": [tool("a", 20)]},
            "system": [text(2_000)],
            "messages": [user(text(50)), assistant(use("a", "t")), user(result("t"))],
        }

        assert placed(cache, request, model=NOVA) == ["system", "messages[0]"]

    def test_no_ttl_at_all(self, cache):
        request = {"system": [text(2_000), point("5m")], "messages": [user(text(10))]}

        assert placed(cache, request, model=NOVA, policy={"ttl": "1h"}) == ["system", "messages[0]"]

    def test_nothing_beyond_20k_tokens(self, cache):
        request = {"system": [text(5_000)], "messages": [user(text(30_000))]}

        assert placed(cache, request, model=NOVA) == ["system"]


class TestInvokeModel:
    def test_the_marks_are_keys_of_their_blocks(self, cache):
        body = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 10,
            "system": text(2_000)["text"],
            "messages": [{"role": "user", "content": "hi"}],
        }
        call = cache.prepare(body, model_id=SONNET, dialect="messages")

        assert call.request["system"] == [
            {"type": "text", "text": body["system"], "cache_control": {"type": "ephemeral"}}
        ]
        assert call.request["messages"][0]["content"] == [
            {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
        ]
        assert body["system"] == text(2_000)["text"]

    def test_automatic_caching_is_one_of_the_callers_own(self, cache):
        """It stays where it is, and is the end of the prompt; ours fill what remains."""
        body = {
            "cache_control": {"type": "ephemeral"},
            "system": text(2_000)["text"],
            "messages": [{"role": "user", "content": "hi"}],
        }
        call = cache.prepare(body, model_id=OPUS_48, dialect="messages")

        assert [(c.where, c.reason) for c in call.plan.checkpoints] == [
            ("system[0]", "head"),
            ("messages[0].content[0]", "hand"),
        ]
        assert {**call.request, "system": body["system"]} == body
        assert call.request["system"][0]["cache_control"] == {"type": "ephemeral"}


def test_what_was_said_before_is_kept_where_the_newest_message_is_not(clock):
    """Passages stand in the newest message alone, and the history keeps the bare question."""
    cache, history, ends = PromptCache(CachePolicy(), lambda: clock[0]), [], []
    for n in range(9):
        clock[0] += 30.0
        newest = user(text(1_500, f"passages {n}"))
        call = cache.prepare({"system": [text(1_500)], "messages": [*history, newest]}, model_id=SONNET)
        read = call.plan.expected_read_tokens or 0
        deepest = max((c.tokens for c in call.plan.checkpoints), default=read)
        cache.settle(call, usage(read=read, write=deepest - read))
        ends.append(call.plan.checkpoints[-1].where)
        history += [user(text(30, f"q{n}")), assistant(text(300, f"a{n}"))]

    assert ends[-1] == "messages[15].content[0]"


@pytest.mark.parametrize("layer", ["system", "messages"])
def test_blocks_are_places_where_requests_part(clock, layer):
    """The third of five blocks is what they have in common."""
    cache = PromptCache(CachePolicy(), lambda: clock[0])
    for n in range(4):
        clock[0] += 30.0
        blocks = [text(1_500, f"b{i}" if i < 3 else f"n{n}{i}") for i in range(5)]
        request = {"system": blocks} if layer == "system" else {"system": [text(9)]}
        call = cache.prepare(
            {**request, "messages": [user(*(blocks if layer == "messages" else [text(9)]))]}, model_id=SONNET
        )
        read = call.plan.expected_read_tokens or 0
        deepest = max((c.tokens for c in call.plan.checkpoints), default=read)
        cache.settle(call, usage(read=read, write=deepest - read))

    where = "system[2]" if layer == "system" else "messages[0].content[2]"
    assert ("anchor", where) in [(c.reason, c.where) for c in call.plan.checkpoints]
