"""One document of about 20 pages and 12 questions; questions that share none; cleared tool results.

LangChain's own chains, unchanged, over boto3 against the emulator. Figures are shares of what the same
input costs without a cache: a read 0.1, a write 1.25. The document is botocore's description of
the operations of DynamoDB; where no document is shared, four operations of S3 a question.

  framework's own    LangChain: `cache_control=` on every call, as langchain-aws'
                     BedrockPromptCachingMiddleware puts it; LlamaIndex: BedrockConverse with
                     `system_prompt_caching` and `tool_caching`
  cachepoint         CachedChatBedrockConverse as it comes
  cachepoint shared  with `cache_policy={"documents": "shared"}`

`question first` is a prompt that puts the question in front of the documents, as rlm/rag-prompt does: nothing
behind the question ever comes back, and no checkpoint can change that. `not announced`: 14
questions that share no document (four operations of KMS each), and a search of which LangChain tells nothing.

    python benchmarks/documents.py [--json] [--clearing]

It ends with an error where a figure is above its bound in `BOUNDS`. `--clearing`: an agent that reads 40
pages, with no edit, with LangChain's ClearToolUsesEdit and with ours.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html import unescape

import boto3
from botocore.loaders import create_loader
from botocore.model import ServiceModel
from langchain.agents import create_agent
from langchain.agents.middleware import ClearToolUsesEdit, ContextEditingMiddleware
from langchain_aws import ChatBedrockConverse
from langchain_classic.chains import create_retrieval_chain
from langchain_classic.chains.combine_documents import create_stuff_documents_chain
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever as LlamaRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.llms.bedrock_converse import BedrockConverse

from cachepoint import PromptCache
from cachepoint.core.accounting.report import input_units
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.models.rules import rules_for
from cachepoint.emulator import BedrockEmulator, Reply, ToolResponder
from cachepoint.langchain import CachedChatBedrockConverse, ClearToolUsesInBatches
from cachepoint.llama_index import CachedBedrockConverse

MODEL = "us.anthropic.claude-sonnet-4-6"
PAGE = 2_500
GAP = 8.0
# At most so much of uncached.
BOUNDS = {
    ("shared", "cachepoint"): 0.33,
    ("shared", "cachepoint shared"): 0.25,
    ("never shared", "cachepoint"): 1.01,
}
QUESTIONS = (
    "How do I create a table?",
    "What does BatchGetItem return when a response is too large?",
    "How many items does one BatchWriteItem take?",
    "Can I delete a table that is being updated?",
    "What is a global table?",
    "How do I turn on point in time recovery?",
    "What is the difference between Query and Scan?",
    "How are transactions rolled back?",
    "Which limits hold for the number of tables?",
    "What does TimeToLive do with expired items?",
    "How do I restore a backup?",
    "What is returned by DescribeLimits?",
)

Ask = Callable[[str], object]
Front = Callable[[BedrockEmulator, str, Mapping[str, list[str]]], Ask]


# Real texts that are installed with the dependencies.


@cache
def operations(service: str) -> tuple[str, ...]:
    """What botocore says of each operation of a service."""
    model = ServiceModel(create_loader().load_service_model(service, "service-2"), service)
    texts = ((name, model.operation_model(name).documentation) for name in model.operation_names)
    return tuple(f"# {name}\n{_plain(text)}" for name, text in texts if text)


def _plain(text: str) -> str:
    return re.sub(
        r"\s*\n\s*", "\n", unescape(re.sub(r"<[^>]+>", " ", re.sub(r"</p>|<li>", "\n", text)))
    ).strip()


def one_document() -> dict[str, list[str]]:
    document = "\n\n".join(operations("dynamodb"))
    return {question: [document] for question in QUESTIONS}


def never_shared(service: str = "s3", questions: int = 24, each: int = 4) -> dict[str, list[str]]:
    texts = sorted(operations(service), key=len)[-questions * each :]
    assert len(texts) == questions * each
    return {f"What is said of operation {i}?": texts[i::questions] for i in range(questions)}


# Front ends: from an emulator, a layout and what each question retrieves, a function that asks. Another
# framework's is one more row of FRONTS; a layout that it has no like of may raise NotImplementedError.


class Shelf(BaseRetriever):
    """Returns what belongs to a question."""

    held: Mapping[str, list[str]]

    def _get_relevant_documents(self, query: str, **_: object) -> list[Document]:
        return [Document(text) for text in self.held[query]]


QA_CHAT = """\
Answer any use questions based solely on the context below:

