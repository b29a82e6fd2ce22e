"""Stable trimming and stable document order in LangChain."""

import copy
import json

import pytest
from langchain.agents import create_agent
from langchain_aws import ChatBedrockConverse
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool

from cachepoint.emulator import Reply
from cachepoint.langchain.shaping.documents import StableDocumentOrder
from cachepoint.langchain.shaping.history import StableTrimMiddleware, trim_messages_stable

MODEL = "us.anthropic.claude-sonnet-4-6"


def turn(i, tokens=100):
    return [HumanMessage(f"q{i} " + "word" * tokens), AIMessage(f"a{i} " + "word" * tokens)]


def chat(turns, tokens=100):
    return [m for i in range(turns) for m in turn(i, tokens)]


def agent_turn(i):
    call = {"name": "look", "args": {"i": i}, "id": f"call{i}", "type": "tool_call"}
    return [
        HumanMessage(f"q{i}"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("found " * 200, tool_call_id=f"call{i}"),
        AIMessage("so"),
    ]


def test_it_keeps_what_fits_and_then_begins_at_a_user_turn():
    assert trim_messages_stable(chat(3), max_tokens=2_000) == chat(3)
    kept = trim_messages_stable(chat(50), max_tokens=2_000)
    assert isinstance(kept[0], HumanMessage)
    assert kept == chat(50)[-len(kept) :]
    assert 0 < len(kept) < 20


def test_the_beginning_stands_still_for_many_turns():
    ours = [trim_messages_stable(chat(n), max_tokens=10_000)[0].content for n in range(1, 200)]
    theirs = [
        trim_messages(chat(n), max_tokens=10_000, token_counter="approximate", start_on="human")[0].content
        for n in range(1, 200)
    ]
    assert len(set(ours)) <= 10
    assert len(set(theirs)) > 100


def test_the_system_prompt_is_untouched_and_counted():
    system = SystemMessage("be brief " * 100)
    kept = trim_messages_stable([system, *chat(50)], max_tokens=2_000)
    assert kept[0] is system
    assert isinstance(kept[1], HumanMessage)
    without = trim_messages_stable([system, *chat(50)], max_tokens=2_000, include_system=False)
    assert not any(isinstance(m, SystemMessage) for m in without)


def test_tool_calls_stay_with_their_results():
    told = [m for i in range(40) for m in agent_turn(i)]
    for start_on in ("human", None, ("human", AIMessage)):
        for n in range(1, len(told)):
            kept = trim_messages_stable(told[:n], max_tokens=1_500, start_on=start_on)
            asked = {c["id"] for m in kept if isinstance(m, AIMessage) for c in m.tool_calls}
            assert {m.tool_call_id for m in kept if isinstance(m, ToolMessage)} <= asked


def test_nothing_is_changed_and_the_messages_are_the_callers():
    told = chat(50)
    before = copy.deepcopy(told)
    kept = trim_messages_stable(told, max_tokens=2_000)
    assert told == before
    assert all(any(m is t for t in told) for m in kept)


def test_end_on_leaves_out_what_follows():
    kept = trim_messages_stable(chat(3), max_tokens=5_000, end_on="human")
    assert kept == chat(3)[:-1]
    assert trim_messages_stable([AIMessage("x")], max_tokens=5, end_on="human") == []


def by_message(message: BaseMessage) -> int:
    return len(str(message.content))


@pytest.mark.parametrize(
    ("counter", "limit"),
    [("approximate", 2_000), (len, 20), (by_message, 8_000), (lambda ms: sum(map(by_message, ms)), 8_000)],
    ids=["approximate", "messages", "by message", "by list"],
)
def test_every_counter_of_trim_messages_counts(counter, limit):
    kept = trim_messages_stable(chat(50), max_tokens=limit, token_counter=counter)
    assert 0 < len(kept) < 50


def test_a_model_counts():
    class Model(ChatBedrockConverse):
        def get_num_tokens_from_messages(self, messages, tools=None):
            return 10 * len(messages)

    model = Model.model_construct(model_id=MODEL)
    assert len(trim_messages_stable(chat(50), max_tokens=200, token_counter=model)) == 20


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"strategy": "first"}, ValueError),
        ({"allow_partial": True}, ValueError),
        ({"text_splitter": str.split}, ValueError),
        ({"max_tokens": 0}, ValueError),
        ({"step": 2_000}, ValueError),
        ({"token_counter": "exact"}, ValueError),
        ({"token_counter": 4}, TypeError),
    ],
)
def test_what_can_not_be_honoured_is_refused(options, error):
    with pytest.raises(error, match=next(iter(options)).replace("max_tokens", "limit")):
        trim_messages_stable(chat(3), **({"max_tokens": 2_000} | options))


