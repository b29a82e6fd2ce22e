"""Tool results are cleared in batches: by content alone, and for less than one at a time."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain.agents.middleware import ClearToolUsesEdit, ContextEditingMiddleware
from langchain.agents.middleware.context_editing import ContextEdit
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import tool

from cachepoint.core.accounting.report import input_units
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.models.rules import rules_for
from cachepoint.emulator import ToolResponder
from cachepoint.langchain import CachedChatBedrockConverse, ClearToolUsesInBatches
from tests.adapters.contract import CLAUDE, MANUAL

CLEARED = "[cleared]"


def history(sizes, names=("read",)):
    """A user's message and rounds of one call and one result of these sizes in tokens."""
    messages = [HumanMessage("Read all pages.", id="0")]
    for i, size in enumerate(sizes):
        name = names[i % len(names)]
        call = {"name": name, "args": {"page": i}, "id": f"t{i}"}
        messages += [
            AIMessage("", tool_calls=[call]),
            ToolMessage("word" * size, tool_call_id=f"t{i}", name=name),
        ]
    return messages


def edited(edit, messages):
    told = list(messages)
    edit.apply(told, count_tokens=count_tokens_approximately)
    return told


def cleared(messages):
    return [m.tool_call_id for m in messages if isinstance(m, ToolMessage) and m.content == CLEARED]


def test_below_the_trigger_nothing_is_done():
    messages = history([100] * 5)
    assert edited(ClearToolUsesInBatches(trigger=1_000), messages) == messages


def test_all_but_the_newest_are_cleared_at_once_and_then_none_for_a_while():
    edit = ClearToolUsesInBatches(trigger=1_000, keep=3)
    steps = [cleared(edited(edit, history([100] * n))) for n in range(1, 30)]
    sizes = sorted({len(ids) for ids in steps})
    assert sizes[0] == 0
    assert all(b - a >= 3 for a, b in pairwise(sizes))
    assert all(steps.count(ids) >= 3 for ids in steps[:-3])


def test_what_was_cleared_stays_cleared():
    edit = ClearToolUsesInBatches(trigger=1_000)
    steps = [cleared(edited(edit, history([100] * n))) for n in range(1, 40)]
    assert all(later[: len(ids)] == ids for ids, later in pairwise(steps))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=30), st.integers(200, 2_000), st.integers(0, 5))
def test_it_depends_on_content_alone(sizes, trigger, keep):
    """Each step clears what the steps before it cleared, or a batch more; the newest stay."""
    edit = ClearToolUsesInBatches(trigger=trigger, keep=keep)
    before = []
    for n in range(1, len(sizes) + 1):
        told = edited(edit, history(sizes[:n]))
        now = cleared(told)
        assert now == cleared(edited(ClearToolUsesInBatches(trigger=trigger, keep=keep), history(sizes[:n])))
        assert now[: len(before)] == before
        assert len(now) <= max(0, n - keep)
        reclaimed = sum(sizes[int(i[1:])] for i in now[len(before) :])
        assert not reclaimed or reclaimed >= trigger / 4
        before = now


def test_where_it_clears_it_clears_as_upstream_does():
    messages = history([100] * 14, names=("read", "weigh"))
    options = {
        "trigger": 1_000,
        "keep": 2,
        "exclude_tools": ["weigh"],
        "clear_tool_inputs": True,
        "placeholder": "-",
    }
    assert edited(ClearToolUsesInBatches(**options, clear_at_least=600), messages) == edited(
        ClearToolUsesEdit(**options), messages
    )


def test_it_waits_until_it_is_worth_it():
    """A history that is long without its results is not written anew at each step."""
    edit = ClearToolUsesInBatches(trigger=1_000, clear_at_least=400)
    talk = [HumanMessage("word" * 1_500, id="1"), AIMessage("word")]
    steps = [len(cleared(edited(edit, [*talk, *history([100] * n)]))) for n in range(1, 20)]
    assert sorted(set(steps)) == [0, 5, 10, 15]


@pytest.mark.parametrize("edit", [ClearToolUsesInBatches(trigger=500)])
def test_it_is_an_edit_and_changes_no_message(edit: ContextEdit):
    messages = history([100] * 14)
    before = [m.model_copy(deep=True) for m in messages]
    assert cleared(edited(edit, messages))
    assert messages == before


@pytest.mark.parametrize("inputs", [False, True])
def test_d6_it_is_linear_over_800_steps(inputs):
    """D6: each message is counted twice at most, each result looked at twice, whatever the length."""

    def counted(n):
        told, seen = history([100] * n), []

        def count(messages):
            seen.extend(messages)
            return count_tokens_approximately(messages)

        ClearToolUsesInBatches(trigger=1_000, clear_tool_inputs=inputs).apply(told, count_tokens=count)
        assert len(cleared(told)) > n - 20
        return len(seen)

    assert counted(800) <= 4.1 * counted(200)
    assert counted(800) <= 4 * 1_601


def test_results_that_answer_nothing_stay():
    orphan = ToolMessage("word" * 900, tool_call_id="t9", name="read")
    told = edited(ClearToolUsesInBatches(trigger=1_000, keep=0), [orphan, *history([100] * 14)])
    assert told[0] is orphan
    assert len(cleared(told)) > 3


@pytest.mark.parametrize(
    "options", [{"trigger": -1}, {"keep": -1}, {"clear_at_least": -5}, {"trigger": "60k"}, {"keep": None}]
)
def test_numbers_that_are_none_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ClearToolUsesInBatches(**options)


@tool
def read_page(page: str) -> str:
    """Read a page."""
    return f"page {page}: " + "turn the rotor slowly and note what it says on the dial. " * 110


def steps(bedrock, cache, edit, way="invoke"):
    """The calls of an agent that reads 40 pages of 1,600 tokens."""
    bedrock.reset()
    bedrock.say(ToolResponder(steps=40))
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}
    model = CachedChatBedrockConverse(model=CLAUDE, prompt_cache=cache, **clients)
    edits = ContextEditingMiddleware(edits=[edit])
    agent = create_agent(model, [read_page], system_prompt=MANUAL[:6_000], middleware=[edits])
    state = agent.invoke({"messages": [HumanMessage("Read all pages.")]}, {"recursion_limit": 200})
    usage = [Usage.from_converse({"usage": call.usage}) for call in bedrock.answered]
    assert len(usage) == 41
    assert not any(CLEARED in str(m.content) for m in state["messages"])
    return usage, sum(input_units(u, rules_for(CLAUDE).multipliers) for u in usage)


def test_it_costs_less_than_the_stock_edit_and_keeps_more(bedrock, cache):
    stock, stock_units = steps(bedrock, cache, ClearToolUsesEdit(trigger=15_000))
    ours, units = steps(bedrock, cache, ClearToolUsesInBatches(trigger=15_000))
    assert units < 0.7 * stock_units
    assert sum(u.input_tokens for u in ours) > 1.3 * sum(u.input_tokens for u in stock)
    assert max(u.input_tokens for u in ours) < 15_000 + 2 * 1_700
    # The stock edit writes all that it kept at each step; here one step in seven does.
    assert sum(u.write_tokens > 3_000 for u in stock[11:]) == 30
    assert sum(u.write_tokens > 3_000 for u in ours[11:]) <= 5
