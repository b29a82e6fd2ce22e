"""Requests of the wire whose changing parts stand at the end of the newest message."""

import copy
import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepoint import CachePolicy, PromptCache
from cachepoint.core.prompt.documents import Fleeting
from cachepoint.shaping.relocating import relocated, reordered

RULES = "\n".join(f"Rule {n}: the answer to {n} is never more than {n + 1} lines long." for n in range(60))
NOW = "[What holds now]\nIt is 10:05."
MODEL = "us.anthropic.claude-sonnet-4-6"


def clock(text):
    return [match.span() for match in re.finditer("10:05", text)]


def said(role, *blocks):
    return {"role": role, "content": [{"text": b} if isinstance(b, str) else b for b in blocks]}


def asking(system, *messages):
    return {"system": system, "messages": list(messages)}


POINT = {"cachePoint": {"type": "default"}}
GUARD = {"guardContent": {"text": {"text": "Where?"}}}
RESULT = {"toolResult": {"toolUseId": "1", "content": [{"text": "left"}]}}
IMAGE = {"image": {"format": "png", "source": {"bytes": b"x"}}}


@pytest.mark.parametrize(
    ("system", "stays"),
    [
        ([{"text": f"It is 10:05.\n\n{RULES}"}], [{"text": RULES}]),
        ([{"text": "It is 10:05."}, {"text": RULES}], [{"text": RULES}]),
        ([{"text": RULES}, {"text": "It is 10:05."}], [{"text": RULES}]),
        ([{"text": RULES}, POINT, {"text": "It is 10:05."}], [{"text": RULES}, POINT]),
        ([GUARD, {"text": f"{RULES}\nIt is 10:05."}], [GUARD, {"text": RULES}]),
    ],
)
def test_it_stands_behind_the_newest_message(system, stays):
    request = asking(system, said("user", "Where?"), said("assistant", "Here."), said("user", "Why?", IMAGE))
    before = copy.deepcopy(request)
    moved = relocated(request, clock)
    assert moved["system"] == stays
    assert moved["messages"][-1] == said("user", "Why?", IMAGE, NOW)
    assert moved["messages"][:-1] == request["messages"][:-1]
    assert request == before
    assert relocated(moved, clock) is moved


def test_it_stands_behind_the_results_of_tools_and_in_front_of_the_callers_checkpoint():
    request = asking([{"text": f"{RULES}\nIt is 10:05."}], said("user", RESULT, POINT))
    assert relocated(request, clock)["messages"][-1] == said("user", RESULT, NOW, POINT)


@pytest.mark.parametrize(
    "request_",
    [
        asking([{"text": f"It is 10:05.\n{RULES}"}, POINT], said("user", "Where?")),
        asking([{"text": f"It is 10:05.\n{RULES}"}, GUARD], said("user", "Where?")),
        asking([{"text": f"It is 10:05.\n{RULES}"}], said("user", "Where?", POINT, "Why?")),
        asking([{"text": f"It is 10:05.\n{RULES}"}], said("user", GUARD)),
        asking(
            [{"text": f"It is 10:05.\n{RULES}"}],
            said("user", "A?", POINT),
            said("assistant", "B"),
            said("user", "C?"),
        ),
        asking([{"text": f"It is 10:05.\n{RULES}"}], said("user", "Where?"), said("assistant", "It is")),
        asking([{"text": "It is 10:05."}], said("user", "Where?")),
        asking([POINT, {"text": "It is 10:05."}], said("user", "Where?")),
        asking([{"text": RULES}], said("user", "Where?")),
        asking([{"text": f"It is 10:05.\n{RULES}"}]),
        asking(None, said("user", "Where?")),
    ],
)
def test_it_stays_where_something_stands_in_between(request_):
    before = copy.deepcopy(request_)
    assert relocated(request_, clock) is request_
    assert request_ == before


def test_the_messages_form():
    body = {
        "system": f"It is 10:05.\n\n{RULES}",
        "messages": [{"role": "user", "content": "Where?"}],
    }
    moved = relocated(body, clock)
    assert moved["system"] == RULES
    assert moved["messages"][-1]["content"] == [
        {"type": "text", "text": "Where?"},
        {"type": "text", "text": NOW},
    ]
    marked = {
        **body,
        "system": [{"type": "text", "text": body["system"], "cache_control": {"type": "ephemeral"}}],
    }
    assert relocated(marked, clock) is marked
    nested = [
        {
            "type": "tool_result",
            "tool_use_id": "1",
            "content": [{"type": "text", "text": "a", "cache_control": {}}],
        }
    ]
    assert (
        relocated({**body, "messages": [{"role": "user", "content": nested}]}, clock)["system"]
        == body["system"]
    )


