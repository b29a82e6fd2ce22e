"""Pairs of requests, the second of which reads less of the first than it could, or all: what is to be said."""

import copy
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from builders import SONNET, assistant, point, result, text, tool, use, user

OPUS = "us.anthropic.claude-opus-4-8"
RULES = "".join(f"Rule {i}: read the manual before you answer.\n" for i in range(120))
Request = dict[str, Any]


class Pair(NamedTuple):
    """Two requests. `cause` is None where the second goes on from the first; `where` and `what` are said of it."""

    name: str
    before: Request
    after: Request
    cause: str | None
    where: str = ""
    what: str = ""


def agent() -> Request:
    """A request with tools, a system prompt and two rounds of tool calls, with checkpoints."""
    return {
        "modelId": SONNET,
        "toolConfig": {"tools": [tool("alpha", 60), tool("beta", 60), tool("gamma", 60), point()]},
        "system": [{"text": f"You help Ada.\nToday is 2026-11-26.\nTurn 3.\n{RULES}"}, point()],
        "messages": [
            user(text(300, "first question ")),
            assistant({"text": "I look."}, use("alpha", "t1"), use("beta", "t2")),
            user(result("t1", 100), result("t2", 100)),
            assistant({"text": "So it is."}),
            user(text(100, "second question "), point()),
        ],
    }


def later(request: Request) -> Request:
    """A turn later, with its checkpoint at the new end."""
    request = copy.deepcopy(request)
    request["messages"][-1]["content"] = request["messages"][-1]["content"][:1]
    request["messages"] += [assistant({"text": "Well."}), user(text(100, "third question "), point())]
    return request


def changed(
    name: str, change: Callable[[Request], Any], cause: str | None, where: str = "", what: str = ""
) -> Pair:
    before = agent()
    after = later(before)
    change(after)
    return Pair(name, before, after, cause, where, what)


def put(*way: Any, to: Any) -> Callable[[Request], Any]:
    def change(request: Request) -> None:
        *path, last = way
        at: Any = request
        for key in path:
            at = at[key]
        at[last] = to

    return change


def system(old: str, new: str) -> Callable[[Request], Any]:
    def change(request: Request) -> None:
        request["system"][0]["text"] = request["system"][0]["text"].replace(old, new, 1)

    return change


def tools(change: Callable[[list[Any]], Any]) -> Callable[[Request], Any]:
    return lambda request: change(request["toolConfig"]["tools"])


def messages(change: Callable[[list[Any]], Any]) -> Callable[[Request], Any]:
    return lambda request: change(request["messages"])


def swapped(i: int, j: int) -> Callable[[list[Any]], Any]:
    def change(items: list[Any]) -> None:
        items[i], items[j] = items[j], items[i]

    return change


def fields(**more: Any) -> Callable[[Request], Any]:
    return put("additionalModelRequestFields", to=more)


def keys_of_a_schema(request: Request) -> None:
    schema = request["toolConfig"]["tools"][1]["toolSpec"]["inputSchema"]
    schema["json"] = dict(reversed(schema["json"].items()))


def bare(request: Request) -> Request:
    """Without checkpoints."""
    if isinstance(request, list):
        return [bare(item) for item in request if item != point()]
    return {k: bare(v) for k, v in request.items()} if isinstance(request, dict) else request


def short(request: Request) -> Request:
    """Its first message alone, with a checkpoint behind it."""
    first = {**request["messages"][0], "content": [*request["messages"][0]["content"], point()]}
    return {
        **request,
        "messages": [first],
        "system": request["system"][:1],
        "toolConfig": bare(request["toolConfig"]),
    }


def spoken(parts: int) -> Request:
    """One message of so many blocks, with a checkpoint at its end."""
    return {"modelId": SONNET, "messages": [user(*[text(200, f"part {i} ") for i in range(parts)], point())]}


def body(request: Request) -> Request:
    """The same as a body of InvokeModel."""
    names = [t["toolSpec"] for t in request["toolConfig"]["tools"] if "toolSpec" in t]
    said = [
        {
            "role": m["role"],
            "content": [{"type": "text", "text": c["text"]} for c in m["content"] if "text" in c],
        }
        for m in request["messages"]
    ]
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "tools": [
            {"name": n["name"], "description": n["description"], "input_schema": n["inputSchema"]["json"]}
            for n in names
        ],
        "system": [
            {"type": "text", "text": request["system"][0]["text"], "cache_control": {"type": "ephemeral"}}
        ],
        "messages": [m for m in said if m["content"]],
    }


def of_bodies(
    name: str, change: Callable[[Request], Any], cause: str | None, where: str = "", what: str = ""
) -> Pair:
    before, after = body(agent()), body(later(agent()))
    change(after)
    return Pair(name, before, after, cause, where, what)


