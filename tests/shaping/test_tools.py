"""Tools in the order in which they were first seen, each written as it first was."""

import json
import pickle
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepoint.shaping.tools import ToolOrder, same_schema

# Names come twice, and None is a checkpoint among the tools.
CALLS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "d", "e", None]), max_size=9), min_size=1, max_size=12
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "properties", "enum", "required", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def schema(name, **more):
    return {"name": name, "parameters": {"type": "object", "properties": {"i": {}, "j": {}}, **more}}


def shown(order, names):
    return "".join(names[p.at] for p in order.order([(n, schema(n)) for n in names]))


def shuffled(value, rng):
    """The same JSON with its keys in another order."""
    if isinstance(value, dict):
        keys = rng.sample(list(value), len(value))
        return {k: shuffled(value[k], rng) for k in keys}
    return [shuffled(v, rng) for v in value] if isinstance(value, list) else value


def test_first_seen_first_and_new_ones_last():
    order = ToolOrder()
    assert [shown(order, names) for names in ("bca", "abc", "dacb", "ca", "eadbc")] == [
        "bca",
        "bca",
        "bcad",
        "ca",
        "bcade",
    ]


@given(CALLS)
def test_each_tool_once_and_twice_is_once(calls):
    order = ToolOrder()
    for names in calls:
        tools = [(n, schema(n)) for n in names]
        placed = order.order(tools)
        assert sorted(p.at for p in placed) == list(range(len(names)))
        assert all(p.schema is None for p in placed)
        again = order.order([tools[p.at] for p in placed])
        assert [p.at for p in again] == list(range(len(names)))


@given(CALLS, st.randoms(use_true_random=False))
def test_however_they_are_listed_the_list_is_the_same(calls, rng):
    one, other = ToolOrder(), ToolOrder()
    for names in ["abcde", *calls]:
        known = [n for n in dict.fromkeys(names) if n]
        shown(one, "abcde"), shown(other, "abcde")
        assert shown(one, known) == shown(other, rng.sample(known, len(known)))


@given(CALLS)
def test_no_tool_moves_across_a_checkpoint(calls):
    order = ToolOrder()
    for names in calls:
        told = [names[p.at] for p in order.order([(n, schema(n)) for n in names])]
        assert [n is None for n in told] == [n is None for n in names]
        stretches = [[]]
        for before, now in zip(names, told, strict=True):
            if now is None:
                stretches.append([])
            else:
                stretches[-1].append((before, now))
        assert all(sorted(b for b, _ in s) == sorted(n for _, n in s) for s in stretches)


@given(VALUES, st.randoms(use_true_random=False))
def test_the_same_schema_is_written_as_it_first_was(value, rng):
    order, first = ToolOrder(), {"parameters": value}
    order.order([("a", first)])
    for _ in range(3):
        [placed] = order.order([("a", shuffled(first, rng))])
        written = shuffled(first, rng) if placed.schema is None else placed.schema
        [again] = order.order([("a", written)])
        told = written if again.schema is None else again.schema
        assert json.dumps(told) == json.dumps(first)


def test_required_is_a_set():
    order = ToolOrder()
    order.order([("a", schema("a", required=["i", "j"]))])
    [placed] = order.order([("a", schema("a", required=["j", "i"]))])
    assert placed.schema == schema("a", required=["i", "j"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"enum": ["x", "y"]}, {"enum": ["y", "x"]}),
        ({"default": {"required": ["x", "y"]}}, {"default": {"required": ["y", "x"]}}),
        ({"examples": [{"required": ["x", "y"]}]}, {"examples": [{"required": ["y", "x"]}]}),
        ({"default": 1}, {"default": True}),
        ({"anyOf": [{"type": "x"}, {"type": "y"}]}, {"anyOf": [{"type": "y"}, {"type": "x"}]}),
        ({"description": "one"}, {"description": "two"}),
        ({"required": ["x"]}, {"required": ["x", "x"]}),
    ],
)
def test_what_may_mean_something_else_is_another_schema(one, other):
    assert not same_schema(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"items": [{"required": ["x", "y"]}]}, {"items": [{"required": ["y", "x"]}]}),
        # A property that the user calls "default" is a schema, not data.
        (
            {"properties": {"default": {"required": ["x", "y"]}}},
            {"properties": {"default": {"required": ["y", "x"]}}},
        ),
        (
            {"properties": {"required": {"type": "x", "a": 1}}},
            {"properties": {"required": {"a": 1, "type": "x"}}},
        ),
    ],
)
def test_what_means_the_same_is_the_same_schema(one, other):
    assert same_schema(one, other)


def test_a_tool_that_changed_keeps_its_place_with_what_it_is_now():
    order = ToolOrder()
    shown(order, "abc")
    changed = [(n, schema(n, required=["i"])) for n in "cba"]
    assert [(p.at, p.schema) for p in order.order(changed)] == [(2, None), (1, None), (0, None)]
    [again] = order.order([("a", shuffled(schema("a", required=["i"]), random.Random(3)))])
    assert again.schema == schema("a", required=["i"])


def test_tools_of_one_name_are_each_written_as_they_first_were():
    """As of tenants that share what remembers."""
    order, rng = ToolOrder(), random.Random(3)
    tenants = [schema("a", description=str(n)) for n in range(8)]
    for tenant in tenants:
        order.order([("a", tenant)])
    for _ in range(3):
        for tenant in rng.sample(tenants, 8):
            now = shuffled(tenant, rng)
            [placed] = order.order([("a", now)])
            assert json.dumps(now if placed.schema is None else placed.schema) == json.dumps(tenant)
    more = [schema("a", description=str(n)) for n in range(50)]
    assert [p.schema for n in more for p in order.order([("a", n)])] == [None] * 50
    assert len(order._seen["a", 0].forms) == 8


def test_what_was_given_is_never_given_back():
    order, mine = ToolOrder(), schema("a", required=["i", "j"])
    order.order([("a", mine)])
    mine["parameters"]["required"].reverse()
    [placed] = order.order([("a", mine)])
    assert placed.schema == schema("a", required=["i", "j"])
    placed.schema.clear()
    [again] = order.order([("a", mine)])
    assert again.schema == schema("a", required=["i", "j"])


def test_it_is_bounded_by_count_and_by_bytes():
    order = ToolOrder(capacity=3)
    shown(order, "abcdef")
    assert len(order._seen) == 3
    # Those that were forgotten are new.
    assert shown(order, "fa") == "fa"
    large = ToolOrder()
    large.order([(str(n), {"description": "x" * 1_000_000}) for n in range(40)])
    assert len(large._seen) == 15
    assert large._characters == sum(s.size for s in large._seen.values()) <= 16_000_000


@pytest.mark.parametrize("capacity", [0, -1, "many", None, 1.5])
def test_a_capacity_that_is_none_is_refused(capacity):
    with pytest.raises(ValueError, match=f"capacity is {capacity!r}"):
        ToolOrder(capacity)


def test_it_is_safe_under_threads():
    order, failed = ToolOrder(), []
    names = [f"t{n}" for n in range(30)]
    order.order([(n, schema(n)) for n in names])

    def run(seed):
        rng = random.Random(seed)
        for _ in range(50):
            told = rng.sample(names, 30)
            placed = order.order([(n, shuffled(schema(n), rng)) for n in told])
            if [told[p.at] for p in placed] != names:
                failed.append(told)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_it_goes_to_another_process_with_what_it_knows():
    order = ToolOrder()
    shown(order, "cab")
    assert shown(pickle.loads(pickle.dumps(order)), "abc") == "cab"
