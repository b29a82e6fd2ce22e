"""What comes back changes: within 30 calls of a kind it is placed as if it had always been so."""

import pytest
from builders import assistant, user
from traffic import Run, prose

LEARNING, LOOKED_AT = 30, 6


def chats(run, number, *, returns):
    """A first question of its own, and where it returns its second turn: the plans of the first turns."""
    system = [{"text": prose(1_500, "desk")}]
    question = user({"text": prose(400, f"question {number}")})
    first = run.call({"system": system, "messages": [question]}, gap=20.0)
    if returns:
        messages = [question, assistant({"text": "So it is."}), user({"text": "And then?"})]
        run.call({"system": system, "messages": messages}, gap=20.0)
    return first


def heads(run, number, *, returns):
    """One system prompt, every minute or every seventy."""
    request = {
        "system": [{"text": prose(3_000, "desk")}],
        "messages": [user({"text": f"Question {number}?"})],
    }
    return run.call(request, gap=60.0 if returns else 4_200.0)


def lookups(run, number, *, returns):
    """Documents that nobody announces, asked about once or twice."""
    passages = prose(2_000, f"passage {number}")
    ask = lambda what: {"messages": [user({"text": f"{passages}\n\n{what} {number}?"})]}  # noqa: E731
    first = run.call(ask("What is"), gap=20.0)
    if returns:
        run.call(ask("Why is"), gap=20.0)
    return first


def placed(report):
    return [(c.index, c.ttl) for c in report.plan.checkpoints]


def plans(traffic, regimes):
    """Where the last few calls of the last regime are marked."""
    run, number, found = Run(), 0, []
    for returns in regimes:
        for _ in range(LEARNING):
            found.append(placed(traffic(run, number, returns=returns)))
            number += 1
    for _ in range(LOOKED_AT):
        found.append(placed(traffic(run, number, returns=regimes[-1])))
        number += 1
    return found[-LOOKED_AT:]


@pytest.mark.parametrize("traffic", [chats, heads, lookups])
@pytest.mark.parametrize("last", [True, False])
def test_within_thirty_calls_of_a_kind_it_is_placed_as_if_it_had_always_been_so(traffic, last):
    alone = plans(traffic, [last])

    assert plans(traffic, [not last, last]) == alone
    assert plans(traffic, [last, not last, last]) == alone


@pytest.mark.parametrize("traffic", [chats, heads, lookups])
def test_the_two_are_placed_otherwise(traffic):
    assert plans(traffic, [True]) != plans(traffic, [False])
