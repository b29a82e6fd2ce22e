"""Reading a request off the wire and writing checkpoints into a copy of it, in both wire forms."""

import copy
import json

import pytest
from builders import NOVA, OLD, SONNET, assistant, marks, point, result, text, tool, use, user
from converse_requests import bare
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cachepoint import CachePolicy, PromptCache
from cachepoint.core.models.refusals import stricter
from cachepoint.core.models.rules import rules_for
from cachepoint.core.prompt.dialects import DIALECTS, converse, messages
from cachepoint.core.prompt.dialects.reading import UnreadableError
from cachepoint.core.prompt.rewriting import rewriting
from tests.work import work

CLAUDE = rules_for(SONNET)
EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
OPTIMIZED = {"performanceConfig": {"latency": "optimized"}}


def sent(request, model=SONNET, dialect="converse", **policy):
    """What leaves, with the end always marked so that ours would stand there."""
    cache = PromptCache(policy=CachePolicy(tail="always", **policy))
    before = copy.deepcopy(request)
    call = cache.prepare(request, model_id=model, dialect=dialect)
    assert request == before
    assert cache.faults == 0
    return call.request


def block(words="x", control=None, **fields):
    return {"type": "text", "text": words, **fields} | ({"cache_control": control} if control else {})


def controls(body):
    """The checkpoints of an InvokeModel body in order: place and TTL."""
    found = []

    def walk(value, where):
        if isinstance(value, dict):
            if where and "cache_control" in value:
                found.append((where, value["cache_control"].get("ttl", "5m")))
            for key, held in value.items():
                walk(held, f"{where}.{key}" if where else key)
        elif isinstance(value, list):
            for i, held in enumerate(value):
                walk(held, f"{where}[{i}]")

    walk({k: body[k] for k in ("tools", "system", "messages") if k in body}, "")
    return found


@pytest.mark.parametrize(
    "request_",
    [
        {"toolConfig": None, "messages": [user(text(2_000))]},
        {"toolConfig": {"tools": None}, "messages": [user(text(2_000))]},
        {"system": None, "messages": [user(text(2_000))]},
        {"messages": None, "system": [text(2_000)]},
        {"messages": [{"role": "user", "content": None}], "system": [point(), text(2_000)]},
        {"additionalModelRequestFields": None, "performanceConfig": None, "messages": [user(text(2_000))]},
        {"serviceTier": None, "outputConfig": None, "messages": [user(text(2_000))]},
    ],
    ids=str,
)
def test_a10_what_is_none_is_absent(request_):
    """A10: boto3 says what it has against a None; ours places what it can."""
    out = sent(request_)

    assert {k: v for k, v in out.items() if v is None} == {k: v for k, v in request_.items() if v is None}
    assert bare(out) == bare(request_)
    assert "cachePoint" in json.dumps(out)


@pytest.mark.parametrize("name", ["toolConfig", "system", "messages"])
def test_a10_in_a_body_too(name):
    body = {"system": "s " * 3_000, "messages": [{"role": "user", "content": "q " * 3_000}], name: None}

    assert controls(sent(body, dialect="messages"))


def test_a2_a_layer_that_was_disproved_takes_no_checkpoint_on_nova_either():
    """A2: Nova refuses a message point; with it taken out of the row there is none the next time."""
    request = {"system": [text(50)], "messages": [user(text(3_000), point())]}
    rules = rules_for(NOVA)
    assert [b.markable for b in converse.read(request, rules).raw] == [True, True]

    reading = converse.read(request, stricter(rules, {"messages"}))
    assert [b.markable for b in reading.raw] == [True, False]
    assert not reading.raw[1].mark.stays


def test_a2_five_calls_one_refusal():
    """A2: `#/messages/0/content/1: extraneous key [cachePoint]…` comes once."""
    cache = PromptCache(policy=CachePolicy(tail="always"))
    refusals = 0
    for turn in range(5):
        call = cache.prepare({"messages": [user(text(3_000), text(9, str(turn)))]}, model_id=NOVA)
        if marks(call.request):
            refusals += 1
            message = "Malformed input request: #/messages/0/content/1: extraneous key [cachePoint] is not permitted"
            assert marks(cache.refused(call, message).request) == []

    assert refusals == 1


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        ({**OPTIMIZED, "system": [text(2_000), point()], "messages": [user(text(9), point("1h"))]}, []),
        ({**OPTIMIZED, "system": [text(2_000)], "messages": [user(text(9))]}, []),
    ],
)
def test_b3_latency_optimised_inference_takes_no_checkpoint(given_, left):
    """B3: boto3#4626, whoever placed it."""
    out = sent(given_)

    assert marks(out) == left
    assert bare(out) == bare(given_)