def test_a_persons_text_has_it_at_its_end():
    long = f"It is 10:05.\n{RULES}\nWhere is the valve?"
    request = asking(
        [], said("user", long), said("assistant", "It is 10:05."), said("user", "It is 10:05. Why?")
    )
    moved = reordered(request, clock)
    assert moved["messages"][0] == said("user", f"{RULES}\nWhere is the valve?\n\n{NOW}")
    assert moved["messages"][1:] == request["messages"][1:]
    assert reordered(moved, clock)["messages"] == moved["messages"]
    late = asking([], said("user", f"{RULES}\nIt is 10:05.\nWhere is the valve?"))
    assert reordered(late, clock) is late


def test_a_document_in_front_of_a_question_stays_however_it_changes():
    """Where documents part from what is asked is for checkpoints to learn."""
    document = "The valve of pump 10 is on the left of the frame. " * 12
    request = asking([], said("user", f"{document}\n{RULES}\nWhere is the valve?"))
    assert reordered(request, lambda _: [(0, len(document))]) is request
    short = asking([], said("user", f"{document[:150]}\n{RULES}\nWhere is the valve?"))
    assert reordered(short, lambda _: [(0, 150)]) != short


pieces = st.lists(
    st.sampled_from(["It is 10:05.", "Be kind.", "Ask.\n", "\n\n", "Go on. "]), min_size=1, max_size=8
)


@given(
    system=st.lists(
        st.one_of(pieces.map(lambda p: {"text": "".join(p)}), st.sampled_from([POINT, GUARD])), max_size=4
    ),
    turns=st.lists(
        st.lists(st.sampled_from(["Where?", "Why?", RESULT, IMAGE, POINT, GUARD]), max_size=3), max_size=4
    ),
)
def test_nothing_is_lost_or_said_twice(system, turns):
    """The words are the same, roles and blocks stand as they stood, and moving twice is moving once."""
    request = asking(system, *(said("user" if n % 2 == 0 else "assistant", *t) for n, t in enumerate(turns)))
    moved = relocated(request, clock)
    assert words(moved) - Counter(["[What", "holds", "now]"]) == words(request)
    assert [m["role"] for m in moved["messages"]] == [m["role"] for m in request["messages"]]
    assert relocated(moved, clock) is moved
    for new, old in zip(moved["messages"], request["messages"], strict=True):
        assert [b for b in new["content"] if type(b.get("text")) is not Fleeting] == old["content"]


def words(request):
    blocks = [*(request["system"] or ()), *(b for m in request["messages"] for b in m["content"])]
    texts = [
        b["text"] if isinstance(b.get("text"), str) else json.dumps(b, default=repr, sort_keys=True)
        for b in blocks
    ]
    return Counter(word for text in texts for word in text.split())


def turns(count):
    """The calls of a chat whose system prompt has another time at each; each but the last as Bedrock would."""
    now = [0.0]
    cache = PromptCache(policy=CachePolicy(), clock=lambda: now[0])
    messages = []
    for turn in range(count):
        now[0] += 20
        messages.append(said("user", f"Question {turn}. " + "word " * 60))
        system = [{"text": f"It is 1{turn}:05.\n{RULES * 3}"}]
        request = relocated(
            asking(system, *messages), lambda t: [m.span() for m in re.finditer(r"1\d:05", t)]
        )
        call = cache.prepare(request, model_id=MODEL)
        read = (call.plan.expected_read_tokens or 0) * (turn < count - 1)
        wrote = call.plan.checkpoints[-1].tokens - read
        used = {
            "inputTokens": 9,
            "outputTokens": 1,
            "cacheReadInputTokens": read,
            "cacheWriteInputTokens": wrote,
        }
        yield call, cache.settle(call, {"usage": used | {"totalTokens": sum(used.values())}})
        messages.append(said("assistant", f"Answer {turn}."))


def test_the_checkpoint_stands_in_front_of_what_stands_there_alone():
    """A turn is read by the next one, whose newest message alone has it; the first is written for that, too."""
    for turn, (call, _) in enumerate(turns(4)):
        newest = call.request["messages"][-1]["content"]
        assert [next(iter(b)) for b in newest] == ["text", "cachePoint", "text"]
        assert newest[2]["text"] == f"[What holds now]\nIt is 1{turn}:05."


def test_what_stands_alone_is_no_part_of_the_conversation():
    """An entry that Bedrock lost is blamed on nothing that was never meant to stay."""
    *others, (call, report) = turns(4)
    assert [one.miss and one.miss.cause for _, one in others] == ["first_write", None, None]
    assert call.case.thread.before is not None
    assert call.case.trace.size == len(call.case.prefix.blocks) - 1
    assert report.miss.cause == "evicted_or_rerouted"