<context>
{context}
</context>"""


def retrieval_chain(model: Runnable, shelf: BaseRetriever) -> Ask:
    """Prompt: langchain-ai/retrieval-qa-chat, but for the history."""
    prompt = ChatPromptTemplate.from_messages([("system", QA_CHAT), ("human", "{input}")])
    chain = create_retrieval_chain(shelf, create_stuff_documents_chain(model, prompt))
    return lambda question: chain.invoke({"input": question})


def pipe(template: str) -> Callable[[Runnable, BaseRetriever], Ask]:
    def format_docs(docs: list[Document]) -> str:
        return "\n\n".join(doc.page_content for doc in docs)

    def build(model: Runnable, shelf: BaseRetriever) -> Ask:
        inputs = {"context": shelf | format_docs, "question": RunnablePassthrough()}
        chain = inputs | ChatPromptTemplate.from_template(template) | model | StrOutputParser()
        return chain.invoke

    return build


def clients(bedrock: BedrockEmulator) -> dict[str, object]:
    dummies = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
    return {
        name: boto3.client(service, endpoint_url=bedrock.url, **dummies)
        for name, service in (("client", "bedrock-runtime"), ("bedrock_client", "bedrock"))
    }


PEER = "framework's own"
LAYOUTS: dict[str, Callable[[BedrockEmulator], Runnable]] = {
    PEER: lambda bedrock: ChatBedrockConverse(model=MODEL, **clients(bedrock)).bind(
        cache_control={"type": "ephemeral", "ttl": "5m"}
    ),
    "cachepoint": lambda bedrock: CachedChatBedrockConverse(
        model=MODEL, prompt_cache=PromptCache(clock=bedrock.now), **clients(bedrock)
    ),
    "cachepoint shared": lambda bedrock: CachedChatBedrockConverse(
        model=MODEL,
        prompt_cache=PromptCache(clock=bedrock.now),
        cache_policy={"documents": "shared"},
        **clients(bedrock),
    ),
}


def of_langchain(build: Callable[[Runnable, BaseRetriever], Ask]) -> Front:
    return lambda bedrock, layout, held: build(LAYOUTS[layout](bedrock), Shelf(held=held))


class Nodes(LlamaRetriever):
    """The same for LlamaIndex."""

    def __init__(self, held: Mapping[str, list[str]]) -> None:
        super().__init__()
        self._held = held

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [
            NodeWithScore(node=TextNode(text=text), score=1.0) for text in self._held[query_bundle.query_str]
        ]


def query_engine(bedrock: BedrockEmulator, layout: str, held: Mapping[str, list[str]]) -> Ask:
    """LlamaIndex's query engine with its own templates; the peer is BedrockConverse with both its flags."""
    made = clients(bedrock)
    if layout == PEER:
        llm = BedrockConverse(
            model=MODEL, client=made["client"], system_prompt_caching=True, tool_caching=True
        )
    else:
        llm = CachedBedrockConverse(
            model=MODEL,
            client=made["client"],
            prompt_cache=PromptCache(clock=bedrock.now),
            cache_policy={"documents": "shared"} if layout == "cachepoint shared" else None,
        )
    engine = RetrieverQueryEngine.from_args(Nodes(held), llm=llm, response_mode="compact")
    return engine.query


def not_announced(bedrock: BedrockEmulator, layout: str, held: Mapping[str, list[str]]) -> Ask:
    """Documents that no retriever returned, as of `vector_store.similarity_search`."""
    search = RunnableLambda(lambda x: [Document(text) for text in held[x["input"]]])
    return retrieval_chain(LAYOUTS[layout](bedrock), search)


FRONTS: dict[str, Front] = {
    "create_retrieval_chain": of_langchain(retrieval_chain),
    "LCEL pipe": of_langchain(
        pipe("Answer the question based only on the following context:\n{context}\n\nQuestion: {question}\n")
    ),
    "LlamaIndex query engine": query_engine,
}
QUESTION_FIRST = of_langchain(
    pipe("Use the following pieces of retrieved context.\nQuestion: {question}\nContext: {context}\nAnswer:")
)


@dataclass(frozen=True)
class Spent:
    """`units` is the input's cost in uncached tokens, `tokens` all of the input."""

    units: float
    tokens: int
    calls: int
    largest: int

    @property
    def ratio(self) -> float:
        return self.units / self.tokens


