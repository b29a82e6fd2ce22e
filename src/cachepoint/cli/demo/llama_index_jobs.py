"""The jobs with LlamaIndex's own parts. Each takes a model and asks nothing else of it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.prompts import ChatMessage, ChatPromptTemplate, MessageRole, PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import BaseTool, FunctionTool
from llama_index.llms.bedrock_converse import BedrockConverse
from llama_index.llms.bedrock_converse.utils import is_bedrock_function_calling_model

from cachepoint import PromptCache
from cachepoint.cli.demo import letters, work
from cachepoint.cli.demo.places import Stage
from cachepoint.cli.demo.retrieval import Search
from cachepoint.cli.demo.tools import TOOLS
from cachepoint.core.policy import PolicyLike
from cachepoint.llama_index import CachedBedrockConverse
from cachepoint.llama_index.models import is_known, stand_in

NAME = "llama_index"
# As LangGraph's 60 steps, of which a call and its tools are two.
_MOST_CALLS = 30


def check(model_id: str) -> None:
    """Upstream goes by a list of its own, of models and of those that take tools."""
    known = stand_in(model_id)
    if not is_known(known) or not is_bedrock_function_calling_model(known):
        raise ValueError(f"LlamaIndex's list has no model {model_id} that takes tools")


def plain(stage: Stage, model_id: str) -> BedrockConverse:
    """LlamaIndex's own model."""
    known = stand_in(model_id)
    # Upstream refuses an id that its list lacks, unless that comes as a profile of a model on the list.
    profile = None if known == model_id else model_id
    return BedrockConverse(model=known, application_inference_profile_arn=profile, **_settings(stage))


def cached(stage: Stage, model_id: str, policy: PolicyLike) -> BedrockConverse:
    """The same with `cachepoint`, knowing nothing of earlier runs."""
    return CachedBedrockConverse(
        model=model_id, cache_policy=policy, prompt_cache=PromptCache(), **_settings(stage)
    )


def _settings(stage: Stage) -> dict[str, Any]:
    return {
        "client": stage.client,
        "async_client": InThreads(stage.client),
        "max_tokens": work.MAX_TOKENS,
    }


class InThreads:
    """The stage's client for async calls.

    Where aioboto3 is installed, upstream makes one of its own unless one is given.
    """

    def __init__(self, client: Any) -> None:
        self.meta = client.meta
        self._client = client

    async def converse(self, **request: Any) -> Any:
        """`client.converse`."""
        return await asyncio.to_thread(self._client.converse, **request)


def agent(model: BedrockConverse) -> None:
    """An agent with tools."""
    tools: list[BaseTool | Callable[..., Any]] = [FunctionTool.from_defaults(tool) for tool in TOOLS]
    # What a stream counted is not in the answer that the client hears of.
    worker = FunctionAgent(llm=model, tools=tools, system_prompt=work.agent_instructions(), streaming=False)

    async def run() -> None:
        await worker.run(work.AGENT_TASK, max_iterations=_MOST_CALLS, early_stopping_method="generate")

    asyncio.run(run())


def chat(model: BedrockConverse) -> None:
    """A chat whose history the engine keeps."""
    engine = SimpleChatEngine.from_defaults(llm=model, system_prompt=work.chat_instructions())
    for question in work.CHAT_QUESTIONS:
        engine.chat(question)


def documents(model: BedrockConverse) -> None:
    """Questions about documents, with the retrieved text in front of the question."""
    engine = RetrieverQueryEngine(
        retriever=ApiRetriever(work.documents()),
        response_synthesizer=get_response_synthesizer(llm=model, response_mode=ResponseMode.COMPACT),
    )
    for question in work.DOCUMENT_QUESTIONS:
        engine.query(question)


def pairs(model: BedrockConverse) -> None:
    """Classification, with each example as two messages."""
    said = [(MessageRole.SYSTEM, letters.INSTRUCTIONS)]
    for letter in letters.examples():
        said += [(MessageRole.USER, letter.message), (MessageRole.ASSISTANT, letter.topic)]
    said.append((MessageRole.USER, "{message}"))
    prompt = ChatPromptTemplate([ChatMessage(role=role, content=text) for role, text in said])
    for message in letters.items():
        model.predict(prompt, message=message)


def examples(model: BedrockConverse) -> None:
    """Classification, with the examples and the item in one text."""
    shots = [letters.EXAMPLE.format(**letter._asdict()) for letter in letters.examples()]
    prompt = PromptTemplate("\n\n".join((letters.INSTRUCTIONS, *shots, letters.ITEM)))
    for message in letters.items():
        model.predict(prompt, message=message)


class ApiRetriever(BaseRetriever):
    """Scores small pieces and returns the whole document that the best piece is from."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        super().__init__()
        # Lines up to so many characters, so that the questions fall on the documents that LangChain finds.
        splitter = TokenTextSplitter(chunk_size=1_200, chunk_overlap=0, separator="\n", tokenizer=list)
        self._search = Search(texts, splitter.split_text)
        self._nodes = {name: TextNode(id_=name, text=text) for name, text in texts.items()}

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=self._nodes[self._search.best(query_bundle.query_str)], score=1.0)]


JOBS: Mapping[str, Callable[[BedrockConverse], None]] = {
    "agent": agent,
    "chat": chat,
    "documents": documents,
    "pairs": pairs,
    "examples": examples,
}
