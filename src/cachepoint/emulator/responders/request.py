"""A request as a responder reads it."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cachepoint.emulator.cache.settings import text_format, thinking, tool_choice
from cachepoint.emulator.responders.call_ids import round_of
from cachepoint.emulator.responders.strict_json import read_json

__all__ = ["ParsedRequest", "keywords"]

_WORD = re.compile(r"\w{3,}")
_BACKGROUND_CHARS = 40_000
_COMMON = frozenset(
    """
    about and answer any are been but call can could did does for from get give has have her him his
    how into its just make more must not only our please should tell that the their them then there
    these they this tool tools use using value was were what when where which while who why will with
    would you your
    """.split()  # noqa: SIM905 -- a list literal of words is unreadable
)


@dataclass(frozen=True)
class ParsedRequest:
    """One request that passed validation.

    `body` is in Converse form, whatever the operation; nothing here may change it.
    """

    operation: str
    model_id: str
    region: str
    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation, in Converse form."""
        return self.body.get("messages") or []

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The `toolSpec` of every tool that may be called."""
        if "none" in self.tool_choice:
            return []
        tools = (self.body.get("toolConfig") or {}).get("tools") or []
        return [tool["toolSpec"] for tool in tools if "toolSpec" in tool]

    @property
    def tool_choice(self) -> dict[str, Any]:
        """`toolChoice`; empty where the model may choose."""
        return tool_choice(self.body)

    @property
    def inference(self) -> dict[str, Any]:
        """`inferenceConfig`: maxTokens, stopSequences and the like."""
        return self.body.get("inferenceConfig") or {}

    @property
    def thinks(self) -> bool:
        """Whether thinking is on."""
        return thinking(self.body) is not None

    @cached_property
    def output_schema(self) -> Any:
        """The JSON schema that `outputConfig.textFormat` asks for, or None."""
        definition = (text_format(self.body).get("structure") or {}).get("jsonSchema")
        return read_json(definition["schema"]) if definition else None

    @cached_property
    def last_user_text(self) -> str:
        """The text of the last user message that has one."""
        users = (message for message in reversed(self.messages) if message["role"] == "user")
        return next(filter(None, map(_own_text, users)), "")

    @cached_property
    def question(self) -> str:
        """The last sentence of the last user text that asks something, else its last line."""
        lines = [line.strip() for line in self.last_user_text.splitlines() if line.strip()]
        asks = [line for line in lines if "?" in line]
        return (asks or lines or [""])[-1]

    @cached_property
    def tool_results(self) -> list[str]:
        """What the tools gave, if the last message brings their results."""
        last = self.messages[-1]["content"] if self.messages else []
        return [_result_text(block["toolResult"]) for block in last if "toolResult" in block]

    @property
    def tool_rounds(self) -> int:
        """In how many rounds tools were called since the user last spoke.

        A history that was cut or summarised holds the last of them; the ids of its calls tell of the others.
        """
        turns = [uses for message in self._since_the_user_spoke() if (uses := _uses(message))]
        numbers = (round_of(use["toolUseId"]) for uses in turns for use in uses)
        return max(len(turns), 1 + max(numbers)) if turns else 0

    @property
    def tools_called(self) -> frozenset[str]:
        """The tools that were called since the user last spoke."""
        return frozenset(use["name"] for message in self._since_the_user_spoke() for use in _uses(message))

    def background(self) -> str:
        """What the prompt says besides the question: newest message first, bounded."""
        parts, left = [], _BACKGROUND_CHARS
        for text in self._texts():
            parts.append(text[:left])
            left -= len(text)
            if left <= 0:
                break
        return "\n".join(parts).replace(self.question, "")

    def _since_the_user_spoke(self) -> Iterator[dict[str, Any]]:
        for message in reversed(self.messages):
            if message["role"] == "user" and not any("toolResult" in block for block in message["content"]):
                return
            yield message

    def _texts(self) -> Iterator[str]:
        yield from filter(None, map(_own_text, self.messages[-1:]))
        yield from (block["text"] for block in self.body.get("system") or () if "text" in block)
        yield from filter(None, map(_own_text, reversed(self.messages[:-1])))


def keywords(text: str) -> frozenset[str]:
    """The words of a text that say what it is about."""
    return frozenset(_stem(word) for word in _WORD.findall(text.lower()) if word not in _COMMON)


def _stem(word: str) -> str:
    return word.removesuffix("s")


def _uses(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [block["toolUse"] for block in message["content"] if "toolUse" in block]


def _own_text(message: dict[str, Any]) -> str:
    return "\n".join(
        filter(None, (block.get("text") or _document_text(block) for block in message["content"]))
    )


def _document_text(block: dict[str, Any]) -> str:
    source = (block.get("document") or {}).get("source") or {}
    if "text" in source:
        return str(source["text"])
    plain = (block.get("document") or {}).get("format") in ("txt", "md", "csv", "html")
    return _decoded(source.get("bytes", "")) if plain else ""


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _result_text(result: dict[str, Any]) -> str:
    parts = (
        part.get("text") or json.dumps(part.get("json"), ensure_ascii=False)
        for part in result.get("content", ())
    )
    return " ".join(part for part in parts if part != "null") or result.get("status", "success")