def spent(bedrock: BedrockEmulator) -> Spent:
    used = [Usage.from_converse({"usage": call.usage}) for call in bedrock.calls if call.usage]
    units = sum(input_units(u, rules_for(MODEL).multipliers) or 0 for u in used)
    return Spent(units, sum(u.input_tokens for u in used), len(used), max(u.input_tokens for u in used))


def ratio(front: Front, layout: str, held: Mapping[str, list[str]]) -> float:
    with BedrockEmulator(responder=lambda _: Reply.text("As the document says.")) as bedrock:
        ask = front(bedrock, layout, held)
        for question in held:
            ask(question)
            bedrock.advance(GAP)
        assert len(bedrock.calls) == len(held)
        return spent(bedrock).ratio


def measure(held: Mapping[str, list[str]], fronts: Mapping[str, Front]) -> dict[str, dict[str, float | None]]:
    return {
        name: {layout: _ratio(front, layout, held) for layout in LAYOUTS} for name, front in fronts.items()
    }


def _ratio(front: Front, layout: str, held: Mapping[str, list[str]]) -> float | None:
    try:
        return ratio(front, layout, held)
    except NotImplementedError:
        return None


def documents() -> dict[str, dict[str, dict[str, float | None]]]:
    return {
        "shared": measure(one_document(), FRONTS),
        "never shared": measure(never_shared(), FRONTS),
        # Texts of their own: what one front announced, another would find.
        "not announced": measure(
            never_shared("kms", questions=14), {"create_retrieval_chain": not_announced}
        ),
        "question first": measure(one_document(), {"LCEL pipe": QUESTION_FIRST}),
    }


def broken(tables: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> list[str]:
    """The figures above their bound."""
    return [
        f"{table}, {front}, {layout}: {found:.3f} is more than {bound}"
        for (table, layout), bound in BOUNDS.items()
        for front, row in tables[table].items()
        if (found := row[layout]) is not None and found > bound
    ]


# Clearing


@tool
def read_page(page: str) -> str:
    """Read a page of the manual."""
    return f"Page {page}. " + "Turn the rotor slowly and note what it says on the dial. " * 110


EDITS = {
    "no edit": None,
    "ClearToolUsesEdit": ClearToolUsesEdit,
    "ClearToolUsesInBatches": ClearToolUsesInBatches,
}


def clearing(trigger: int = 15_000, steps: int = 40) -> dict[str, Spent]:
    return {name: _cleared(edit and edit(trigger=trigger), steps) for name, edit in EDITS.items()}


def _cleared(edit: object, steps: int) -> Spent:
    with BedrockEmulator(responder=ToolResponder(steps=steps)) as bedrock:
        agent = create_agent(
            LAYOUTS["cachepoint"](bedrock),
            [read_page],
            system_prompt="The pump holds four litres; the valve is on its left side. " * 120,
            middleware=[ContextEditingMiddleware(edits=[edit])] if edit else [],
        )
        agent.invoke({"messages": [HumanMessage("Read all pages.")]}, {"recursion_limit": 4 * steps})
        return spent(bedrock)


def lines(tables: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> Iterator[str]:
    yield f"{'input cost, of uncached':40}" + "".join(f"{layout:>20}" for layout in LAYOUTS)
    for table, rows in tables.items():
        for front, row in rows.items():
            figures = "".join(f"{'-' if v is None else format(v, '.3f'):>20}" for v in row.values())
            yield f"{f'{table}: {front}':40}{figures}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true")
    options.add_argument("--clearing", action="store_true")
    chosen = options.parse_args()
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    if chosen.clearing:
        found = clearing()
        print(json.dumps({n: vars(s) for n, s in found.items()})) if chosen.json else print_clearing(found)
        return
    tables = documents()
    faults = broken(tables)
    if chosen.json:
        print(json.dumps({"rows": tables, "broken": faults}))
    else:
        [text] = one_document()[QUESTIONS[0]]
        print(f"one document of {len(text) // PAGE} pages, {len(QUESTIONS)} questions\n")
        print("\n".join(lines(tables)))
    if faults:
        sys.exit("\n".join(faults))


def print_clearing(found: Mapping[str, Spent]) -> None:
    print(f"{'40 pages, trigger 15,000':28}{'cost in tokens':>16}{'largest request':>18}{'mean request':>15}")
    for name, s in found.items():
        print(f"{name:28}{s.units:>16,.0f}{s.largest:>18,}{s.tokens // s.calls:>15,}")


if __name__ == "__main__":
    main()
