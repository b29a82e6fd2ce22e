"""What LangChain retrieves stays inside the cached prefix, in chains that nobody changed."""

import asyncio
import json
import pickle
import subprocess
import sys
from operator import itemgetter

import pytest
from langchain.agents import create_agent
from langchain_classic.chains import create_retrieval_chain
from langchain_classic.chains.combine_documents import create_stuff_documents_chain
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnablePassthrough
from langchain_core.tools import create_retriever_tool
from langgraph.graph import END, START, MessagesState, StateGraph

from benchmarks import documents
from cachepoint.core.prompt import documents as announcements
from cachepoint.core.prompt.documents import Announced, retrieved
from cachepoint.emulator import ToolResponder
from cachepoint.langchain import CachedChatBedrockConverse, get_cache_usage_callback, retrieval
from tests.adapters.contract import CLAUDE


def manual(name):
    return (
        f"Manual {name}. "
        + "\n".join(f"{name} step {i}: turn the rotor slowly. " * 4 for i in range(40))
        + f"\n{name} ends."
    )


class Shelf(BaseRetriever):
    """Returns its documents in the order that the question begins with, as in "210: why?"; else as they are."""

    documents: list[Document]

    def _get_relevant_documents(self, query, *, run_manager):
        order = query.split(":")[0]
        return [self.documents[int(c)] for c in order] if order.isdigit() else self.documents


@pytest.fixture(autouse=True)
def announced(monkeypatch):
    """What this test announces and nothing else."""
    fresh = Announced()
    monkeypatch.setattr(retrieval, "retrieved", fresh)
    monkeypatch.setattr(announcements, "retrieved", fresh)
    return fresh


@pytest.fixture
def shelf(request):
    return Shelf(
        documents=[Document(manual(f"{request.node.name} {n}"), metadata={"source": n}) for n in range(3)]
    )


@pytest.fixture
def llm(bedrock, cache, announced):
    return CachedChatBedrockConverse(
        model=CLAUDE,
        client=bedrock.client(),
        bedrock_client=bedrock.client("bedrock"),
        prompt_cache=cache,
        cache_policy={"documents": "shared"},
    )


def format_docs(docs):
    return "\n\n".join(d.page_content for d in docs)


IN_SYSTEM = ChatPromptTemplate.from_messages(
    [("system", "Answer from this:\n\n{context}\n\nBe brief."), ("human", "{input}")]
)
IN_HUMAN = ChatPromptTemplate.from_template("Answer from this:\n\n{context}\n\nQuestion: {input}")
WITH_METADATA = PromptTemplate.from_template('<doc source="{source}">\n{page_content}\n</doc>')


def retrieval_chain(prompt, **options):
    return lambda llm, shelf: create_retrieval_chain(
        shelf, create_stuff_documents_chain(llm, prompt, **options)
    )


def pipe(prompt):
    context = itemgetter("input") | RunnablePassthrough()
    return lambda llm, shelf: (
        {"context": context | shelf | format_docs, "input": itemgetter("input")}
        | prompt
        | llm
        | StrOutputParser()
    )


def stuff(llm, shelf):
    chain = create_stuff_documents_chain(llm, IN_HUMAN)
    return RunnablePassthrough.assign(context=itemgetter("input") | shelf) | chain


def graph(llm, shelf):
    class State(MessagesState):
        input: str

    def answer(state):
        context = format_docs(shelf.invoke(state["input"]))
        return {"messages": [llm.invoke(IN_HUMAN.invoke({"context": context, "input": state["input"]}))]}

    return _compiled(State, answer)


def async_graph(llm, shelf):
    class State(MessagesState):
        input: str

    async def answer(state):
        context = format_docs(await shelf.ainvoke(state["input"]))
        return {
            "messages": [await llm.ainvoke(IN_HUMAN.invoke({"context": context, "input": state["input"]}))]
        }

    return _compiled(State, answer)


def _compiled(state, node):
    builder = StateGraph(state)
    builder.add_node("answer", node)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile()


