"""Requests in few words."""

SONNET = "us.anthropic.claude-sonnet-4-6"
OPUS_48 = "global.anthropic.claude-opus-4-8"
NOVA = "us.amazon.nova-lite-v1:0"
OLD = "us.anthropic.claude-3-7-sonnet-20250219-v1:0"

WORDS = "the cache is an exact prefix match over tools system and messages "


def text(tokens: int, tag: str = "") -> dict:
    """A text block of about so many tokens (4 bytes each); `tag` makes it different from its start on."""
    filler = (WORDS * (tokens * 4 // len(WORDS) + 1))[: tokens * 4]
    return {"text": f"{tag}{filler}"[: tokens * 4]}


def point(ttl: str | None = None) -> dict:
    return {"cachePoint": {"type": "default"} | ({"ttl": ttl} if ttl else {})}


def user(*content: dict) -> dict:
    return {"role": "user", "content": list(content)}


def assistant(*content: dict) -> dict:
    return {"role": "assistant", "content": list(content)}


def tool(name: str, tokens: int = 20) -> dict:
    return {
        "toolSpec": {
            "name": name,
            "description": text(tokens, name)["text"],
            "inputSchema": {"json": {"type": "object", "properties": {"x": {"type": "integer"}}}},
        }
    }


def use(name: str, ident: str) -> dict:
    return {"toolUse": {"toolUseId": ident, "name": name, "input": {"x": 1}}}


def result(ident: str, tokens: int = 20) -> dict:
    return {"toolResult": {"toolUseId": ident, "content": [text(tokens, ident)]}}


def usage(read: int = 0, write: int = 0, fresh: int = 10, ttl: str = "5m") -> dict:
    details = {"cacheDetails": [{"ttl": ttl, "inputTokens": write}]} if write else {}
    return {
        "usage": {
            "inputTokens": fresh,
            "outputTokens": 5,
            "totalTokens": fresh + read + write + 5,
            "cacheReadInputTokens": read,
            "cacheWriteInputTokens": write,
            **details,
        }
    }


def marks(request: dict) -> list[str]:
    """Where the checkpoints of a request stand, as `system`, `messages[2]`, with `@1h` where asked for."""
    found = []
    for where, items in (
        ("tools", (request.get("toolConfig") or {}).get("tools", [])),
        ("system", request.get("system") or []),
        *((f"messages[{i}]", m["content"]) for i, m in enumerate(request["messages"])),
    ):
        for item in items:
            if "cachePoint" in item:
                ttl = item["cachePoint"].get("ttl")
                found.append(where + (f"@{ttl}" if ttl else ""))
    return found
