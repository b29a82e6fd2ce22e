"""Bodies for `fuzz.py`: requests that Bedrock takes, and bytes that are none or nearly one. All by a seed."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

CLAUDE = (
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "global.anthropic.claude-opus-4-8",
)
NOVA = ("us.amazon.nova-lite-v1:0", "us.amazon.nova-pro-v1:0")
LLAMA = ("us.meta.llama3-3-70b-instruct-v1:0",)
OTHERS = (
    "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1",
    "anthropic.claude-sonnet-4-6",
    "moonshotai.kimi-k3",
    "no.such-model",
)
ANSWERED, STREAMED = ("converse", "invoke"), ("converse-stream", "invoke-with-response-stream")
OPERATIONS = (*ANSWERED, *STREAMED, "count-tokens", "no-such-operation")
Turn = tuple[str, list[dict[str, Any]]]
_HOSTILE: tuple[dict[str, Any], ...] = (
    {"type": "string", "pattern": "^(a+)+$"},
    {"type": "string", "minLength": 10**9},
    {"type": "array", "minItems": 30_000_000},
    {"type": "integer", "minimum": 10**299, "multipleOf": 1e-299},
    {"$ref": "#"},
)
_TYPES = ("string", "integer", "number", "boolean", "null", "object", "array")
# What a body that is nearly right has, and values that no reader of it expects.
_NAMES = """
    messages system toolConfig tools toolSpec name inputSchema json role content text cachePoint type ttl
    user assistant toolUse toolUseId input toolResult status image document format source bytes
    inferenceConfig maxTokens temperature stopSequences additionalModelRequestFields thinking budget_tokens
    outputConfig guardrailConfig anthropic_version max_tokens cache_control ephemeral tool_use tool_result
    tool_use_id input_schema properties required items pattern minItems enum $ref default 5m 1h converse
    invokeModel body
""".split()  # noqa: SIM905 -- a list literal of words is unreadable
_ODD = (
    "1" + "0" * 400,
    "1e400",
    "NaN",
    "-Infinity",
    '"\\ud800"',
    "[" * 200 + "]" * 200,
    '{"a":1,"a":2}',
    "-0",
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request on the wire."""

    model: str
    operation: str
    body: bytes
    valid: bool


def valid(random: Random) -> Sent:
    """A request that is to be answered with 200."""
    model = random.choice(CLAUDE + NOVA + LLAMA)
    operation = random.choice(("converse", "converse-stream") if model in LLAMA else ANSWERED + STREAMED)
    talk = _Talk(random, model)
    written = (_anthropic if model in CLAUDE else _nova) if "invoke" in operation else _converse
    return Sent(model, operation, json.dumps(written(talk)).encode(), valid=True)


def noise(random: Random) -> Sent:
    """Bytes: any at all, a request with some of them changed, or JSON that means nothing."""
    model, operation = random.choice(CLAUDE + NOVA + LLAMA + OTHERS), random.choice(OPERATIONS)
    if (kind := random.random()) < 0.4:
        body = random.randbytes(random.choice((random.randrange(64), random.randrange(4_000))))
    elif kind < 0.8:
        kept = valid(random)
        model, operation, body = kept.model, kept.operation, _damaged(random, kept.body)
    else:
        body = _salad(random, 4).encode()
    return Sent(model, operation, body, valid=False)


def _damaged(random: Random, body: bytes) -> bytes:
    for _ in range(random.randint(1, 6)):
        body = random.choice(_DAMAGE)(random, body)
    return body


def _flip(random: Random, body: bytes) -> bytes:
    at = random.randrange(len(body) + 1)
    return body[:at] + random.randbytes(1) + body[at + 1 :]


def _cut(random: Random, body: bytes) -> bytes:
    start = random.randrange(len(body) + 1)
    return body[:start] + body[start + random.randrange(40) :]


def _doubled(random: Random, body: bytes) -> bytes:
    start = random.randrange(len(body) + 1)
    return body[:start] + body[start : start + random.randrange(200)] + body[start:]


