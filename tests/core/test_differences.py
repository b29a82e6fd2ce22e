"""What differs between two requests: place, change and kind, and no text unless asked for."""

import copy
import json
from typing import Any

import pytest

from cachepoint.core.models.rules import rules_for
from cachepoint.core.prompt.cuts import CLOCKS
from cachepoint.core.prompt.dialects import DIALECTS
from cachepoint.core.prompt.differences import Difference, difference
from cachepoint.core.prompt.moved import kind_of, parting
from tests.core.builders import NOVA, SONNET, assistant, point, result, tool, use, user


def read(request: dict[str, Any], dialect: str = "converse", model: str = SONNET) -> list[Any]:
    return DIALECTS[dialect].read(request, rules_for(model)).raw


def between(before: dict[str, Any], after: dict[str, Any], **how: Any) -> Difference | None:
    return difference(read(before), read(after), **how)


def request(**but: Any) -> dict[str, Any]:
    base = {
        "toolConfig": {"tools": [tool("alpha"), tool("beta"), tool("gamma"), tool("delta")]},
        "system": [{"text": "You are careful.\nToday is 2026-11-26.\nAnswer briefly."}],
        "messages": [
            user({"text": "Where is the valve?"}),
            assistant({"text": "I look it up."}, use("alpha", "t1"), use("beta", "t2")),
            user(result("t1"), result("t2")),
            assistant({"text": "Behind the pump."}),
            user({"text": "And the other?"}),
        ],
    }
    return {**copy.deepcopy(base), **but}


# What parts two texts, by kind: before, after, the kind.
KINDS = [
    ("Today is 2026-11-26.", "Today is 2026-11-27.", "a date"),
    ("Today is Thursday, November 26, 2026.", "Today is Friday, November 27, 2026.", "a date"),
    ("As of 26 November 2026 it holds.", "As of 1 December 2026 it holds.", "a date"),
    ("Heute ist der 26.11.2026, bitte", "Heute ist der 27.11.2026, bitte", "a date"),
    ("It is Monday.", "It is Tuesday.", "a date"),
    ("Build 20261126 runs", "Build 20261201 runs", "a date"),
    ("Now: 9:05", "Now: 19:05", "a time of day"),
    ("Now: 12:03:59 UTC", "Now: 12:04:00 UTC", "a time of day"),
    ("Now: 2026-11-26T16:21:58Z!", "Now: 2026-11-26T16:21:59Z!", "a time of day"),
    ("Now: 2026-11-26T23:59:58.12+01:00", "Now: 2026-11-27T00:00:01.40+01:00", "a time of day"),
    ("Now: Nov 26, 2026 at 4:21 PM", "Now: Nov 27, 2026 at 9:00 AM", "a time of day"),
    (
        "session 0b7e2a52-0f3b-4d0e-9d39-6a1f0f6c1a11 begins",
        "session 9c1d7a52-0f3b-4d0e-9d39-6a1f0f6c1a12 begins",
        "a UUID",
    ),
    ("ts=1764174118", "ts=1764174119", "a unix time"),
    ("ts=1764174118123 ok", "ts=1764174911999 ok", "a unix time"),
    ("ts=1764174118.52 ok", "ts=1764174118.97 ok", "a unix time"),
    ("Turn 3 of 10", "Turn 4 of 10", "a counter"),
    ("page 9, please", "page 10, please", "a counter"),
    ("run session_17 now", "run session_18 now", "a counter"),
    ("You have 14,203 tokens left", "You have 11,877 tokens left", "a number"),
    ("temperature 21.5 degrees", "temperature 19.25 degrees", "a number"),
    ("There are 300 users", "There are 12 users", "a number"),
    ("request req_8f3A9bQz01 came", "request req_1c7B2xWy44 came", "an id"),
    ("sha deadbeef1234 there", "sha deadbeee1234 there", "an id"),
    ("write to ann@example.org", "write to bob@example.org", "an e-mail address"),
    ("see https://a.example/x?sig=1", "see https://a.example/y?sig=2", "an address"),
    ("cwd: /home/ann/work", "cwd: /tmp/pytest-0/work", "a path"),
    ("cwd: C:\\Users\\ann\\x", "cwd: C:\\Users\\bob\\x", "a path"),
    ("running 1.12.0 now", "running 1.13.2 now", "a version"),
    ("You are helping Alice today", "You are helping Bob today", "a name"),
    ("User: Alice Smith", "User: Alice Jones", "a name"),
    ('Profile: {"a": 1, "b": [2, 3]} end', 'Profile: {"b": [2, 3], "a": 1} end', "the order of JSON keys"),
    ('{"x": {"a": 1, "b": 2}, "y": 3}', '{"x": {"b": 2, "a": 1}, "y": 3}', "the order of JSON keys"),
    ("- one\n- two\n- three", "- three\n- one\n- two", "the order of lines"),
    ("a text with  spaces", "a text with spaces", "white space"),
    ("line one\nline two", "line one\r\nline two", "white space"),
    ("ends here", "ends here\n", "white space"),
    ("one two three four five six. It is 9", "one  two three four five six. It is 8", "white space"),
    ("café au lait", "cafe\u0301 au lait", "the Unicode form of a letter"),
    ("use JSON mode", "use Json mode", "upper and lower case"),
    ("Answer in short sentences.", "Write in short sentences.", None),
    ("Be kind.\nAnswer fast", "Be kind.\nReply fast", None),
    ("it is quick", "it is slow", None),
]


