"""Hypothesis strategies for Converse requests that Bedrock would take, with checkpoints strewn anywhere."""

import copy
from typing import Any

from hypothesis import strategies as st

MODELS = [
    "us.anthropic.claude-sonnet-4-6",
    "global.anthropic.claude-opus-4-8",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "us.amazon.nova-lite-v1:0",
    "amazon.nova-2-lite-v1:0",
]
# Announced as retrieved, so that texts which hold it are split behind it.
DOCUMENT = "Retrieved: " + "a valve opens when the pressure falls. " * 40
SIZES = st.sampled_from([1, 40, 900, 2_500, 9_000])
POINTS = st.sampled_from([None, "5m", "1h", "2h"]).map(
    lambda ttl: {"cachePoint": {"type": "default"} | ({"ttl": ttl} if ttl else {})}
)


@st.composite
def _text(draw: st.DrawFn) -> dict[str, Any]:
    size = draw(SIZES)
    word = draw(st.sampled_from(["alpha ", "béta\n", "汉字 ", "42; ", "a line\n\n"]))
    text = (word * (size // len(word) + 1))[:size].strip() or "x"
    return {
        "text": text + draw(st.sampled_from(["", "", "\nIt is 12:30.", "\n" + DOCUMENT, DOCUMENT + "\nSo?"]))
    }


PLAIN = st.one_of(
    _text(),
    st.sampled_from(["png", "jpeg"]).map(lambda f: {"image": {"format": f, "source": {"bytes": b"\x89PNG"}}}),
    st.sampled_from(["pdf", "csv", "txt", "md"]).map(
        lambda f: {"document": {"format": f, "name": "doc", "source": {"bytes": b"a,b\n1,2"}}}
    ),
)
REASONING = st.just({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}})


@st.composite
def _strewn(draw: st.DrawFn, blocks: list[Any]) -> list[Any]:
    """The blocks with points between, before, behind and beside each other; most lists get none."""
    if draw(st.integers(0, 3)):
        return blocks
    out = list(blocks)
    for point in draw(st.lists(POINTS, min_size=1, max_size=3)):
        out.insert(draw(st.integers(0, len(out))), copy.deepcopy(point))
    return out


@st.composite
def _turn(draw: st.DrawFn, number: int, tools: bool) -> list[dict[str, Any]]:
    """What the assistant said and what came back."""
    said = draw(st.lists(st.one_of(_text(), REASONING), min_size=1, max_size=2))
    if not tools or draw(st.booleans()):
        if "text" not in said[-1]:
            said.append({"text": "so"})
        asked = draw(st.lists(PLAIN, min_size=1, max_size=3))
        if not any("text" in b for b in asked):
            asked.insert(0, {"text": "see"})
        return [
            {"role": "assistant", "content": draw(_strewn(said))},
            {"role": "user", "content": draw(_strewn(asked))},
        ]
    ids = [f"call_{number}_{i}" for i in range(draw(st.integers(1, 25)))]
    uses = [{"toolUse": {"toolUseId": i, "name": "look_up", "input": {"q": "x"}}} for i in ids]
    results = [
        {"toolResult": {"toolUseId": i, "content": draw(st.lists(_text(), min_size=1, max_size=2))}}
        for i in ids
    ]
    return [
        {"role": "assistant", "content": draw(_strewn([*said, *uses]))},
        {"role": "user", "content": draw(_strewn(results))},
    ]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """A model and the growing requests of one conversation."""
    model = draw(st.sampled_from(MODELS))
    tools = draw(st.booleans())
    base: dict[str, Any] = {}
    if draw(st.booleans()):
        base["system"] = draw(_strewn(draw(st.lists(_text(), min_size=1, max_size=2))))
    if tools:
        spec = {
            "toolSpec": {
                "name": "look_up",
                "description": draw(_text())["text"],
                "inputSchema": {"json": {"type": "object", "properties": {"q": {"type": "string"}}}},
            }
        }
        base["toolConfig"] = {"tools": draw(_strewn([spec]))}
        if draw(st.booleans()):
            base["toolConfig"]["toolChoice"] = draw(st.sampled_from([{"auto": {}}, {"any": {}}]))
    first = draw(st.lists(PLAIN, min_size=1, max_size=3))
    if not any("text" in b for b in first):
        first.insert(0, {"text": "look"})
    messages = [{"role": "user", "content": draw(_strewn(first))}]
    requests = [{**base, "messages": list(messages)}]
    for number in range(draw(st.integers(0, 3))):
        messages = [*messages, *draw(_turn(number, tools))]
        requests.append({**base, "messages": messages})
    documents = [b["document"] for m in messages for b in m["content"] if "document" in b]
    for number, document in enumerate(documents):
        document["name"] = f"doc {number}"
    return model, requests


def bare(value: Any) -> Any:
    """The same without any checkpoint."""
    if isinstance(value, dict):
        return {k: bare(v) for k, v in value.items()}
    if isinstance(value, list):
        return [bare(v) for v in value if not (isinstance(v, dict) and "cachePoint" in v)]
    return value


def joined(value: Any) -> Any:
    """The same with texts that stand beside each other as one: what a split must not change."""
    if isinstance(value, dict):
        return {k: joined(v) for k, v in value.items()}
    if not isinstance(value, list):
        return value
    out: list[Any] = []
    for item in map(joined, value):
        if out and isinstance(item, dict) and item.keys() == out[-1].keys() == {"text"}:
            out[-1] = {"text": out[-1]["text"] + item["text"]}
        else:
            out.append(item)
    return out