def _other_value(random: Random, body: bytes) -> bytes:
    """Another value behind one of its colons: it stays JSON now and then."""
    colons = [at for at, byte in enumerate(body) if byte == ord(":")]
    if not colons:
        return body
    at = random.choice(colons) + 1
    end = min(filter(lambda n: n > 0, (body.find(mark, at) for mark in (b",", b"}", b"]"))), default=at)
    return body[:at] + _salad(random, 2).encode() + body[end:]


_DAMAGE: tuple[Callable[[Random, bytes], bytes], ...] = (_flip, _cut, _doubled, _other_value, _other_value)


def _salad(random: Random, depth: int) -> str:
    kind = random.randrange(7 if depth else 4)
    if kind == 0:
        return random.choice(_ODD)
    if kind < 3:
        return json.dumps(random.choice(_NAMES))
    if kind == 3:
        return random.choice(("0", "-1", "3.5", "true", "false", "null", '""', '" "'))
    inner = [_salad(random, depth - 1) for _ in range(random.randrange(4))]
    if kind == 4:
        return f"[{','.join(inner)}]"
    return "{" + ",".join(f"{json.dumps(random.choice(_NAMES))}:{value}" for value in inner) + "}"


class _Talk:
    """A conversation in no dialect: what a model takes, with checkpoints where they may be."""

    def __init__(self, random: Random, model: str) -> None:
        self.random, self.model = random, model
        self.points = 0 if model in LLAMA else random.randrange(5)
        self.hour = {"ttl": "1h"} if model in CLAUDE and random.random() < 0.5 else {}
        self.tools = [self._tool(n) for n in range(random.randrange(4))]
        if model in CLAUDE and self.tools and random.random() < 0.5:
            self.tools += self._point()
        self.system = [
            part for _ in range(random.randrange(3)) for part in self._marked({"text": self._text()})
        ]
        self.turns: list[Turn] = [turn for n in range(random.randrange(4)) for turn in self._round(n)]
        self.turns.append(("user", self._asks("last")))
        self.choice = self._choice()
        self.thinks = model in CLAUDE and not {"any", "tool"} & self.choice.keys() and random.random() < 0.2

    def _text(self) -> str:
        size = self.random.choice((1, 5, 30, 30, 300))
        return " ".join(self.random.choice(_NAMES) for _ in range(size)) + self.random.choice(
            ("", "?", " 7.", " é\n")
        )

    def _point(self) -> list[dict[str, Any]]:
        if self.points <= 0:
            return []
        self.points -= 1
        return [{"cachePoint": {"type": "default", **self.hour}}]

    def _marked(self, block: dict[str, Any]) -> list[dict[str, Any]]:
        return [block, *(self._point() if self.random.random() < 0.4 else ())]

    def _asks(self, n: object) -> list[dict[str, Any]]:
        blocks = []
        if self.model not in LLAMA and self.random.random() < 0.2:
            blocks += [{"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}]
        if self.model not in LLAMA and self.random.random() < 0.2:
            source = {"bytes": base64.b64encode(self._text().encode()).decode()}
            blocks += [{"document": {"format": "txt", "name": f"notes {n}", "source": source}}]
        return [*blocks, *self._marked({"text": self._text()})]

    def _round(self, n: int) -> Iterator[Turn]:
        yield "user", self._asks(n)
        named = [tool["toolSpec"]["name"] for tool in self.tools if "toolSpec" in tool]
        if named and self.random.random() < 0.6:
            calls = [f"call-{n}-{i}" for i in range(self.random.randint(1, 3))]
            uses = [
                {"toolUse": {"toolUseId": c, "name": self.random.choice(named), "input": {"a": n}}}
                for c in calls
            ]
            yield "assistant", list(uses)
            results = [{"toolResult": {"toolUseId": c, "content": [{"text": self._text()}]}} for c in calls]
            yield "user", [*results, *(self._point() if self.model in CLAUDE else ())]
        yield "assistant", [{"text": f"{self._text().strip()}."}]

    def _tool(self, n: int) -> dict[str, Any]:
        schema = {
            "type": "object",
            "properties": {f"p{i}": self._schema(2) for i in range(self.random.randrange(3))},
        }
        schema["required"] = list(schema["properties"])
        return {
            "toolSpec": {"name": f"tool_{n}", "description": self._text(), "inputSchema": {"json": schema}}
        }

    def _schema(self, depth: int) -> dict[str, Any]:
        if self.random.random() < 0.1:
            return self.random.choice(_HOSTILE)
        kind = self.random.choice(_TYPES if depth else _TYPES[:5])
        inner = {"object": {"properties": {"q": self._schema(depth - 1)}, "required": ["q"]}} if depth else {}
        inner |= (
            {"array": {"items": self._schema(depth - 1), "minItems": self.random.randrange(4)}}
            if depth
            else {}
        )
        return {"type": kind, **inner.get(kind, {})}

    def _choice(self) -> dict[str, Any]:
        named = [tool["toolSpec"]["name"] for tool in self.tools if "toolSpec" in tool]
        if not named or self.model in LLAMA:
            return {}
        return self.random.choice(
            ({}, {"auto": {}}, {"any": {}}, {"tool": {"name": self.random.choice(named)}})
        )


def _converse(talk: _Talk) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": role, "content": content} for role, content in talk.turns]}
    body["inferenceConfig"] = {"maxTokens": talk.random.randint(1, 500), "stopSequences": ["messages"]}
    body |= {"system": talk.system} if talk.system else {}
    if talk.tools:
        body["toolConfig"] = {"tools": talk.tools, **({"toolChoice": talk.choice} if talk.choice else {})}
    if talk.thinks:
        body["additionalModelRequestFields"] = {"thinking": {"type": "adaptive"}}
    return body


def _anthropic(talk: _Talk) -> dict[str, Any]:
    turns = [{"role": role, "content": _marked_blocks(content)} for role, content in talk.turns]
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 500, "messages": turns}
    body |= {"system": _marked_blocks(talk.system)} if talk.system else {}
    body |= {"tools": _marked_blocks(talk.tools)} if talk.tools else {}
    for kind, more in talk.choice.items():
        body["tool_choice"] = {"type": kind, **more}
    return body | ({"thinking": {"type": "adaptive"}} if talk.thinks else {})


def _marked_blocks(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Converse's blocks as Anthropic's: a checkpoint is a key of the block before it."""
    written: list[dict[str, Any]] = []
    for block in blocks:
        ((kind, value),) = block.items()
        if kind == "cachePoint":
            ttl = {"ttl": value["ttl"]} if "ttl" in value else {}
            written[-1]["cache_control"] = {"type": "ephemeral", **ttl}
        else:
            written.append(_ANTHROPIC[kind](value))
    return written


_ANTHROPIC: dict[str, Callable[[Any], dict[str, Any]]] = {
    "text": lambda said: {"type": "text", "text": said},
    "image": lambda image: {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": image["source"]["bytes"]},
    },
    "document": lambda document: {
        "type": "document",
        "title": document["name"],
        "source": {"type": "text", "media_type": "text/plain", "data": document["source"]["bytes"]},
    },
    "toolUse": lambda use: {
        "type": "tool_use",
        "id": use["toolUseId"],
        "name": use["name"],
        "input": use["input"],
    },
    "toolResult": lambda result: {
        "type": "tool_result",
        "tool_use_id": result["toolUseId"],
        "content": [{"type": "text", **part} for part in result["content"]],
    },
    "toolSpec": lambda spec: {
        "name": spec["name"],
        "description": spec["description"],
        "input_schema": spec["inputSchema"]["json"],
    },
}


def _nova(talk: _Talk) -> dict[str, Any]:
    turns = [{"role": role, "content": _keyed(content)} for role, content in talk.turns]
    body: dict[str, Any] = {"messages": turns, "inferenceConfig": {"maxTokens": 500, "topK": 20}}
    body |= {"system": _keyed(talk.system)} if talk.system else {}
    if talk.tools:
        body["toolConfig"] = {"tools": talk.tools, **({"toolChoice": talk.choice} if talk.choice else {})}
    return body


def _keyed(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A checkpoint is a key of the text before it."""
    written: list[dict[str, Any]] = []
    for block in blocks:
        if "cachePoint" in block:
            written[-1] |= block
        else:
            written.append(dict(block))
    return written