@pytest.mark.parametrize(
    ("automatic", "hand", "left"),
    [
        (EPHEMERAL, [None] * 4, []),
        (EPHEMERAL, [EPHEMERAL, None, EPHEMERAL, EPHEMERAL], ["5m", "5m", "5m"]),
        (EPHEMERAL, [HOUR, EPHEMERAL, EPHEMERAL, EPHEMERAL], ["1h", "5m", "5m"]),
        (EPHEMERAL, [EPHEMERAL, None, HOUR, EPHEMERAL], ["1h", "1h", "5m"]),
        # Automatic caching's own point comes last: a 5m before its 1h would be refused.
        (HOUR, [EPHEMERAL, None, None, EPHEMERAL], ["1h", "1h"]),
    ],
)
def test_b3_automatic_caching_counts_as_one(automatic, hand, left):
    """B3: four of the caller's beside a top-level cache_control are five; the TTLs come in order."""
    blocks = [block(f"text {i}", control) for i, control in enumerate(hand)]
    body = {
        "cache_control": automatic,
        "system": blocks[:2],
        "messages": [
            {"role": "user", "content": blocks[2:3]},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": blocks[3:]},
            {"role": "assistant", "content": "well"},
            {"role": "user", "content": "go on"},
        ],
    }
    out = sent(body, dialect="messages")

    assert [ttl for _, ttl in controls(out)] == left
    assert out["cache_control"] == automatic
    if left == [c.get("ttl", "5m") for c in hand if c]:
        assert out == body


PDF = {"document": {"format": "pdf", "name": "d", "source": {"bytes": b"%PDF"}}}
GUARD = {"guardContent": {"text": {"text": "g " * 900}}}
SEARCH = {"searchResult": {"source": "s", "title": "t", "content": [{"text": "r " * 900}]}}
CITED = {"citationsContent": {"content": [{"text": "c " * 900}]}}
AUDIO = {"audio": {"format": "mp3", "source": {"bytes": b"ID3"}}}
IMAGE = {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}
CSV = {"document": {"format": "csv", "name": "d", "source": {"bytes": b"a,b"}}}
VIDEO = {"video": {"format": "mp4", "source": {"bytes": b"mp4"}}}
REASONING = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}}


@pytest.mark.parametrize(
    ("model", "held"),
    [
        (NOVA, PDF),
        (NOVA, GUARD),
        (NOVA, SEARCH),
        (SONNET, AUDIO),
        (SONNET, PDF),
        (SONNET, IMAGE),
        (SONNET, {"toolAddition": {"tool": {}}}),
    ],
    ids=lambda v: v if isinstance(v, str) else next(iter(v)),
)
def test_b4_the_callers_point_stays_where_nothing_is_known_against_it(model, held):
    """B4, law 7: where we place none of ours, the caller's may still stand."""
    request = {"messages": [user(text(2_000), held, point(), text(3, "so"))]}

    assert sent(request, model)["messages"][0]["content"][2] == point()


def test_b4_behind_citations_of_the_assistant():
    request = {"messages": [user(text(2_000)), assistant(CITED, point()), user(text(3))]}

    assert sent(request)["messages"][1]["content"] == [CITED, point()]


@pytest.mark.parametrize(
    ("model", "content"),
    [
        (NOVA, [IMAGE, point()]),
        (NOVA, [CSV, point()]),
        (NOVA, [result("1"), point()]),
        (SONNET, [CSV, point()]),
        (SONNET, [VIDEO, point()]),
        (SONNET, [REASONING, point()]),
        (SONNET, [{"text": "  "}, point()]),
        (SONNET, [point()]),
    ],
)
def test_b4_what_is_known_to_be_refused_goes(model, content):
    """Law 4: generative-ai-use-cases#1077, strands#1966, rig#1673."""
    request = {"messages": [user(text(2_000)), assistant(*content), user(text(3))]}

    assert sent(request, model)["messages"][1]["content"] == [b for b in content if "cachePoint" not in b]


@pytest.mark.parametrize("kind", ["web_search_tool_result", "search_result", "container_upload"])
def test_b4_in_a_body_too(kind):
    held = {"type": kind, "content": [], "cache_control": EPHEMERAL}
    body = {"messages": [{"role": "user", "content": [block("q " * 3_000), held, block("so")]}]}
    assert sent(body, dialect="messages")["messages"][0]["content"][1] == held

    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln", "cache_control": EPHEMERAL}
    body["messages"] += [{"role": "assistant", "content": [thought]}, {"role": "user", "content": "so"}]
    assert "cache_control" not in sent(body, dialect="messages")["messages"][1]["content"][0]


def tool_result(*parts, **fields):
    return {"type": "tool_result", "tool_use_id": "t", "content": list(parts), **fields}