CHAINS = {
    "retrieval-chain-system": retrieval_chain(IN_SYSTEM),
    "retrieval-chain-human": retrieval_chain(IN_HUMAN),
    "document-prompt": retrieval_chain(IN_HUMAN, document_prompt=WITH_METADATA, document_separator="\n---\n"),
    "pipe-system": pipe(IN_SYSTEM),
    "pipe-human": pipe(IN_HUMAN),
    "stuff": stuff,
    "graph": graph,
}
ASKED = {"input": "how?"}


async def _astream(chain):
    return [chunk async for chunk in chain.astream(ASKED)]


WAYS = {
    "invoke": lambda c: c.invoke(ASKED),
    "ainvoke": lambda c: asyncio.run(c.ainvoke(ASKED)),
    "stream": lambda c: list(c.stream(ASKED)),
    "astream": lambda c: asyncio.run(_astream(c)),
    "batch": lambda c: c.batch([ASKED] * 2),
    "abatch": lambda c: asyncio.run(c.abatch([ASKED] * 2)),
}


def holding(request):
    """The content in which the documents stand."""
    system = request.get("system") or []
    return (
        system
        if any("Answer from" in b.get("text", "") for b in system)
        else request["messages"][0]["content"]
    )


def is_split_behind(request, document):
    """Documents, checkpoint, the rest."""
    first, point, rest = holding(request)[:3]
    return first["text"].endswith(document.page_content) and "cachePoint" in point and rest["text"]


def are_split_behind(calls, document):
    """All of them are cut there; of those that were under way at once one writes, and it alone is marked."""
    assert calls
    for call in calls:
        first, *rest = [block for block in holding(call.request) if "cachePoint" not in block]
        assert first["text"].endswith(document.page_content)
        assert rest[0]["text"]
    assert any(is_split_behind(call.request, document) for call in calls if "cachePoint" in str(call.request))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_the_checkpoint_stands_where_the_documents_end(chain, way, llm, shelf, bedrock):
    way(chain(llm, shelf))
    are_split_behind(bedrock.calls, shelf.documents[-1])


@pytest.mark.parametrize("way", ["ainvoke", "astream", "abatch"])
def test_in_an_async_node(way, llm, shelf, bedrock):
    WAYS[way](async_graph(llm, shelf))
    are_split_behind(bedrock.calls, shelf.documents[-1])


@pytest.mark.parametrize("order", ["012", "210", "120"])
def test_documents_in_any_order(order, llm, shelf, bedrock):
    chain = CHAINS["pipe-human"](llm, shelf)
    for question in ("how?", "why?"):
        chain.invoke({"input": f"{order}: {question}"})
    assert is_split_behind(bedrock.calls[0].request, shelf.documents[int(order[-1])])
    assert bedrock.calls[1].usage["cacheReadInputTokens"] > 1_024


def test_short_documents_do_not_matter(llm, shelf, bedrock, announced):
    shelf.documents.append(Document("Yes."))
    CHAINS["pipe-human"](llm, shelf).invoke(ASKED)
    assert len(announced) == 3
    assert is_split_behind(bedrock.calls[0].request, shelf.documents[-2])


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_an_agent_whose_retriever_is_a_tool(way, llm, shelf, bedrock, announced):
    bedrock.say(ToolResponder(steps=2))
    agent = create_agent(llm, [create_retriever_tool(shelf, "manuals", "Looks into the manuals.")])
    run = {"invoke": agent.invoke, "ainvoke": lambda s: asyncio.run(agent.ainvoke(s))}[way]
    with get_cache_usage_callback() as usage:
        run({"messages": [HumanMessage("How?")]})
    assert len(announced) == 3
    assert usage.calls == len(bedrock.calls) == 3
    steps = [(c.usage["cacheReadInputTokens"], c.usage["cacheWriteInputTokens"]) for c in bedrock.calls]
    assert steps[2][0] == sum(steps[1]) > 1_024