SPEC = ("toolConfig", "tools")
PAIRS = (
    changed("goes on", lambda r: None, None),
    changed("another model", put("modelId", to=OPUS), "model_changed"),
    changed("another profile", put("modelId", to="global.anthropic.claude-sonnet-4-6"), "model_changed"),
    Pair("another API", agent(), {**body(agent()), "model": SONNET}, "model_changed"),
    # Settings.
    changed(
        "thinking on",
        fields(thinking={"type": "enabled", "budget_tokens": 2_000}),
        "settings_changed",
        what="thinking",
    ),
    changed("effort", fields(output_config={"effort": "low"}), "settings_changed", what="effort"),
    changed("thinking off is the default", fields(thinking={"type": "disabled"}), None),
    changed("effort high is the default", fields(output_config={"effort": "high"}), None),
    changed(
        "output schema",
        put("outputConfig", to={"textFormat": {"type": "json_schema"}}),
        "settings_changed",
        what="textFormat",
    ),
    changed(
        "forced choice of a tool",
        put("toolConfig", "toolChoice", to={"any": {}}),
        "settings_changed",
        "messages",
        "tool_choice",
    ),
    changed("temperature", put("inferenceConfig", to={"temperature": 0.7}), None),
    changed("most tokens", put("inferenceConfig", to={"maxTokens": 77}), None),
    # Tools.
    changed("two tools swapped", tools(swapped(0, 1)), "tools_changed", "tools[0]", "reordered"),
    changed("last tools swapped", tools(swapped(1, 2)), "tools_changed", "tools[1]", "reordered"),
    changed(
        "tool added", tools(lambda t: t.insert(3, tool("delta"))), "tools_changed", "tools[3]", "added: delta"
    ),
    changed(
        "tool put in front",
        tools(lambda t: t.insert(0, tool("delta"))),
        "tools_changed",
        "tools[0]",
        "added: delta",
    ),
    changed("tool removed", tools(lambda t: t.pop(1)), "tools_changed", "tools[1]", "removed: beta"),
    changed(
        "description edited",
        put(*SPEC, 1, "toolSpec", "description", to="another"),
        "tools_changed",
        "tools[1].toolSpec.description",
    ),
    changed(
        "keys of a schema in another order",
        keys_of_a_schema,
        "tools_changed",
        "tools[1].toolSpec.inputSchema.json",
        "JSON keys",
    ),
    changed(
        "parameter edited",
        put(*SPEC, 0, "toolSpec", "inputSchema", "json", "properties", "x", "type", to="string"),
        "tools_changed",
        "tools[0].toolSpec.inputSchema",
    ),
    # System.
    changed("date", system("2026-11-26", "2026-11-27"), "system_changed", "system[0]", "a date"),
    changed("time of day", system("Today is 2026-11-26", "It is 10:31:07"), "system_changed", "system[0]"),
    changed("counter", system("Turn 3", "Turn 4"), "system_changed", "system[0]", "a counter"),
    changed("name", system("Ada", "Bob"), "system_changed", "system[0]", "a name"),
    changed("white space", system("Rule 7: ", "Rule 7:  "), "system_changed", "system[0]", "white space"),
    changed(
        "a line added", system("Turn 3.\n", "Turn 3.\nBe brief.\n"), "system_changed", "system[0]", "added"
    ),
    changed("system prompt removed", lambda r: r.pop("system"), "system_changed", "system[0]", "removed"),
    # History.
    changed(
        "first message edited",
        put("messages", 0, "content", 0, "text", to="another"),
        "messages_changed",
        "messages[0].content[0]",
    ),
    changed(
        "first turns dropped",
        messages(lambda m: [m.pop(0) for _ in range(4)]),
        "messages_changed",
        "messages[0].content[0]",
        "truncated",
    ),
    changed(
        "results in another order",
        messages(lambda m: m[2]["content"].reverse()),
        "messages_changed",
        "messages[2].content[0]",
        "tool results",
    ),
    changed(
        "a result cleared",
        put(
            "messages",
            2,
            "content",
            0,
            to=result("t1", 1) | {"toolResult": {"toolUseId": "t1", "content": [{"text": "[cleared]"}]}},
        ),
        "messages_changed",
        "messages[2].content[0]",
        "cleared",
    ),
    changed(
        "an id of a call made anew",
        put("messages", 1, "content", 1, "toolUse", "toolUseId", to="t9x9"),
        "messages_changed",
        "messages[1].content[1].toolUse.toolUseId",
    ),
    changed(
        "an answer trimmed",
        put("messages", 3, "content", 0, "text", to="So it is"),
        "messages_changed",
        "messages[3].content[0]",
    ),
    changed(
        "a message put in",
        messages(lambda m: m.insert(3, assistant({"text": "Hm."}))),
        "messages_changed",
        "messages[3].content[0]",
    ),
    changed(
        "its own last turn changed",
        put("messages", 4, "content", 0, "text", to="second, otherwise"),
        "messages_changed",
        "messages[4].content[0]",
    ),
    # Checkpoints.
    Pair("no checkpoint in the first", bare(agent()), later(agent()), "not_marked", what="the first"),
    Pair("no checkpoint in the second", agent(), bare(later(agent())), "not_marked", what="the second"),
    Pair("cut short", agent(), short(agent()), "messages_changed", "messages[0].content[0]", "truncated"),
    Pair("25 blocks on", spoken(1), spoken(26), "lookback_exceeded", "messages[0].content[25]", "25 blocks"),
    Pair("21 blocks on", spoken(1), spoken(22), None),
    # An hour's entry was read by a checkpoint of five minutes (req_llm's recordings of Converse, 2026).
    changed("another TTL", put("toolConfig", "tools", 3, "cachePoint", "ttl", to="1h"), None),
    # Bodies of InvokeModel.
    of_bodies("body: goes on", lambda r: None, None),
    of_bodies(
        "body: tools swapped", lambda r: swapped(0, 2)(r["tools"]), "tools_changed", "tools[0]", "reordered"
    ),
    of_bodies(
        "body: date",
        lambda r: r["system"][0].update(text=r["system"][0]["text"].replace("-26", "-27")),
        "system_changed",
        "system[0]",
        "a date",
    ),
    of_bodies(
        "body: history edited",
        lambda r: r["messages"][0]["content"][0].update(text="x"),
        "messages_changed",
        "messages[0].content[0]",
    ),
    of_bodies(
        "body: thinking",
        lambda r: r.update(thinking={"type": "enabled", "budget_tokens": 2_000}),
        "settings_changed",
        what="thinking",
    ),
)


def written(request: Request) -> str:
    return json.dumps(request)