@pytest.mark.parametrize(("before", "after", "kind"), KINDS)
@pytest.mark.parametrize("around", ["", "x" * 500 + "\n", "A line before.\n\n"])
def test_the_kind_of_text_that_moved(before: str, after: str, kind: str | None, around: str) -> None:
    assert kind_of(around + before, around + after) == kind
    found = between(
        request(system=[{"text": around + before + "\nThe end."}]),
        request(system=[{"text": around + after + "\nThe end."}]),
    )
    assert found is not None
    assert (found.layer, found.where, found.kind) == ("system", "system[0]", kind)
    assert found.at == parting(around + before + "\nThe end.", around + after + "\nThe end.")


def test_the_words_are_those_of_what_looks_like_a_clock() -> None:
    assert {name for name, _ in CLOCKS} <= {kind for *_, kind in KINDS}


def test_a_text_of_megabytes_is_compared_at_once() -> None:
    long = "word " * 400_000
    assert parting(long + "a", long + "b") == len(long)
    assert kind_of(long + "12:01", long + "12:02") == "a time of day"


# What happened to the tools: which are sent after alpha, beta, gamma, delta; the change, the place, the names.
TOOLS = [
    (["beta", "alpha", "gamma", "delta"], "reordered", "tools[0]", ("alpha", "beta")),
    (["beta", "gamma", "delta", "alpha"], "reordered", "tools[0]", ("alpha",)),
    (["alpha", "beta", "delta", "gamma"], "reordered", "tools[2]", ("gamma", "delta")),
    (["delta", "gamma", "beta", "alpha"], "reordered", "tools[0]", ("alpha", "beta", "gamma", "delta")),
    (["alpha", "beta", "new", "gamma", "delta"], "added", "tools[2]", ("new",)),
    (["alpha", "beta", "gamma", "delta", "new", "more"], "added", "tools[4]", ("new", "more")),
    (["alpha", "gamma", "delta"], "removed", "tools[1]", ("beta",)),
    (["alpha", "beta"], "removed", "tools[2]", ("gamma", "delta")),
    ([], "removed", "tools[0]", ("alpha", "beta", "gamma", "delta")),
]


@pytest.mark.parametrize(("names", "change", "where", "told"), TOOLS)
def test_tools_are_told_apart_by_name(
    names: list[str], change: str, where: str, told: tuple[str, ...]
) -> None:
    tools = [tool(name) for name in names]
    found = between(request(), request(toolConfig={"tools": tools}))
    assert found is not None
    assert (found.layer, found.change, found.where, found.names) == ("tools", change, where, told)


def edited(*way: Any, to: Any) -> dict[str, Any]:
    out = request()
    held = out
    for step in way[:-1]:
        held = held[step]
    if to is None:
        del held[way[-1]]
    else:
        held[way[-1]] = to
    return out


