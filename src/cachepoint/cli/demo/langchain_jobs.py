"""The jobs with LangChain's own parts. Each takes a chat model and asks nothing else of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_classic.chains import create_retrieval_chain
from langchain_classic.chains.combine_documents import create_stuff_documents_chain
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.prompts import (
    ChatPromptTemplate,
    FewShotChatMessagePromptTemplate,
    FewShotPromptTemplate,
    PromptTemplate,
)
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_text_splitters import RecursiveCharacterTextSplitter
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import ConfigDict

from cachepoint import PromptCache
from cachepoint.cli.demo import letters, work
from cachepoint.cli.demo.places import Stage
from cachepoint.cli.demo.retrieval import Search
from cachepoint.cli.demo.tools import TOOLS
from cachepoint.core.models.rules import rules_for
from cachepoint.core.policy import PolicyLike
from cachepoint.langchain import CachedChatBedrock, CachedChatBedrockConverse

NAME = "langchain"


def check(model_id: str) -> None:
    """Nothing to check: which models there are is left to the service."""


def plain(stage: Stage, model_id: str) -> BaseChatModel:
    """LangChain's own model."""
    return ChatBedrockConverse(**_settings(stage, model_id))


def cached(stage: Stage, model_id: str, policy: PolicyLike) -> BaseChatModel:
    """The same with `cachepoint`, knowing nothing of earlier runs."""
    return CachedChatBedrockConverse(
        **_settings(stage, model_id), cache_policy=policy, prompt_cache=PromptCache()
    )


def _settings(stage: Stage, model_id: str) -> dict[str, Any]:
    return {
        "model": model_id,
        "client": stage.client,
        "bedrock_client": stage.control,
        "max_tokens": work.MAX_TOKENS,
    }


def agent(model: BaseChatModel) -> None:
    """An agent with tools."""
    _agent(model).invoke({"messages": [HumanMessage(work.AGENT_TASK)]}, {"recursion_limit": 60})


def streamed_agent(model: BaseChatModel, callbacks: Sequence[BaseCallbackHandler] = ()) -> None:
    """The same through streams."""
    config = RunnableConfig(recursion_limit=60, callbacks=list(callbacks))
    for _ in _agent(model).stream(
        {"messages": [HumanMessage(work.AGENT_TASK)]}, config, stream_mode="messages"
    ):
        pass


def _agent(model: BaseChatModel) -> Any:
    return create_agent(model, list(TOOLS), system_prompt=work.agent_instructions())


def chat(model: BaseChatModel) -> None:
    """A chat whose history LangGraph keeps."""
    graph = create_agent(model, [], system_prompt=work.chat_instructions(), checkpointer=InMemorySaver())
    for question in work.CHAT_QUESTIONS:
        graph.invoke({"messages": [HumanMessage(question)]}, {"configurable": {"thread_id": "desk"}})


def documents(model: BaseChatModel) -> None:
    """Questions about documents, with the retrieved text in the system prompt."""
    prompt = ChatPromptTemplate.from_messages([("system", work.DOCUMENTS), ("human", "{input}")])
    chain = create_retrieval_chain(
        ApiRetriever.over(work.documents()), create_stuff_documents_chain(model, prompt)
    )
    for question in work.DOCUMENT_QUESTIONS:
        chain.invoke({"input": question})


def pairs(model: BaseChatModel) -> None:
    """Classification, with each example as two messages."""
    pair = ChatPromptTemplate.from_messages([("human", "{message}"), ("ai", "{topic}")])
    known = [letter._asdict() for letter in letters.examples()]
    shots = FewShotChatMessagePromptTemplate(examples=known, example_prompt=pair)
    prompt = ChatPromptTemplate.from_messages(
        [("system", letters.INSTRUCTIONS), shots, ("human", "{message}")]
    )
    for message in letters.items():
        (prompt | model).invoke({"message": message})


def examples(model: BaseChatModel) -> None:
    """Classification, with the examples and the item in one text."""
    prompt = FewShotPromptTemplate(
        examples=[letter._asdict() for letter in letters.examples()],
        example_prompt=PromptTemplate.from_template(letters.EXAMPLE),
        prefix=letters.INSTRUCTIONS,
        suffix=letters.ITEM,
        input_variables=["message"],
    )
    for message in letters.items():
        (prompt | model).invoke({"message": message})


class ApiRetriever(BaseRetriever):
    """Scores small pieces and returns the whole document that the best piece is from."""

    texts: dict[str, str]
    search: Search

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @classmethod
    def over(cls, texts: dict[str, str]) -> "ApiRetriever":
        """A retriever over texts by name."""
        splitter = RecursiveCharacterTextSplitter(chunk_size=1_200, chunk_overlap=0)
        return cls(texts=texts, search=Search(texts, splitter.split_text))

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002
    ) -> list[Document]:
        name = self.search.best(query)
        return [Document(self.texts[name], metadata={"source": name})]


JOBS: Mapping[str, Callable[[BaseChatModel], None]] = {
    "agent": agent,
    "chat": chat,
    "documents": documents,
    "pairs": pairs,
    "examples": examples,
}


class _Invoke:
    """The same through InvokeModel, with `ChatBedrock` as their model."""

    NAME = "langchain_invoke"
    JOBS: Mapping[str, Callable[[BaseChatModel], None]] = {
        name: JOBS[name] for name in ("agent", "chat", "documents")
    }

    def check(self, model_id: str) -> None:
        """Raises ValueError where the model is no Claude: ChatBedrock sends Nova's calls to Converse."""
        if rules_for(model_id).provider != "anthropic":
            raise ValueError(f"{model_id!r} is no Claude, whose bodies these jobs send")

    def plain(self, stage: Stage, model_id: str) -> BaseChatModel:
        """LangChain's own model."""
        return ChatBedrock(**_settings(stage, model_id))

    def cached(self, stage: Stage, model_id: str, policy: PolicyLike) -> BaseChatModel:
        """The same with `cachepoint`, knowing nothing of earlier runs."""
        return CachedChatBedrock(
            **_settings(stage, model_id), cache_policy=policy, prompt_cache=PromptCache()
        )


INVOKE = _Invoke()
