"""No text of a prompt stands in the store: every key is read by its type's own commands, its name included."""

import base64
import logging

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever

from cachepoint import PromptCache, documents, volatile
from cachepoint.aws import CachingClient
from cachepoint.emulator import Reply
from cachepoint.langchain import CachedChatBedrockConverse
from tests.memory.servers import KEY

MODEL = "us.anthropic.claude-sonnet-4-6"
PATIENT = 5.0
# How what a key holds is read, by the type that TYPE says.
READ = {
    b"string": lambda client, key: [client.get(key)],
    b"hash": lambda client, key: [part for pair in client.hgetall(key).items() for part in pair],
    b"list": lambda client, key: client.lrange(key, 0, -1),
    b"set": lambda client, key: client.smembers(key),
    b"zset": lambda client, key: client.zrange(key, 0, -1),
    b"stream": lambda client, key: [
        p for _, entry in client.xrange(key) for pair in entry.items() for p in pair
    ],
}
CANARIES = {
    "system": "canary00system",
    "document": "canary01document",
    "question": "canary02question",
    "answer": "canary03answer",
    "history": "canary04history",
    "tool": "canary05tool",
    "description": "canary06description",
    "parameter": "canary07parameter",
    "default": "canary08default",
    "input": "canary09input",
    "result": "canary10result",
    "metadata": "canary11metadata",
    "stop": "canary12stop",
    "retrieved": "canary13retrieved",
    "volatile": "canary14volatile",
    "namespace": "canary15namespace",
    "variable": "canary16variable",
    "refusal": "canary17refusal",
    "filename": "canary18filename",
}


def all_that_stands_there(client):
    """Of every key: its name, and all that it holds."""
    for key in client.scan_iter(count=1_000):
        yield key
        yield from READ[client.type(key)](client, key)


def forms(canary):
    """As it is, and as who hides nothing writes it."""
    raw = canary.encode()
    shifted = (base64.b64encode(b"x" * skip + raw)[4 * (skip > 0) : -4] for skip in range(3))
    return [raw, raw.hex().encode(), raw.upper(), canary.encode("utf-16-le"), raw[::-1], raw[:10], *shifted]


def found(client, canaries):
    parts = list(all_that_stands_there(client))
    return {c for c in canaries if any(form in part for form in forms(c) for part in parts)}


def long(canary):
    return f"{canary} is kept behind the grey cover of the {canary} house. " * 150


def request(turn):
    of = CANARIES
    schema = {
        "type": "object",
        "properties": {
            of["parameter"]: {"type": "string", "default": of["default"], "enum": [of["default"]]}
        },
        "required": [of["parameter"]],
    }
    spec = {"name": of["tool"], "description": long(of["description"]), "inputSchema": {"json": schema}}
    use = {"toolUseId": "use_1", "name": of["tool"], "input": {of["parameter"]: of["input"]}}
    result = {"toolUseId": "use_1", "content": [{"text": long(of["result"])}]}
    document = {"name": of["filename"], "format": "txt", "source": {"bytes": long(of["document"]).encode()}}
    return {
        "modelId": MODEL,
        "system": [{"text": long(of["system"]) + f"It is 10:0{turn} of {of['variable']}{turn}."}],
        "toolConfig": {"tools": [{"toolSpec": spec}]},
        "messages": [
            {"role": "user", "content": [{"document": document}, {"text": long(of["history"])}]},
            {"role": "assistant", "content": [{"text": of["answer"]}, {"toolUse": use}]},
            {"role": "user", "content": [{"toolResult": result}, {"text": f"{of['question']} {turn}?"}]},
        ],
        "inferenceConfig": {"maxTokens": 100, "stopSequences": [of["stop"]]},
        "requestMetadata": {"user": of["metadata"]},
    }


class Found(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(long(CANARIES["retrieved"]) + query), Document(long("retrieved twice"))]