SPEC = ("toolConfig", "tools", 2, "toolSpec")
SCHEMA = (*SPEC, "inputSchema", "json")
FIELDS = [
    ((*SPEC, "description"), "gamma, rewritten", "edited", "tools[2].toolSpec.description"),
    ((*SPEC, "description"), None, "edited", "tools[2].toolSpec.description"),
    ((*SCHEMA, "required"), ["x"], "edited", "tools[2].toolSpec.inputSchema.json.required"),
    (
        (*SCHEMA, "properties", "x", "type"),
        "number",
        "edited",
        "tools[2].toolSpec.inputSchema.json.properties.x.type",
    ),
]


@pytest.mark.parametrize(("way", "to", "change", "where"), FIELDS)
def test_the_field_of_a_tool_is_named(way: tuple[Any, ...], to: Any, change: str, where: str) -> None:
    found = between(request(), edited(*way, to=to))
    assert found is not None
    assert (found.layer, found.change, found.where, found.names) == ("tools", change, where, ("gamma",))


def test_keys_of_a_schema_in_another_order_are_a_change_and_members_of_the_wire_are_none() -> None:
    spec = request()["toolConfig"]["tools"][2]["toolSpec"]
    members = dict(reversed(spec.items()))
    assert between(request(), edited(*SPEC, to=members)) is None
    schema = dict(reversed(spec["inputSchema"]["json"].items()))
    found = between(request(), edited(*SCHEMA, to=schema))
    assert found is not None
    assert (found.where, found.kind) == ("tools[2].toolSpec.inputSchema.json", "the order of JSON keys")


def test_a_list_of_a_schema_in_another_order_is_named_so() -> None:
    one, other = (edited(*SCHEMA, "required", to=keys) for keys in (["x", "y"], ["y", "x"]))
    found = between(one, other)
    assert found is not None
    assert (found.change, found.kind) == ("edited", "the order of a list")
    assert found.where == "tools[2].toolSpec.inputSchema.json.required[0]"


def test_a_tool_that_was_renamed_is_edited_under_both_names() -> None:
    found = between(request(), edited(*SPEC, "name", to="gamma_2"))
    assert found is not None
    assert (found.change, found.where) == ("edited", "tools[2].toolSpec.name")
    assert found.names == ("gamma", "gamma_2")


def system(*texts: str) -> dict[str, Any]:
    return request(system=[{"text": text} for text in texts])


SYSTEMS = [
    (("a", "b", "c"), ("a", "b", "c", "d"), "added", "system[3]", None, None),
    (("a", "b", "c"), ("a", "c"), "removed", "system[1]", None, None),
    (("a", "b", "c"), ("a", "new", "b", "c"), "added", "system[1]", None, None),
    (("a", "b", "c"), ("b", "a", "c"), "reordered", "system[0]", "the order of blocks", None),
    (("one text",), ("one ", "text"), "edited", "system[0]", "where a block ends", 4),
    (("Be kind. Be brief.",), ("Be kind.",), "truncated", "system[0]", None, 8),
    (("Be kind.",), ("Be kind. Be brief.",), "added", "system[0]", None, 8),
    (
        ("Be kind.\nBe brief.",),
        ("Be kind.\nIt is 9:05.\nBe brief.",),
        "added",
        "system[0]",
        "a time of day",
        9,
    ),
    (
        ("Be kind.\nIt is 9:05.\nBe brief.",),
        ("Be kind.\nBe brief.",),
        "removed",
        "system[0]",
        "a time of day",
        9,
    ),
    (("a",), (), "removed", "system[0]", None, None),
    ((), ("a",), "added", "system[0]", None, None),
]


@pytest.mark.parametrize(("before", "after", "change", "where", "kind", "at"), SYSTEMS)
def test_blocks_and_texts_of_the_system_prompt(
    before: tuple[str, ...], after: tuple[str, ...], change: str, where: str, kind: str | None, at: int | None
) -> None:
    found = between(system(*before), system(*after))
    assert found is not None
    assert (found.layer, found.change, found.where) == ("system", change, where)
    assert (found.kind, found.at) == (kind, at)


