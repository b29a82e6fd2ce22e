"""Stable trimming and stable document order in LlamaIndex."""

import json

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine, SimpleChatEngine
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import IndexNode, NodeWithScore, TextNode
from llama_index.core.storage.chat_store import SimpleChatStore

from cachepoint.llama_index.shaping.documents import StableDocumentOrder
from cachepoint.llama_index.shaping.history import DEFAULT_TOKEN_LIMIT, StableTrimMemory, four_characters


def turn(i, tokens=100):
    return [
        ChatMessage(role="user", content=f"q{i} " + "word" * tokens),
        ChatMessage(role="assistant", content=f"a{i} " + "word" * tokens),
    ]


def chat(turns, tokens=100):
    return [m for i in range(turns) for m in turn(i, tokens)]


def beginnings(make):
    memory = make()
    seen = []
    for i in range(150):
        memory.put_messages(turn(i))
        seen.append(memory.get()[0].content[:6])
    return seen


def test_the_beginning_stands_still_for_many_turns():
    ours = beginnings(lambda: StableTrimMemory.from_defaults(token_limit=10_000))
    theirs = beginnings(
        lambda: ChatMemoryBuffer.from_defaults(token_limit=10_000, tokenizer_fn=four_characters)
    )
    assert len(set(ours)) <= 8
    assert len(set(theirs)) > 90


async def test_it_sends_what_fits_and_keeps_everything():
    memory = StableTrimMemory.from_defaults(chat_history=chat(50), token_limit=2_000)
    kept = memory.get()
    assert await memory.aget("a question", initial_token_count=900) == kept
    assert kept[0].role == MessageRole.USER
    assert 0 < len(kept) < 20
    assert memory.get_all() == chat(50)
    memory.reset()
    assert memory.get() == []


def test_it_cuts_the_same_after_a_restart():
    store = SimpleChatStore()
    memory = StableTrimMemory.from_defaults(chat_history=chat(50), token_limit=2_000, chat_store=store)
    again = StableTrimMemory.from_defaults(token_limit=2_000, chat_store=store)
    assert again.get() == memory.get()


def test_it_is_read_from_what_others_wrote():
    # SimpleChatStore itself can't be written with pydantic 2.14 (llama-index-core 0.14.25).
    told = [m.model_dump() for m in chat(50)]
    store = {"class_name": "SimpleChatStore", "store": {"chat_history": told}}
    data = {"class_name": "StableTrimMemory", "token_limit": 2_000, "step": 700, "chat_store": store}
    memory = StableTrimMemory.from_string(json.dumps(data))
    assert memory.get_all() == chat(50)
    assert (memory.step, memory.token_limit) == (700, 2_000)
    assert len(memory.get()) < 20


async def test_the_callers_lists_stay_the_callers():
    mine = chat(2)
    memory = StableTrimMemory.from_defaults(chat_history=mine)
    memory.put_messages(turn(3))
    memory.set(mine)
    memory.put_messages(turn(3))
    await memory.aset(mine)
    memory.put_messages(turn(3))
    memory.get().clear()
    assert mine == chat(2)
    assert len(memory.get_all()) == 6


def with_blocks(i):
    call = ToolCallBlock(tool_call_id=f"c{i}", tool_name="look", tool_kwargs={"i": i})
    return [
        ChatMessage(role="user", content=f"q{i}"),
        ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), call]),
        ChatMessage(role="tool", content="found " * 200, additional_kwargs={"tool_call_id": f"c{i}"}),
        ChatMessage(role="assistant", content="so"),
    ]


def with_kwargs(i):
    calls = [{"toolUseId": f"c{i}", "name": "look", "input": {}}]
    return [
        ChatMessage(role="user", content=f"q{i}"),
        ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": calls}),
        ChatMessage(role="user", content="a word in between"),
        ChatMessage(role="tool", content="found " * 200, additional_kwargs={"tool_call_id": f"c{i}"}),
    ]


@pytest.mark.parametrize("kind", [with_blocks, with_kwargs])
def test_tool_calls_stay_with_their_results(kind):
    told = [m for i in range(40) for m in kind(i)]
    for n in range(1, len(told)):
        kept = StableTrimMemory.from_defaults(chat_history=told[:n], token_limit=1_500).get()
        assert kept[0].content[:1] == "q"


def test_parts_that_are_no_text_are_counted_flat():
    memory = StableTrimMemory.from_defaults()
    blocks = [
        TextBlock(text="word"),
        ImageBlock(image=b"x" * 9_999),
        CachePoint(cache_control=CacheControl(type="default")),
    ]
    assert memory._count(ChatMessage(role="user", blocks=blocks)) == 257


def test_options_are_those_of_other_memories():
    assert StableTrimMemory.from_defaults().token_limit == DEFAULT_TOKEN_LIMIT
    llm = MockLLM()
    limit = int(llm.metadata.context_window * 0.75)
    store = SimpleChatStore()
    memory = StableTrimMemory.from_defaults(
        llm=llm, chat_store=store, chat_store_key="me", tokenizer_fn=str.split
    )
    memory.put(ChatMessage(role="user", content="one two three"))
    assert (memory.token_limit, memory._count(store.get_messages("me")[0])) == (limit, 3)


