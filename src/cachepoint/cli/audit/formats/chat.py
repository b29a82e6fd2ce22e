"""Prompts as tracers keep them, in Converse's form.

They are not to the byte what was sent: langchain-aws trims texts, and joins those that follow each other
in one role. But the same message always gives the same blocks, so that prompts that began alike begin alike
here, too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cachepoint.cli.audit.formats.traced import parsed

_Block = dict[str, Any]

# LangChain's types and the roles of Bedrock, Anthropic and OpenAI.
_ROLES: Mapping[str, str] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "tool": "tool",
}


def request(given: Any, tools: Any = None, choice: Any = None, fields: Any = None) -> _Block | None:
    """The keyword arguments of `client.converse`, as far as a trace tells them.

    Args:
        given: The input: messages of LangChain, Anthropic, OpenAI or Converse, or an object that holds them,
            perhaps with `system`, `tools` or `toolConfig` beside them.
        tools: The tools where they are elsewhere.
        choice: The tool choice.
        fields: `additionalModelRequestFields`.

    Returns:
        None where it holds no messages, or some that have no form known here.
    """
    found = given if isinstance(given, Mapping) else {"messages": given}
    messages = found.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[0], list):
        messages = messages[0]  # LangChain traces a batch.
    if not isinstance(messages, list) or not messages:
        return None
    try:
        return _request(found, messages, tools, choice, fields)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None


def _request(found: Mapping[str, Any], messages: list[Any], tools: Any, choice: Any, fields: Any) -> _Block:
    system = _blocks(found.get("system"))
    turns: list[_Block] = []
    defined: list[Any] = []
    for message in map(_fields, messages):
        role, content = _role(message), message.get("content")
        if role == "system":
            system += _blocks(content)
        elif role != "tool":
            _say(turns, role, _with_calls(_blocks(content), message.get("tool_calls") or ()))
        elif "tool_call_id" in message:
            # langchain-aws always sends it, and Langfuse leaves it out.
            _say(turns, "user", [_result({"status": "success", **message})])
        else:
            defined.append(content)  # Langfuse's handler puts the tools behind the messages.
    config = found.get("toolConfig") or {}
    named = [*(tools or found.get("tools") or config.get("tools") or ()), *defined]
    chosen = _choice(choice) or config.get("toolChoice")
    extra = fields or found.get("additionalModelRequestFields")
    return {
        "messages": turns,
        **({"system": system} if system else {}),
        **({"toolConfig": _tool_config(named, chosen)} if named else {}),
        **({"additionalModelRequestFields": extra} if isinstance(extra, Mapping) and extra else {}),
    }


def _fields(message: Any) -> Mapping[str, Any]:
    """A message's fields, which LangChain's serialisations put under `kwargs` or `data`."""
    if not isinstance(message, Mapping):
        raise TypeError("no message")
    if isinstance(message.get("kwargs"), Mapping):
        return {"type": message["id"][-1], **message["kwargs"]}
    if isinstance(message.get("data"), Mapping):
        return {"type": message.get("type"), **message["data"]}
    return message


def _role(message: Mapping[str, Any]) -> str:
    """Whose it is; LangChain may name the class instead: `AIMessageChunk`."""
    named = message.get("role") or message["type"]
    return _ROLES[named.removesuffix("Chunk").removesuffix("Message").lower()]


def _say(turns: list[_Block], role: str, content: list[_Block]) -> None:
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += content
    elif content:
        turns.append({"role": role, "content": content})


def _blocks(content: Any) -> list[_Block]:
    if content is None:
        return []
    if isinstance(content, str | Mapping):
        return _block(content)
    return [made for block in content for made in _block(block)]


def _block(block: Any) -> list[_Block]:
    """The blocks that one gives: itself, and the checkpoint that Anthropic's form has inside."""
    if isinstance(block, str):
        return [{"text": block}] if block else []
    kind = block.get("type")
    if kind is None:
        if len(block) != 1:
            raise ValueError("no block of Converse's")
        return [dict(block)]
    made = _MADE[kind](block) if kind in _MADE else _as_named(kind, block)
    # Empty texts are not sent.
    return [*([made] if made != {"text": ""} else []), *_point(block)]