def test_b6_a_checkpoint_inside_a_tool_result_counts_and_comes_in_order():
    """B6: five left, with a 1h behind a 5m."""
    body = {
        "system": [block("s " * 3_000, EPHEMERAL)],
        "messages": [
            {"role": "user", "content": [block("q", EPHEMERAL)]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            {"role": "user", "content": [tool_result(block("a"), block("b", HOUR), block("c", EPHEMERAL))]},
            {"role": "assistant", "content": [block("w", EPHEMERAL)]},
            {"role": "user", "content": [tool_result(block("d", HOUR)), block("so", EPHEMERAL)]},
        ],
    }
    found = controls(sent(body, dialect="messages"))

    assert len(found) == 4
    assert not [where for where, _ in found if ".content[0].content" in where]
    ttls = [ttl for _, ttl in found]
    assert ttls == sorted(ttls)
    assert ("messages[4].content[0]", "1h") in found


def test_b6_the_block_is_the_same_wherever_the_checkpoint_stood():
    with_one = tool_result(block("a", EPHEMERAL), block("b"), cache_control=HOUR)
    body = {"messages": [{"role": "user", "content": [with_one]}]}
    (raw,) = messages.read(body, CLAUDE).raw

    assert raw.payload == tool_result(block("a"), block("b"))
    assert (raw.mark.ttl, raw.mark.raw) == ("1h", HOUR)
    assert messages.write(body, {}, None, {})["messages"][0]["content"] == [raw.payload]
    plain = {"messages": [{"role": "user", "content": [tool_result(block("a")), tool_result("not a block")]}]}
    assert messages.read(plain, CLAUDE).raw[0].payload is plain["messages"][0]["content"][0]
    assert messages.write(plain, {}, None, {}) == plain


@pytest.mark.parametrize(
    ("request_", "tier"),
    [
        ({"serviceTier": {"type": "flex"}}, "flex"),
        ({"serviceTier": {"type": "priority"}}, "priority"),
        ({"serviceTier": {"type": None}}, None),
        ({"serviceTier": "flex"}, None),
        ({}, None),
    ],
)
def test_c1_the_service_tier_is_read(request_, tier):
    """C1: what is priced by tier must know it."""
    assert converse.read({**request_, "messages": [user(text(5))]}, CLAUDE).tier == tier


@pytest.mark.parametrize(
    ("dialect", "request_", "places"),
    [
        (
            "converse",
            {
                "toolConfig": {"tools": [tool("a"), point()]},
                "system": [text(5), point()],
                "messages": [user(text(5)), user(text(5), point("1h"), text(5), point())],
            },
            [("tools", (1,)), ("system", (1,)), ("messages", (1, 1)), ("messages", (1, 3))],
        ),
        (
            "messages",
            {
                "tools": [{"name": "a", "cache_control": EPHEMERAL}],
                "system": "plain",
                "messages": [{"role": "user", "content": [block(), block("y", HOUR)]}],
            },
            [("tools", (0,)), ("messages", (0, 1))],
        ),
    ],
)
def test_the_places_of_checkpoints_as_they_are_sent(dialect, request_, places):
    assert DIALECTS[dialect].points(request_) == places


LEAVES = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.floats(),
    st.binary(max_size=3),
    st.sampled_from(["", " ", "user", "5m", "1h", "2h", "text", "tool_result", "pdf", "cachePoint"]),
)
# Names that the dialects look for, in places where they may or may not belong.
KEYS = st.sampled_from(
    [
        *("text", "type", "cachePoint", "cache_control", "ttl", "toolResult", "toolUse", "document"),
        *("content", "role", "format", "toolSpec", "image", "reasoningContent", "thinking"),
    ]
)
GARBAGE = st.recursive(
    LEAVES,
    lambda held: st.one_of(
        st.lists(held, max_size=3),
        st.lists(held, max_size=2).map(tuple),
        st.dictionaries(KEYS, held, max_size=3),
    ),
    max_leaves=6,
)
BLOCKS = st.lists(
    st.one_of(
        st.just({"cachePoint": {"type": "default"}}),
        st.just({"text": "a text"}),
        st.just({"type": "text", "text": "a text", "cache_control": {"type": "ephemeral"}}),
        GARBAGE.map(lambda v: {"toolResult": {"content": v}}),
        GARBAGE.map(lambda v: {"type": "tool_result", "content": v}),
        st.tuples(KEYS, GARBAGE).map(lambda pair: dict([pair])),
        GARBAGE,
    ),
    max_size=3,
)
MESSAGES = st.lists(BLOCKS.map(lambda v: {"role": "user", "content": v}), max_size=3)
FIELDS = st.sampled_from(
    [
        *("toolConfig", "tools", "system", "messages", "additionalModelRequestFields", "performanceConfig"),
        *("serviceTier", "tool_choice", "cache_control", "thinking", "output_config", "outputConfig"),
    ]
)
REQUESTS = st.one_of(
    st.dictionaries(FIELDS, GARBAGE, max_size=4),
    st.fixed_dictionaries({"messages": MESSAGES}, optional={"system": BLOCKS, "tools": BLOCKS}),
    st.fixed_dictionaries(
        {"messages": MESSAGES}, optional={"toolConfig": BLOCKS.map(lambda v: {"tools": v, "toolChoice": v})}
    ),
)