def test_what_was_said_stays_split_when_it_is_history(llm, shelf, bedrock):
    agent = create_agent(llm, [])
    context = IN_HUMAN.invoke({"context": format_docs(shelf.invoke("?")), "input": "how?"}).to_messages()
    state = agent.invoke({"messages": context})
    agent.invoke({"messages": [*state["messages"], HumanMessage("Why?")]})
    pieces = [[b["text"] for b in c.request["messages"][0]["content"] if "text" in b] for c in bedrock.calls]
    assert len(pieces[0]) == 2
    assert pieces[1] == pieces[0]


def test_nobody_else_is_disturbed(llm, shelf):
    heard = []

    class Ear(BaseCallbackHandler):
        raise_error = True

        def on_retriever_start(self, serialized, query, **_):
            heard.append("start")

        def on_retriever_end(self, documents, **_):
            heard.append(len(documents))

        def on_chat_model_start(self, *_, **__):
            heard.append("model")

        def on_llm_end(self, *_, **__):
            heard.append("end")

    chain = CHAINS["pipe-human"](llm, shelf)
    with get_cache_usage_callback() as usage:
        chain.invoke(ASKED, config={"callbacks": [Ear()]})
    assert heard == ["start", 3, "model", "end"]
    assert usage.calls == 1
    events = asyncio.run(_events(chain))
    assert [e for e in events if "retriever" in e] == ["on_retriever_start", "on_retriever_end"]


async def _events(chain):
    return [e["event"] async for e in chain.astream_events(ASKED, version="v2")]


def test_it_is_passed_on_to_nobody_and_serialised_nowhere(llm, shelf):
    manager = CallbackManager.configure()
    handlers = [h for h in manager.handlers if isinstance(h, retrieval.RetrievalHandler)]
    assert len(handlers) == 1
    assert handlers[0] not in manager.inheritable_handlers
    child = CallbackManager.configure(inheritable_callbacks=manager)
    assert sum(isinstance(h, retrieval.RetrievalHandler) for h in child.handlers) == 1
    assert "RetrievalHandler" not in dumps(CHAINS["pipe-human"](llm, shelf))


def test_a_fault_of_it_fails_nothing(llm, shelf, bedrock, announced, monkeypatch, caplog):
    monkeypatch.setattr(announced, "announce", lambda _: 1 / 0)
    CHAINS["pipe-human"](llm, shelf).invoke(ASKED)
    asyncio.run(CHAINS["pipe-human"](llm, shelf).ainvoke(ASKED))
    assert len(bedrock.answered) == 2
    assert "division by zero" in caplog.text


def test_no_text_is_kept(shelf, announced):
    shelf.invoke("?")
    assert len(announced) == 3
    kept = {k: v for k, v in vars(announced).items() if k not in {"_lock", "_clock"}}
    assert b"rotor" not in pickle.dumps(kept)
    assert "rotor" not in repr(vars(retrieval._handler.get()))


@pytest.fixture
def for_all(monkeypatch):
    """Announced where every PromptCache looks."""
    monkeypatch.setattr(retrieval, "retrieved", retrieved)
    monkeypatch.setattr(announcements, "retrieved", retrieved)


@pytest.mark.usefixtures("for_all")
@pytest.mark.parametrize("front", documents.FRONTS)
@pytest.mark.parametrize(("table", "layout"), documents.BOUNDS)
def test_what_it_costs(table, layout, front):
    """The bounds of the benchmark, over real texts; the questions that share nothing are half of the benchmark's."""
    held = documents.one_document() if table == "shared" else documents.never_shared(questions=12)
    assert documents.ratio(documents.FRONTS[front], layout, held) <= documents.BOUNDS[table, layout]


@pytest.mark.usefixtures("for_all")
def test_a_question_in_front_of_the_documents_costs_nothing_more():
    assert documents.ratio(documents.QUESTION_FIRST, "cachepoint", documents.one_document()) <= 1.0


IMPORTS = """
import json, sys
from langchain_core.tracers.context import _configure_hooks
import cachepoint.langchain
import cachepoint.langchain.retrieval
print(json.dumps(["langchain" in sys.modules, sum("cachepoint" in h[0].name for h in _configure_hooks)]))
"""


def test_importing_registers_once_and_loads_no_agents():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [False, 1]