def _as_named(kind: str, block: Mapping[str, Any]) -> _Block:
    """What langchain-aws takes as Converse's own, or a stand-in that is the same for the same block."""
    return {kind: block.get(kind, {k: v for k, v in block.items() if k not in {"type", "cache_control"}})}


def _point(block: Mapping[str, Any]) -> list[_Block]:
    control = block.get("cache_control")
    if not isinstance(control, Mapping):
        return []
    ttl = {"ttl": control["ttl"]} if "ttl" in control else {}
    return [{"cachePoint": {"type": "default", **ttl}}]


def _use(name: Any, used: Any, given: Any) -> _Block:
    # The input of a call that was streamed is text.
    return {"toolUse": {"toolUseId": used, "name": name, "input": parsed(given) or {}}}


def _reasoned(text: Any, signature: Any) -> _Block:
    signed = {"signature": signature} if signature else {}
    return {"reasoningContent": {"reasoningText": {"text": text, **signed}}}


def _thought(block: Mapping[str, Any]) -> _Block:
    inner = block["reasoning_content"]
    return _reasoned(inner.get("text", ""), inner.get("signature"))


def _noted(block: Mapping[str, Any]) -> _Block:
    """LangChain's own form (`output_version="v1"`)."""
    return _reasoned(block.get("reasoning", ""), (block.get("extras") or {}).get("signature"))


def _image(block: Mapping[str, Any]) -> _Block:
    """An image in the forms of Converse, Anthropic, LangChain and OpenAI."""
    source = block.get("source") or block
    data, kind = source.get("data", source.get("base64")), source.get("media_type", source.get("mime_type"))
    if "image_url" in block:
        url = block["image_url"]
        kind, _, data = (url["url"] if isinstance(url, Mapping) else url).partition(";base64,")
    if "image" in block or not data or not kind:
        return _as_named("image", block)
    return {"image": {"format": kind.rpartition("/")[2], "source": {"bytes": data}}}


_MADE: Mapping[str, Callable[[Mapping[str, Any]], _Block]] = {
    "text": lambda block: {"text": block["text"]},
    "tool_use": lambda block: _use(block["name"], block["id"], block.get("input")),
    "server_tool_use": lambda block: _use(block["name"], block["id"], block.get("input")),
    "tool_call": lambda block: _use(block["name"], block["id"], block.get("args")),
    "tool_result": lambda block: _result({**block, "tool_call_id": block["tool_use_id"]}),
    "reasoning_content": _thought,
    "reasoning": _noted,
    "image": _image,
    "image_url": _image,
    "thinking": lambda block: _reasoned(block["thinking"], block.get("signature")),
}


def _with_calls(content: list[_Block], calls: Sequence[Any]) -> list[_Block]:
    """An answer with the calls that stand beside its content and not in it."""
    there = {block["toolUse"]["toolUseId"] for block in content if "toolUse" in block}
    for call in calls:
        if call["id"] not in there:
            function = call.get("function") or call
            given = function.get("args", function.get("arguments"))
            content.append(_use(function["name"], call["id"], given))
    return content


def _result(message: Mapping[str, Any]) -> _Block:
    status = {"status": message["status"]} if message.get("status") else {}
    content = _blocks(message.get("content"))
    return {"toolResult": {"toolUseId": message["tool_call_id"], "content": content, **status}}


def _tool_config(tools: Sequence[Any], choice: Any) -> _Block:
    made = [piece for tool in tools for piece in (_tool(tool), *_point(tool))]
    return {"tools": made, **({"toolChoice": choice} if choice else {})}


def _tool(tool: Mapping[str, Any]) -> _Block:
    if len(tool) == 1:
        return dict(tool)
    function = tool.get("function") or tool
    schema = function.get("parameters", function.get("input_schema"))
    said = {"description": function["description"]} if function.get("description") else {}
    return {"toolSpec": {"name": function["name"], **said, "inputSchema": {"json": schema or {}}}}


def _choice(choice: Any) -> _Block | None:
    """A tool choice of Converse, of Anthropic, or as a word."""
    if isinstance(choice, str):
        return {choice: {}} if choice in {"auto", "any"} else {"tool": {"name": choice}}
    if not isinstance(choice, Mapping) or not choice:
        return None
    if "type" not in choice:
        return dict(choice)
    return {choice["type"]: {"name": choice["name"]} if "name" in choice else {}}