def test_it_stands_in_a_chain():
    prompt = ChatPromptTemplate([("system", "be brief"), MessagesPlaceholder("history")])
    chain = prompt | trim_messages_stable(max_tokens=2_000)
    kept = chain.invoke({"history": chat(50)})
    assert kept[0].content == "be brief"
    assert kept[1:] == trim_messages_stable([SystemMessage("be brief"), *chat(50)], max_tokens=2_000)[1:]


@tool
def look(i: int) -> str:
    """Look something up."""
    return "found " * 50


@pytest.mark.parametrize("sync", [True, False])
async def test_the_middleware_trims_what_is_sent_and_nothing_else(bedrock, sync):
    bedrock.say(lambda _: Reply.text("ok"))
    model = ChatBedrockConverse(
        model=MODEL, client=bedrock.client(), bedrock_client=bedrock.client("bedrock")
    )
    agent = create_agent(
        model, [look], system_prompt="be brief", middleware=[StableTrimMiddleware(2_000, step=1_000)]
    )
    told = [*chat(50), HumanMessage("and now?")]
    state = agent.invoke({"messages": told}) if sync else await agent.ainvoke({"messages": told})
    assert len(state["messages"]) == len(told) + 1
    sent = json.loads(bedrock.answered[-1].body)
    assert sent["system"] == [{"text": "be brief"}]
    kept = trim_messages_stable(told, max_tokens=2_000, step=1_000)
    assert [m["content"][0]["text"] for m in sent["messages"]] == [m.content for m in kept]
    assert len(kept) < 25


def test_the_middleware_hands_on_what_fits_as_it_is():
    class Request:
        messages = chat(2)

    request = Request()
    assert StableTrimMiddleware(2_000).wrap_model_call(request, lambda r: r) is request


def test_the_middleware_refuses_what_it_can_not_hold():
    with pytest.raises(ValueError, match="step"):
        StableTrimMiddleware(100, step=100)


def test_a_chat_that_keeps_20k_tokens_costs_at_most_a_third():
    from benchmarks.trimming import BOUND, PEERS, chat, cost, text, trimmers

    head = [{"text": text(1_500, "system")}]

    def requests(name):
        return [{"system": head, "messages": m} for m in trimmers(1_000)[name](chat(150, 1_000))]

    theirs = requests("langchain")
    best = min(cost(theirs, PEERS[p]) for p in ("nothing", "system", "langchain-aws"))
    assert cost(requests("ours, at least"), None) <= BOUND * best


# Order of documents


class Fixed(BaseRetriever):
    answers: list

    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(t, metadata={"id": t}) for t in self.answers.pop(0)]


async def test_documents_come_in_the_stable_order():
    retriever = ContextualCompressionRetriever(
        base_compressor=StableDocumentOrder(), base_retriever=Fixed(answers=["xa", "ya", "za", "wxa"])
    )
    found = ["".join(d.page_content for d in retriever.invoke("?")) for _ in range(3)]
    assert found == ["xa", "ya", "az"]
    assert [d.metadata["id"] for d in await retriever.ainvoke("?")] == ["a", "w", "x"]


async def test_it_is_a_transformer_too_and_stands_in_a_pipeline():
    pipeline = DocumentCompressorPipeline(transformers=[StableDocumentOrder()])
    documents = [Document("a"), Document("b")]
    assert list(pipeline.compress_documents(documents, "?")) == documents
    order = StableDocumentOrder()
    assert list(order.transform_documents(documents)) == documents
    assert list(await order.atransform_documents(documents)) == documents


def test_ranks_are_told_in_a_copy_of_the_last():
    order = StableDocumentOrder(ranks=True)
    documents = [Document(t) for t in "xa"]
    for _ in range(3):
        shown = order.transform_documents([*documents, Document("y")])
    assert [d.page_content for d in documents] == ["x", "a"]
    assert shown[-1].page_content == "y\n[relevance ranks of the documents above, in order: 1, 2, 3]"
    assert order.transform_documents([Document("x")])[0].page_content == "x"


def test_bounds_are_checked():
    with pytest.raises(ValueError, match="depth"):
        StableDocumentOrder(depth=9)