def test_what_goes_on_is_no_difference() -> None:
    longer = request()
    longer["messages"] += [assistant({"text": "Left of it."}), user({"text": "Thanks."})]
    assert between(request(), request()) is None
    assert between(request(), longer) is None
    # An earlier place in the same conversation: all that it sends was sent before.
    assert between(longer, request()) is None


def test_checkpoints_are_no_difference() -> None:
    marked = request()
    marked["system"].append(point("1h"))
    marked["messages"][2]["content"].append(point())
    marked["toolConfig"]["tools"].append(point())
    assert between(request(), marked) is None
    body = {"system": "Be kind.", "messages": [{"role": "user", "content": "Hi"}]}
    control = {"type": "ephemeral"}
    same = {
        "system": [{"type": "text", "text": "Be kind.", "cache_control": control}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": control}]}],
    }
    assert difference(read(body, "messages"), read(same, "messages")) is None


def turns(*texts: str) -> list[dict[str, Any]]:
    return [(user, assistant)[i % 2]({"text": text}) for i, text in enumerate(texts)]


LONG = ["u1", "a1", "u2", "a2", "u3", "a3", "u4"]
HISTORIES = [
    (LONG, [*LONG[2:], "a4", "u5"], "truncated", "messages[0].content[0]", None),
    (LONG, ["u1", "a1", "u3", "a3", "u4", "a4", "u5"], "truncated", "messages[2].content[0]", None),
    (
        LONG,
        ["Summary so far.", "a3", "u4", "a4", "u5"],
        "compacted",
        "messages[0].content[0]",
        "history summarised",
    ),
    (
        LONG,
        ["Here is a summary of the conversation to date:\n\nx", "a9", "u9"],
        "compacted",
        "messages[0].content[0]",
        "history summarised",
    ),
    (LONG, ["u1", "a1", "edited", *LONG[3:]], "edited", "messages[2].content[0]", None),
    (LONG, ["u1", "a1", "u2", "a2 ", *LONG[4:]], "re-rendered", "messages[3].content[0]", "white space"),
    (LONG, ["u1", "a1", "u2", "a2", "another question"], "edited", "messages[4].content[0]", None),
]


@pytest.mark.parametrize(("before", "after", "change", "where", "kind"), HISTORIES)
def test_what_happened_to_a_history(
    before: list[str], after: list[str], change: str, where: str, kind: str | None
) -> None:
    found = between(request(messages=turns(*before)), request(messages=turns(*after)))
    assert found is not None
    assert (found.layer, found.change, found.where, found.kind) == ("messages", change, where, kind)


def content(message: int, *blocks: dict[str, Any]) -> dict[str, Any]:
    return edited("messages", message, "content", to=list(blocks))


RESULT = {"toolUseId": "t1", "content": [{"json": {"city": "Rome", "sky": "clear"}}]}
REORDERED = {"toolUseId": "t1", "content": [{"json": {"sky": "clear", "city": "Rome"}}]}
USED = {"toolUseId": "t1", "name": "alpha", "input": {"a": 1, "b": 2}}
BLOCKS = [
    (
        content(2, result("t1"), result("t2")),
        content(2, result("t2"), result("t1")),
        ("reordered", "messages[2].content[0]", "the order of tool results"),
    ),
    (
        content(2, {"toolResult": RESULT}),
        content(2, {"toolResult": REORDERED}),
        ("re-rendered", "messages[2].content[0].toolResult.content[0].json", "the order of JSON keys"),
    ),
    (
        content(1, {"toolUse": USED}),
        content(1, {"toolUse": {**USED, "input": {"b": 2, "a": 1}}}),
        ("re-rendered", "messages[1].content[0].toolUse.input", "the order of JSON keys"),
    ),
    (
        content(1, {"toolUse": {**USED, "toolUseId": "tooluse_a1B2c3"}}),
        content(1, {"toolUse": {**USED, "toolUseId": "tooluse_d4E5f6"}}),
        ("re-rendered", "messages[1].content[0].toolUse.toolUseId", "an id"),
    ),
    (
        content(1, {"toolUse": {**USED, "input": {"a": 1}}}),
        content(1, {"toolUse": {**USED, "input": {"a": 1.0}}}),
        ("edited", "messages[1].content[0].toolUse.input", "a number"),
    ),
    (
        content(
            1, {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}, {"text": "So."}
        ),
        content(1, {"text": "So."}),
        ("re-rendered", "messages[1].content[0]", "reasoning"),
    ),
    (
        content(2, result("t1", 400)),
        content(2, {"toolResult": {"toolUseId": "t1", "content": [{"text": "[cleared]"}]}}),
        ("compacted", "messages[2].content[0]", "tool results cleared"),
    ),
    (
        content(2, {"toolResult": {"toolUseId": "t1", "content": [{"text": "It is 9:05."}]}}),
        content(2, {"toolResult": {"toolUseId": "t1", "content": [{"text": "It is 9:06."}]}}),
        ("edited", "messages[2].content[0].toolResult.content[0].text", "a time of day"),
    ),
    (
        content(0, {"image": {"format": "png", "source": {"bytes": b"one"}}}),
        content(0, {"image": {"format": "png", "source": {"bytes": b"two"}}}),
        ("edited", "messages[0].content[0].image.source.bytes", "the bytes of a file"),
    ),
    (
        content(0, {"text": "Hello there"}),
        content(0, {"text": "Hello "}, {"text": "there"}),
        ("re-rendered", "messages[0].content[0]", "where a block ends"),
    ),
]


@pytest.mark.parametrize(("before", "after", "told"), BLOCKS)
def test_what_happened_to_a_block(
    before: dict[str, Any], after: dict[str, Any], told: tuple[str, str, str]
) -> None:
    found = between(before, after)
    assert found is not None
    assert (found.change, found.where, found.kind) == told


def test_two_messages_that_became_one_part_where_the_second_began() -> None:
    two = request(messages=[user({"text": "a"}), user({"text": "b"}), assistant({"text": "c"})])
    one = request(messages=[user({"text": "a"}, {"text": "b"}), assistant({"text": "c"})])
    found = between(two, one)
    assert found is not None
    assert (found.change, found.where, found.kind) == (
        "re-rendered",
        "messages[0].content[1]",
        "where a message begins",
    )


def test_the_first_in_cache_order_is_told_not_the_loudest() -> None:
    changed = edited(*SPEC, "description", to="gamma!")
    changed["system"] = [{"text": "Other."}]
    changed["messages"] = turns("other")
    assert getattr(between(request(), changed), "layer", None) == "tools"
    del changed["toolConfig"]
    changed["toolConfig"] = request()["toolConfig"]
    assert getattr(between(request(), changed), "layer", None) == "system"


def test_text_is_told_only_where_it_is_asked_for_and_only_so_much() -> None:
    secret = "the code is swordfish " * 200
    one, other = ({"text": f"{secret}{end}{secret}"} for end in ("12:01", "12:02"))
    silent = between(request(system=[one]), request(system=[other]))
    assert silent is not None
    assert silent.before is None
    assert silent.after is None
    assert "swordfish" not in repr(silent)
    told = between(request(system=[one]), request(system=[other]), show=True)
    assert told is not None
    assert "12:01" in (told.before or "")
    assert "12:02" in (told.after or "")
    assert max(len(told.before or ""), len(told.after or "")) <= 100


@pytest.mark.parametrize(("before", "after", "told"), BLOCKS)
def test_nothing_of_a_block_is_told_unasked(
    before: dict[str, Any], after: dict[str, Any], told: tuple[str, str, str]
) -> None:
    found = between(before, after)
    assert told[0] == found.change if found else False
    words = ["swordfish", "Rome", "sky", "Hello", "hm", "9:05"]
    assert not [word for word in words if word in json.dumps(repr(found))]


def test_the_other_dialects_name_their_own_fields() -> None:
    def body(description: str) -> dict[str, Any]:
        one = {"name": "alpha", "description": description, "input_schema": {"type": "object"}}
        return {"tools": [one], "messages": [{"role": "user", "content": "Hi"}]}

    found = difference(read(body("old"), "messages"), read(body("new"), "messages"))
    assert found is not None
    assert (found.where, found.names) == ("tools[0].description", ("alpha",))
    told = difference(read(request(), "nova", NOVA), read(edited(*SPEC, "description", to="x"), "nova", NOVA))
    assert told is not None
    assert told.where == "tools[2].toolSpec.description"