@pytest.mark.parametrize("options", [{"token_limit": 0}, {"step": 0}, {"step": 40_000}, {"flush": 1}])
def test_what_it_can_not_hold_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options)).replace("token_limit", "limit")):
        StableTrimMemory.from_defaults(**options)


class Fixed(BaseRetriever):
    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=TextNode(text="a fact", id_="n"), score=1.0)]


@pytest.mark.parametrize(
    "build",
    [
        lambda memory: SimpleChatEngine.from_defaults(llm=MockLLM(max_tokens=5), memory=memory),
        lambda memory: ContextChatEngine.from_defaults(Fixed(), llm=MockLLM(max_tokens=5), memory=memory),
        lambda memory: CondensePlusContextChatEngine.from_defaults(
            Fixed(), llm=MockLLM(max_tokens=5), memory=memory
        ),
    ],
    ids=["simple", "context", "condense_plus_context"],
)
async def test_chat_engines_take_it(build):
    memory = StableTrimMemory.from_defaults(chat_history=chat(20), token_limit=1_000)
    engine = build(memory)
    engine.chat("hello")
    await engine.achat("again")
    assert len(memory.get_all()) == 44
    assert len(engine.chat_history) == 44


def test_a_chat_engine_makes_it_itself():
    engine = SimpleChatEngine.from_defaults(llm=MockLLM(max_tokens=5), memory_cls=StableTrimMemory)
    engine.chat("hello")
    assert len(engine.chat_history) == 2


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # llama-index-workflows
async def test_an_agent_takes_it():
    sent = []

    class Llm(MockFunctionCallingLLM):
        async def astream_chat_with_tools(self, tools, user_msg=None, chat_history=None, **kwargs):
            sent.append(list(chat_history))
            return await super().astream_chat_with_tools(
                tools, user_msg=user_msg, chat_history=chat_history, **kwargs
            )

    def look(i: int) -> str:
        """Look something up."""
        return "found"

    memory = StableTrimMemory.from_defaults(chat_history=chat(50), token_limit=1_000)
    agent = FunctionAgent(tools=[look], llm=Llm(), system_prompt="be brief")
    await agent.run(user_msg="and now?", memory=memory)
    assert 1 < len(sent[0]) < 14
    assert len(memory.get_all()) > 101


# Order of nodes


def nodes(texts):
    return [NodeWithScore(node=TextNode(text=t, id_=t), score=0.5) for t in texts]


async def test_nodes_come_in_the_stable_order():
    order = StableDocumentOrder()
    found = ["".join(n.text for n in order.postprocess_nodes(nodes(t))) for t in ("xa", "ya", "za")]
    assert found == ["xa", "ya", "az"]
    assert "".join(n.text for n in await order.apostprocess_nodes(nodes("wxa"))) == "awx"


def test_ranks_are_told_in_a_copy_of_the_last():
    order = StableDocumentOrder(ranks=True)
    given = nodes("xay")
    shown = order.postprocess_nodes(given, query_str="?")
    assert [n.text for n in given] == ["x", "a", "y"]
    assert shown[-1].text == "y\n[relevance ranks of the documents above, in order: 1, 2, 3]"
    assert (shown[-1].node.node_id, shown[-1].score) == ("y", 0.5)
    assert order.postprocess_nodes(nodes("x"))[0].text == "x"


def test_metadata_that_is_shown_makes_another_document():
    order = StableDocumentOrder()
    one, other = (TextNode(text="a", metadata={"page": p}) for p in (1, 2))
    for node in (one, other, one):
        order.postprocess_nodes([NodeWithScore(node=TextNode(text="x")), NodeWithScore(node=node)])
    assert len(order._order._counts) == 3


def test_index_nodes_are_ordered_too():
    order = StableDocumentOrder(ranks=True)
    given = [NodeWithScore(node=IndexNode(text=t, index_id=t)) for t in "ab"]
    assert isinstance(order.postprocess_nodes(given)[-1].node, IndexNode)


def test_it_is_serialised_by_its_options():
    order = StableDocumentOrder(ranks=True, depth=2)
    again = StableDocumentOrder.from_dict(order.to_dict())
    assert (again.ranks, again.depth, again.class_name()) == (True, 2, "StableDocumentOrder")


def test_a_chat_that_keeps_20k_tokens_costs_at_most_a_third():
    from benchmarks.trimming import BOUND, PEERS, chat, cost, text, trimmers

    head = [{"text": text(1_500, "system")}]

    def requests(name):
        return [{"system": head, "messages": m} for m in trimmers(1_000)[name](chat(150, 1_000))]

    buffer = requests("buffer")
    best = min(cost(buffer, PEERS[p]) for p in ("nothing", "system", "langchain-aws"))
    assert cost(requests("ours (LlamaIndex), at least"), None) <= BOUND * best