def by_hand(client, cache):
    ours = CachingClient(client, cache=cache)
    for turn in range(4):
        ours.converse(**request(turn))
        ours.converse(**request(turn), cache_policy={"explain": "text", "relocate": "learned", "ttl": "1h"})
        list(ours.converse_stream(**request(turn))["stream"])
    call = cache.prepare(request(5))
    cache.refused(call, f"{CANARIES['refusal']}: The model does not support cachePoint in the tools field.")
    cache.abandon(cache.prepare(request(6)))


def through_langchain(client, cache):
    llm = CachedChatBedrockConverse(model=MODEL, client=client, bedrock_client=client, prompt_cache=cache)
    history = [SystemMessage(long(CANARIES["system"]) + volatile(CANARIES["volatile"]))]
    for turn in range(3):
        texts = "\n\n".join(d.page_content for d in Found().invoke(f"query {turn} "))
        asked = HumanMessage(
            f"{texts}\n\n{documents(CANARIES['document'] * 60)}\n\n{CANARIES['question']} {turn}?"
        )
        history += [asked, llm.invoke([*history, asked])]
    call = {"name": CANARIES["tool"], "args": {CANARIES["parameter"]: CANARIES["input"]}, "id": "use_1"}
    llm.bind_tools(
        [
            {
                "name": CANARIES["tool"],
                "description": CANARIES["description"],
                "input_schema": {"type": "object"},
            }
        ]
    ).invoke(
        [
            *history,
            HumanMessage("Look it up."),
            AIMessage("", tool_calls=[call]),
            ToolMessage(CANARIES["result"], tool_call_id="use_1"),
        ]
    )


@pytest.mark.parametrize("calls", [by_hand, through_langchain], ids=lambda calls: calls.__name__)
def test_none_of_the_canaries_stands_in_the_store(server, connected, bedrock, caplog, calls):
    caplog.set_level(logging.DEBUG, "cachepoint")
    bedrock.say(lambda _: Reply.text(long(CANARIES["answer"])))
    memory = connected(server, namespace=CANARIES["namespace"])
    cache = PromptCache(memory=memory, memory_timeout=PATIENT, namespace=CANARIES["namespace"])
    calls(bedrock.client(), cache)

    sent = " ".join(call.body.decode() for call in bedrock.calls)
    with server.client() as client:
        assert client.dbsize() > 20
        client.set("planted", "canaryplanted")
        assert found(client, ["canaryplanted"]) == {"canaryplanted"}
        assert found(client, CANARIES.values()) == set()
        assert KEY.encode() not in b" ".join(all_that_stands_there(client))
    assert memory.is_shared
    assert cache.faults == 0
    assert sum(canary in sent for canary in CANARIES.values()) >= 8
    assert not [r for r in caplog.records if any(c in r.getMessage() for c in CANARIES.values())]


def test_a_canary_is_found_wherever_it_is_planted(server):
    with server.client() as client:
        plant = {
            "in a string": lambda c: client.set("a", b"\x00" + c + b"\xff"),
            "in a hash": lambda c: client.hset("b", "field", c),
            "in a field": lambda c: client.hset("c", c, "1"),
            "in a list": lambda c: client.rpush("d", "x", c),
            "in a set": lambda c: client.sadd("e", c),
            "in a sorted set": lambda c: client.zadd("f", {c: 1}),
            "in a stream": lambda c: client.xadd("g", {"field": c}),
            "in a name": lambda c: client.set(b"cp1:" + c, "1"),
            "in hex": lambda c: client.set("h", c.hex()),
            "in base64": lambda c: client.set("i", base64.b64encode(b"..a text with " + c + b" in it")),
        }
        for n, (where, put) in enumerate(plant.items()):
            assert found(client, [f"canary{n:03}planted"]) == set(), where
            put(f"canary{n:03}planted".encode())
            assert found(client, [f"canary{n:03}planted"]) == {f"canary{n:03}planted"}, where
