"""The bodies of InvokeModel: what leaves is what came, or the same with checkpoints in it."""

import json
import re
from io import BufferedReader, BytesIO, StringIO

import pytest

from cachepoint import CachePolicy, PromptCache
from cachepoint.aws import CachingClient
from cachepoint.aws.bodies import dumped, parsed
from tests.aws.stubs import LLAMA, Answering
from tests.emulator.bodies import HOUR, MARK, TOOL, assistant, body, result, text, use, user, words
from tests.emulator.wire import NOVA, OPUS_48, SONNET, SONNET_4

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
BIG = words(2_500)
TURNS = [user(words(300)), assistant(THOUGHT, text("well"), use()), user(result(content=[text("a"), IMAGE]))]


def answered():
    said = {"content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}
    return {"body": BytesIO(json.dumps(said).encode()), "ResponseMetadata": {}}


def sent(given, model=SONNET, policy=None, **more):
    """The body that leaves."""
    client = Answering(answered())
    cache = PromptCache(CachePolicy())
    CachingClient(client, cache=cache).invoke_model(modelId=model, body=given, cache_policy=policy, **more)
    assert cache.faults == 0
    (request,) = client.requests
    assert request.keys() == {"modelId", "body", *more}
    return request["body"]


def without_marks(value):
    if isinstance(value, dict):
        return {k: without_marks(v) for k, v in value.items() if k not in {"cache_control", "cachePoint"}}
    if isinstance(value, list):
        return [without_marks(v) for v in value]
    return value


BODIES = {
    "plain": body(),
    "system": body(system=BIG),
    "system list": body(system=[text(BIG), text("and so on")]),
    "tools": body(tools=[TOOL] * 3, system=BIG),
    "turns": body(*TURNS, system=BIG),
    "image": body(user(IMAGE, "what is it?"), system=BIG),
    "pdf": body(user(PDF, "what is it?"), system=BIG),
    "marked": body(user(text("a", **MARK)), system=[text(BIG, **HOUR)]),
    "nested": body(user(result(content=[text("a", **MARK)])), system=BIG),
    "automatic": body(system=BIG, **MARK),
    "five": body(user(*[text(f"{n}", **MARK) for n in range(5)]), system=BIG),
    "thinking": body(*TURNS, system=BIG, thinking={"type": "enabled", "budget_tokens": 1024}),
    "choice": body(tools=[TOOL], tool_choice={"type": "any"}, system=BIG),
    "null": body(system=None, tools=None, stop_sequences=None),
    "beta": body(system=BIG, anthropic_beta=["interleaved-thinking-2025-05-14"]),
}


@pytest.mark.parametrize("wire", ["utf-8", "escaped", "spaced", "text", "bytearray"])
@pytest.mark.parametrize("name", BODIES)
def test_off_is_the_very_same_object(name, wire):
    given = {
        "utf-8": lambda b: json.dumps(b, ensure_ascii=False).encode(),
        "escaped": lambda b: json.dumps({**b, "note": "é\u2028"}).encode(),
        "spaced": lambda b: json.dumps(b, indent=3).encode(),
        "text": json.dumps,
        "bytearray": lambda b: bytearray(json.dumps(b).encode()),
    }[wire](BODIES[name])
    before = bytes(given, "utf-8") if isinstance(given, str) else bytes(given)
    for model, policy in ((SONNET, "off"), (LLAMA, None), ("unknown.model", None)):
        out = sent(given, model, policy)
        assert out is given
        assert (out.encode() if isinstance(out, str) else bytes(out)) == before


@pytest.mark.parametrize("name", BODIES)
def test_what_gets_checkpoints_is_otherwise_the_same(name):
    given = json.dumps(BODIES[name])
    out = sent(given, OPUS_48 if name == "automatic" else SONNET, {"tail": "always"})
    if out is given:
        # Too short; or the caller's own are where ours would be.
        assert name in {"plain", "null", "marked"}
        return
    assert json.dumps(without_marks(as_given(json.loads(out)))) == json.dumps(
        without_marks(as_given(BODIES[name]))
    )


def as_given(value):
    """A text as the list of blocks that it is short for."""
    if isinstance(value, dict):
        return {
            k: [text(v)] if k in {"system", "content"} and isinstance(v, str) else as_given(v)
            for k, v in value.items()
        }
    return [as_given(v) for v in value] if isinstance(value, list) else value


NUMBERS = [
    "1.0",
    "1e-7",
    "1E5",
    "1.50",
    "0.1",
    "-0",
    "-0.0",
    "12345678901234567890123",
    "1e400",
    "3.141592653589793238462643",
    "0",
    "7",
    "-1",
    "2e0",
]


def test_numbers_and_the_order_of_keys_are_as_they_were_written():
    schema = ", ".join(f'"k{i}": {{"maximum": {n}}}' for i, n in enumerate(NUMBERS))
    given = (
        f'{{"temperature": 1.0, "top_p": 1e-1, "max_tokens": 100, "system": {json.dumps(BIG)}, '
        f'"tools": [{{"input_schema": {{"z": 1, "properties": {{{schema}}}, "a": 2}}, "name": "f"}}], '
        '"messages": [{"content": "hi", "role": "user"}], "anthropic_version": "bedrock-2023-05-31"}'
    )
    out = sent(given).decode()
    assert "cache_control" in out
    assert re.findall(r'"maximum":([^}]*)}', out) == NUMBERS
    assert '"temperature":1.0,"top_p":1e-1,"max_tokens":100' in out
    assert keys(out) == keys(given)


def keys(said):
    """The keys in their order, but for those that a checkpoint brings."""
    return [k for k in re.findall(r'"(\w+)": ?', said) if k not in {"cache_control", "type", "text"}]


@pytest.mark.parametrize(
    "written", ['"\\ud83d"', '"\\ud83d\\ude00"', '"é\\u2028\\u0000\\\\\\""', '"😀"', '"\\/"', "[]", "{}"]
)
def test_texts_are_what_they_were(written):
    given = f'{{"a": {written}}}'.encode()
    assert json.loads(dumped(parsed(given))) == json.loads(given)
    assert b"cache" not in dumped(parsed(given))


GOOD = json.dumps(body(system=BIG))
UNREADABLE = {
    "empty": "",
    "no JSON": "no JSON",
    "a list": "[]",
    "a text": '"text"',
    "null": "null",
    "cut": GOOD[:-1],
    "more behind": GOOD + " x",
    "a key twice": GOOD[:-1] + ', "max_tokens": 5}',
    "a key twice, deep": GOOD[:-1] + ', "metadata": {"a": [{"b": 1, "b": 1}]}}',
    "NaN": GOOD[:-1] + ', "temperature": NaN}',
    "Infinity": GOOD[:-1] + ', "temperature": -Infinity}',
    "digits without end": GOOD[:-1] + f', "top_k": {"9" * 5_000}}}',
    "too deep": GOOD[:-1] + ', "metadata": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "a byte order mark": "\ufeff" + GOOD,
    "UTF-16": GOOD.encode("utf-16"),
    "no UTF-8": GOOD.encode() + b"\xff",
    "a parameter in it": json.dumps({**body(system=BIG), "modelId": "x"}),
    "completions": json.dumps({"prompt": "\n\nHuman: " + BIG + "\n\nAssistant:", "max_tokens_to_sample": 5}),
    "Titan's": json.dumps({"inputText": BIG}),
    "a number": 7,
    "None": None,
    "parts": [b"parts"],
    "memory": memoryview(GOOD.encode()),
}


@pytest.mark.parametrize("given", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_leaves_as_it_came(given):
    assert sent(given) is given


def test_another_models_body_leaves_as_it_came():
    claude = json.dumps(body(system=BIG))
    nova = json.dumps(
        {"system": [{"text": BIG}], "messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    )
    assert sent(claude, NOVA) is claude
    assert sent(nova, SONNET) is nova
    assert sent(nova, NOVA) is not nova
    assert sent(claude, SONNET, contentType="text/plain") is claude


def test_a_body_below_the_minimum_leaves_as_it_came():
    given = bytearray(json.dumps(body(system="short"), indent=2).encode())
    assert sent(given) is given


def test_checkpoints_of_the_callers_alone_leave_as_they_came():
    given = json.dumps(body(system=[text(BIG, **HOUR)]), indent=1)
    assert sent(given, policy={"tail": "never"}) is given


FILES = {"BytesIO": BytesIO, "BufferedReader": lambda data: BufferedReader(BytesIO(data))}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_read_from_where_it_stands(kind):
    given = json.dumps(body(system=BIG)).encode()
    file = FILES[kind](b"skip" + given)
    file.seek(4)
    assert b"cache_control" in sent(file)
    assert file.tell() == 4
    assert sent(file, policy="off") is file
    assert file.tell() == 4
    assert file.read() == given


def test_a_file_on_disk(tmp_path):
    path = tmp_path / "body.json"
    path.write_text(GOOD)
    with path.open("rb") as file:
        assert b"cache_control" in sent(file)
        assert file.tell() == 0
    with path.open() as file:
        assert sent(file) is file


def test_a_file_that_gets_nothing_is_left_where_it_stood():
    file = BytesIO(b"skip" + json.dumps(body(system="short")).encode())
    file.seek(4)
    assert sent(file) is file
    assert file.tell() == 4


class Pipe:
    """What can be read once."""

    def __init__(self, data):
        self._data = data

    def read(self, *_):
        data, self._data = self._data, b""
        return data


class Broken(BytesIO):
    def read(self, *_):
        raise OSError("gone")


def test_what_can_be_read_once_is_not_read():
    pipe = Pipe(json.dumps(body(system=BIG)).encode())
    assert sent(pipe) is pipe
    assert pipe.read()


def test_a_file_that_is_closed_or_broken_or_of_text_is_let_alone():
    closed = BytesIO(b"{}")
    closed.close()
    given = json.dumps(body(system=BIG))
    for file in (closed, Broken(given.encode()), StringIO(given)):
        assert sent(file) is file
    assert file.tell() == 0


def test_the_callers_ttl_is_kept_where_the_model_knows_it():
    given = json.dumps(body(user("hi"), system=[text(BIG, cache_control={"type": "ephemeral", "ttl": "5m"})]))
    assert sent(given, policy={"tail": "never"}) is given
    (block,) = json.loads(sent(given, SONNET_4))["system"]
    assert block["cache_control"] == {"type": "ephemeral"}


def test_latency_optimized_inference_takes_no_checkpoints():
    """boto3#4626: "system.0.cache_control: Extra inputs are not permitted", whoever placed it."""
    plain, marked = (json.dumps(body(system=[text(BIG, **more)])) for more in ({}, MARK))
    assert sent(plain, performanceConfigLatency="optimized") is plain
    assert json.loads(sent(marked, performanceConfigLatency="optimized")) == json.loads(plain)