def stripped(value):
    """The same without any checkpoint, in any form, and without what tells a list from a tuple."""
    if isinstance(value, dict):
        return {k: stripped(v) for k, v in value.items() if k not in MARKS}
    if isinstance(value, list | tuple):
        return [
            stripped(v) for v in value if not (isinstance(v, dict) and "cachePoint" in v and set(v) <= MARKS)
        ]
    return value


MARKS = {"cache_control", "cachePoint"}


def in_words(value):
    """The same with a text for a list of that one text: a checkpoint stands only in a list."""
    if isinstance(value, dict):
        return {k: in_words(v) for k, v in value.items()}
    if not isinstance(value, list):
        return value
    match value:
        case [{"type": "text", "text": str(text), **rest}] if not rest:
            return text
    return [in_words(v) for v in value]


@example({"system": "user"}, SONNET, "messages")
@example({"messages": [{"role": "user", "content": "user"}]}, SONNET, "messages")
@settings(max_examples=400, deadline=None)
@given(REQUESTS, st.sampled_from([SONNET, NOVA, OLD]), st.sampled_from(list(DIALECTS)))
def test_whatever_comes_in_is_read_or_refused_and_never_changed(request_, model, dialect):
    """A10, law 5: a reading, or an exception that the guard takes; what is written back is what came in."""
    wire = DIALECTS[dialect]
    before = copy.deepcopy(request_)
    try:
        reading = wire.read(request_, rules_for(model))
    except UnreadableError:
        return
    found = {(b.layer, b.path): wire.mark("5m", b.mark) for b in reading.raw if b.markable}
    assert repr(stripped(wire.write(request_, {}, None, {}))) == repr(stripped(request_))
    marked = wire.write(request_, found, None, {})
    assert repr(in_words(stripped(marked))) == repr(in_words(stripped(request_)))
    wire.points(request_)
    assert {rewriting(block) for block in reading.raw} <= {None}
    assert repr(request_) == repr(before)


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": "words"},
        {"messages": [None]},
        {"messages": [{"role": "user", "content": "words"}]},
        {"messages": [user(None)]},
        {"messages": [user({"text": 3})]},
        {"messages": [user({"text": "kept", "cachePoint": {"type": "default"}})]},
        {"messages": [user(text(3), {"cachePoint": None})]},
        {"system": "words"},
        {"toolConfig": {"tools": 3}},
        {"messages": ({} for _ in "x")},
    ],
    ids=lambda value: str(value).partition(" at 0x")[0],
)
def test_what_is_no_request_goes_out_as_it_came(request_, caplog):
    """Law 5. Nothing of its text is in what is said."""
    with pytest.raises(UnreadableError) as caught:
        converse.read(request_, CLAUDE)

    assert "words" not in str(caught.value)
    call = PromptCache().prepare(request_, model_id=SONNET)
    assert all(call.request[k] is v for k, v in request_.items())


def chat(turns, dialect):
    """A conversation with tools of so many turns, in fresh dicts."""
    spoken = []
    for i in range(turns):
        if dialect != "messages":
            spoken += [user(text(40)), assistant(use("f", f"{i}")), user(result(f"{i}"))]
        else:
            used = {"type": "tool_use", "id": f"{i}", "name": "f", "input": {}}
            spoken += [user(block("q" * 99)), assistant(used), user(tool_result(block("r" * 99)))]
    return {"messages": spoken}


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_d3_reading_is_linear_in_the_number_of_blocks(dialect):
    def calls(turns):
        request = chat(turns, dialect)
        return work(lambda: DIALECTS[dialect].read(request, CLAUDE))

    assert calls(2_000) < 4.2 * calls(500)


class Walked(dict):
    """Counts how often it is walked through."""

    walks = 0

    def __iter__(self):
        self.walks += 1
        return super().__iter__()


def test_cuts_are_looked_up_and_not_walked_through_for_each_list():
    """A long history is cut in every message: a walk for each was quadratic."""
    request = {"messages": [{"role": "user", "content": [{"text": "a" * 100}]} for _ in range(50)]}
    cuts = Walked({("messages", (i, 0)): (10,) for i in range(50)})
    touched = {("messages", i) for i in range(50)}

    written = converse.write(request, {}, touched, cuts)

    assert [len(m["content"]) for m in written["messages"]] == [2] * 50
    assert cuts.walks <= 1
