"""A chat engine over documents on LlamaIndex.

The engine puts what it retrieved ahead of the system prompt, so that nothing of a turn could be read by the
next one; with `reorder="stable_first"` the system prompt goes first.
"""

import inspect
import shutil
import textwrap
import warnings

from _bedrock import MODEL, bedrock
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from cachepoint.llama_index import CachedBedrockConverse, get_cache_usage_callback

# LlamaIndex's Memory leaves its in-memory database for Python to close.
warnings.simplefilter("ignore", ResourceWarning)

QUESTIONS = ("What does copyfile do?", "And copytree?", "How do I use rmtree?", "What of disk_usage?")
RULES = "Answer as this module's maintainer would:\n" + inspect.getsource(textwrap)


class Docs(BaseRetriever):
    """The documentation of the functions that a question names."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        named = [getattr(shutil, n) for n in shutil.__all__ if n in query_bundle.query_str]
        return [NodeWithScore(node=TextNode(text=inspect.getdoc(f) or ""), score=1.0) for f in named]


with bedrock() as where:
    llm = CachedBedrockConverse(model=MODEL, cache_policy={"reorder": "stable_first"}, **where)
    engine = ContextChatEngine.from_defaults(retriever=Docs(), llm=llm, system_prompt=RULES)
    with get_cache_usage_callback() as usage:
        for question in QUESTIONS:
            engine.chat(question)
    print(usage)
