"""The cache alone, without HTTP: one test for each of its rules."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepoint.emulator import CacheEngine, Options, Outcome, Scope, default_sizer, read_prompt, resolve
from cachepoint.emulator.cache import engine
from tests.emulator.wire import (
    HAIKU,
    HOUR,
    NOVA,
    POINT,
    SONNET,
    SONNET_4,
    TOOL,
    assistant,
    result,
    text,
    use,
    user,
)

BIG = text(1500)


class World:
    """An engine, a clock at 0 and a Sonnet 4.6 in us-east-1, where nothing else is said."""

    def __init__(self, *, seed: int = 0, **options: Any) -> None:
        self.now = 0.0
        self.options = Options(**options)
        self.engine = CacheEngine(lambda: self.now, seed=seed)

    def begin(
        self, request: dict[str, Any], model: str = SONNET, region: str = "us-east-1", **options
    ) -> Outcome:
        rules = resolve(model)
        assert rules is not None
        prompt = read_prompt(request, rules)
        sizes = default_sizer(prompt, rules)
        return self.engine.begin(prompt, rules, Scope(model, region), sizes, options=self.options, **options)

    def call(self, request: dict[str, Any], *args: Any, **options: Any) -> Outcome:
        outcome = self.begin(request, *args, **options)
        self.engine.publish(outcome)
        return outcome


@pytest.fixture
def world():
    return World()


def ask(*messages: dict[str, Any], system=(BIG, POINT), **more: Any) -> dict[str, Any]:
    return {"system": list(system), "messages": list(messages) or [user(text(5))], **more}


def tools(*items: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {"toolConfig": {"tools": list(items), **({"toolChoice": choice} if choice else {})}}


def history(blocks: int) -> list[dict[str, Any]]:
    """One user message of so many blocks."""
    return [text(2, f"b{n}") for n in range(blocks)]


def test_the_second_call_reads_what_the_first_wrote(world):
    first, second = world.call(ask()), world.call(ask())
    assert (first.read, first.write) == (0, 1500)
    assert (second.read, second.write) == (1500, 0)
    assert first.uncached == second.uncached > 0


def test_without_a_checkpoint_nothing_is_written_or_read(world):
    world.call(ask())
    outcome = world.call(ask(system=[BIG]))
    assert (outcome.read, outcome.write) == (0, 0)


def test_a_prefix_below_the_minimum_is_ignored_without_a_word(world):
    for _ in range(2):
        outcome = world.call(ask(system=[text(1023), POINT]))
        assert (outcome.read, outcome.write, outcome.details) == (0, 0, ())


def test_the_minimum_counts_tools_system_and_messages_together(world):
    request = ask(
        user(text(400), POINT),
        system=[text(400)],
        **tools(TOOL, {"toolSpec": {**TOOL["toolSpec"], "description": "d" * 1200}}),
    )
    assert world.call(request).write > 1024


def test_each_model_has_its_own_minimum(world):
    assert world.call(ask(), HAIKU).write == 0
    assert world.call(ask(system=[text(4096), POINT]), HAIKU).write == 4096


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        pytest.param({"tools": "other"}, 0, id="tools"),
        pytest.param({"system": "other"}, 1, id="system"),
        pytest.param({"messages": "other"}, 2, id="messages"),
        pytest.param({}, 3, id="nothing"),
    ],
)
def test_a_change_loses_its_section_and_all_after_it(world, changed, kept):
    def request(tools_mark="t", system_mark="s", messages_mark="m"):
        tool = {"toolSpec": {**TOOL["toolSpec"], "description": tools_mark * 5000}}
        return {
            "toolConfig": {"tools": [tool, POINT]},
            "system": [text(1500, system_mark), POINT],
            "messages": [user(text(1500, messages_mark), POINT)],
        }

    first = world.call(request())
    second = world.call(request(**{f"{key}_mark": value[0] for key, value in changed.items()}))
    levels = [0, second.read, first.write]
    assert second.read + second.write == first.write
    assert (second.read == 0) == (kept == 0)
    assert (second.write == 0) == (kept == 3)
    assert levels == sorted(levels)


def test_the_order_of_keys_in_a_tool_schema_is_part_of_the_prefix(world):
    spec = TOOL["toolSpec"]
    turned = {"toolSpec": dict(reversed(spec.items()))}
    world.call(ask(**tools(TOOL)))
    assert world.call(ask(**tools(turned))).read == 0


def test_where_a_message_begins_is_part_of_the_prefix(world):
    one = ask(user(BIG, text(1500), POINT), system=[])
    two = ask(user(BIG), user(text(1500), POINT), system=[])
    world.call(one)
    assert world.call(two).read == 0


def test_a_checkpoint_inside_a_message_and_at_its_end_are_one_place(world):
    world.call(ask(user(BIG, POINT), system=[]))
    assert world.call(ask(user(BIG, text(9), POINT), system=[])).read == 1503


def test_the_checkpoint_may_move_on(world):
    world.call(ask(user(BIG, POINT), system=[]))
    grown = ask(user(BIG), assistant(text(9)), user(text(9), POINT), system=[])
    outcome = world.call(grown)
    assert outcome.read == 1503
    assert outcome.write > 0


def test_every_checkpoint_writes_an_entry_of_its_own(world):
    world.call(ask(user(text(500), POINT, text(500), POINT)))
    other_tail = ask(user(text(500), POINT, text(500, "x"), POINT))
    assert world.call(other_tail).read == 1500 + 503


def test_a_shared_beginning_without_a_checkpoint_is_not_read(world):
    world.call(ask(user(BIG, text(1500, "a"), POINT), system=[]))
    assert world.call(ask(user(BIG, text(1500, "b"), POINT), system=[])).read == 0


@pytest.mark.parametrize(("added", "hit"), [(0, True), (1, True), (20, True), (21, True), (22, False)])
def test_the_lookback_ends_after_21_blocks(world, added, hit):
    world.call(ask(user(BIG, POINT), system=[]))
    outcome = world.call(ask(user(BIG, *history(added), POINT), system=[]))
    assert (outcome.read > 0) is hit


def test_every_tool_use_and_tool_result_is_a_block_of_the_lookback(world):
    world.call(ask(user(BIG, POINT), system=[], **tools(TOOL)))
    ten, eleven = (
        ask(
            user(BIG),
            assistant(*(use(f"c{n}") for n in range(calls))),
            user(*(result(f"c{n}") for n in range(calls)), POINT),
            system=[],
            **tools(TOOL),
        )
        for calls in (10, 11)
    )
    assert world.call(eleven).read == 0
    assert world.call(ten).read > 0


def test_each_checkpoint_has_its_own_lookback(world):
    world.call(ask(user(BIG, POINT), system=[]))
    blocks = history(30)
    outcome = world.call(ask(user(BIG, *blocks[:15], POINT, *blocks[15:], POINT), system=[]))
    assert outcome.read == 1503


@pytest.mark.parametrize(("point", "lives"), [(POINT, 300), (HOUR, 3600)])
def test_an_entry_ends_after_its_ttl(world, point, lives):
    world.call(ask(system=[BIG, point]))
    world.now = lives
    assert world.call(ask(system=[BIG, point])).read == 0


@pytest.mark.parametrize(("point", "lives"), [(POINT, 300), (HOUR, 3600)])
def test_every_read_starts_the_ttl_again(world, point, lives):
    world.call(ask(system=[BIG, point]))
    for _ in range(4):
        world.now += lives - 1
        assert world.call(ask(system=[BIG, point])).read == 1500


def test_a_read_refreshes_the_entries_before_it(world):
    world.call(ask(user(text(500), POINT)))
    world.now = 200
    world.call(ask(user(text(500), POINT)))
    world.now = 400
    assert world.call(ask(user(text(7, "x")))).read == 1500


def test_a_ttl_counts_from_the_start_of_the_request(world):
    outcome = world.begin(ask())
    world.now = 200
    world.engine.publish(outcome)
    world.now = 300
    assert world.call(ask()).read == 0


def test_ttl_is_no_part_of_the_key_and_an_entry_keeps_its_own(world):
    world.call(ask(system=[BIG, HOUR]))
    world.now = 1000
    assert world.call(ask(system=[BIG, POINT])).read == 1500
    world.now = 4000
    assert world.call(ask(system=[BIG, POINT])).read == 1500


def test_a_longer_marker_does_not_lengthen_an_entry_that_lives(world):
    world.call(ask(system=[BIG, POINT]))
    world.call(ask(system=[BIG, HOUR]))
    world.now = 301
    assert world.call(ask(system=[BIG, HOUR])).write == 1500


def test_a_segment_is_billed_at_the_ttl_of_the_marker_that_ends_it(world):
    outcome = world.call(ask(user(text(100), POINT), system=[BIG, HOUR]))
    assert outcome.details == (("1h", 1500), ("5m", 103))
    assert sum(tokens for _, tokens in outcome.details) == outcome.write


def test_what_was_read_is_not_in_the_details(world):
    world.call(ask(system=[BIG, HOUR]))
    assert world.call(ask(user(text(100), POINT), system=[BIG, HOUR])).details == (("5m", 103),)


def test_a_model_of_5m_takes_1h_in_silence(world):
    outcome = world.call(ask(system=[BIG, HOUR]), SONNET_4)
    assert outcome.details == (("5m", 1500),)


def test_nothing_is_readable_before_its_answer_began(world):
    outcomes = [world.begin(ask()) for _ in range(3)]
    assert [outcome.write for outcome in outcomes] == [1500] * 3
    world.engine.publish(outcomes[0])
    assert world.begin(ask()).read == 1500


@pytest.mark.parametrize("changed", [{"model": "anthropic.claude-sonnet-4-6"}, {"region": "eu-west-1"}])
def test_another_model_or_region_has_another_cache(world, changed):
    world.call(ask())
    assert world.call(ask(), **changed).read == 0


THINKING = {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}}}
LOW = {"additionalModelRequestFields": {"output_config": {"effort": "low"}}}


def answering(schema):
    structure = {"jsonSchema": {"schema": json.dumps(schema)}}
    return {"outputConfig": {"textFormat": {"type": "json_schema", "structure": structure}}}


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        pytest.param({}, "all", id="nothing"),
        pytest.param(THINKING, "none", id="thinking on"),
        pytest.param(
            {"additionalModelRequestFields": {"thinking": {"type": "disabled"}}},
            "all",
            id="thinking disabled",
        ),
        pytest.param(answering({"type": "object"}), "none", id="a JSON schema"),
        pytest.param(LOW, "none", id="effort low"),
        pytest.param({"outputConfig": {"effort": "low"}}, "none", id="effort low in outputConfig"),
        pytest.param(
            {"additionalModelRequestFields": {"output_config": {"effort": "high"}}}, "all", id="effort high"
        ),
        pytest.param(
            {"inferenceConfig": {"temperature": 0.3, "maxTokens": 7}}, "all", id="temperature, maxTokens"
        ),
        pytest.param(tools(TOOL, auto={}), "all", id="auto"),
        pytest.param(tools(TOOL, any={}), "system", id="any"),
        pytest.param(tools(TOOL, tool={"name": "get_weather"}), "system", id="tool"),
    ],
)
def test_what_a_setting_loses(world, settings, read):
    def request(more):
        return ask(user(text(500), POINT), **{**tools(TOOL), **more})

    first = world.call(request({}))
    system = first.write - 503
    assert world.call(request(settings)).read == {"all": first.write, "system": system, "none": 0}[read]


def test_d5_entries_are_bounded_in_number(monkeypatch):
    """D5: a server that runs for long; those that end soonest go first."""
    monkeypatch.setattr(engine, "_FIRST_SWEEP", 8)
    monkeypatch.setattr(engine, "_MOST_ENTRIES", 16)
    world = World()
    kept = world.call(ask(system=[text(2000, "hour"), HOUR]))
    for number in range(100):
        world.call(ask(system=[text(2000, str(number)), POINT]))
        assert len(world.engine._entries) <= 16
    assert world.call(ask(system=[text(2000, "hour"), HOUR])).read == kept.write
    assert world.call(ask(system=[text(2000, "99"), POINT])).read > 0
    assert world.call(ask(system=[text(2000, "0"), POINT])).read == 0


def test_each_schema_has_a_prefix_of_its_own(world):
    first = world.call(ask(**answering({"type": "object"})))
    assert world.call(ask(**answering({"type": "object", "title": "Other"}))).read == 0
    assert world.call(ask(**answering({"type": "object"}))).read == first.write


def test_from_any_to_a_named_tool_keeps_the_messages(world):
    first = world.call(ask(user(text(500), POINT), **tools(TOOL, any={})))
    assert (
        world.call(ask(user(text(500), POINT), **tools(TOOL, tool={"name": "get_weather"}))).read
        == first.write
    )


def test_on_nova_a_tool_choice_loses_everything(world):
    world.call(ask(**tools(TOOL, auto={})), NOVA)
    assert world.call(ask(**tools(TOOL, any={})), NOVA).read == 0
    assert world.call(ask(**tools(TOOL, auto={})), NOVA).read > 0


def test_nova_does_not_look_back(world):
    world.call(ask(user(BIG, POINT), system=[]), NOVA)
    assert world.call(ask(user(BIG), assistant(text(3)), user(text(3), POINT), system=[]), NOVA).read == 0
    assert world.call(ask(user(BIG, POINT, text(3)), system=[]), NOVA).read > 0


def test_nova_caches_no_more_than_20k_tokens(world):
    assert world.call(ask(system=[text(30_000), POINT]), NOVA).write == 0


def test_a_point_inside_a_tool_result_caches_nothing_and_breaks_nothing(world):
    inner = {"toolUseId": "c1", "content": [{"text": "sunny"}, POINT]}
    turns = [user(BIG), assistant(use())]
    first = world.call(ask(*turns, user({"toolResult": inner}), system=[], **tools(TOOL)))
    assert first.write == 0
    world.call(ask(*turns, user({"toolResult": inner}, POINT), system=[], **tools(TOOL)))
    assert world.call(ask(*turns, user(result("c1"), POINT), system=[], **tools(TOOL))).read > 0


def test_two_points_at_one_place_count_as_one(world):
    once, twice = ask(system=[BIG, POINT]), ask(system=[BIG, POINT, POINT])
    assert world.call(twice).write == 1500
    assert world.call(once).read == 1500


def test_rerouting_is_seeded_and_for_cross_region_calls_alone():
    def reads(seed, cross_region):
        world = World(reroute=0.3, seed=seed)
        world.call(ask(), cross_region=False)
        return [world.call(ask(), cross_region=cross_region).read > 0 for _ in range(40)]

    assert all(reads(1, cross_region=False))
    assert reads(1, cross_region=True) == reads(1, cross_region=True) != reads(2, cross_region=True)
    assert not all(reads(1, cross_region=True))


def test_entries_that_ended_are_swept(world):
    for number in range(5000):
        world.call(ask(system=[text(1100, f"{number % 10}{number}"), {"text": str(number)}, POINT]))
        world.now += 1
    assert len(world.engine._entries) < 4200


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=8), st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_the_parts_always_add_up_to_the_prompt(turns, wait):
    world, blocks = World(), [BIG]
    for size, marked in turns:
        blocks.append(text(size + 1, f"{size}"))
        rules = resolve(SONNET)
        request = ask(user(*blocks, *([POINT] if marked else [])), system=[])
        outcome = world.call(request)
        whole = sum(default_sizer(read_prompt(request, rules), rules))
        assert outcome.read + outcome.write + outcome.uncached == whole
        assert sum(tokens for _, tokens in outcome.details) == outcome.write
        assert min(outcome.read, outcome.write, outcome.uncached) >= 0
        world.now += wait * 100
