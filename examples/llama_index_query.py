"""A query engine on LlamaIndex: `Settings.llm` is all that changes."""

import inspect
import textwrap

from _bedrock import MODEL, bedrock
from llama_index.core import Settings, SummaryIndex
from llama_index.core.schema import TextNode

from cachepoint.llama_index import CachedBedrockConverse, get_cache_usage_callback

QUESTIONS = ("What does wrap do?", "What does fill do?", "What does shorten do?", "What does dedent do?")

with bedrock() as where:
    Settings.llm = CachedBedrockConverse(model=MODEL, **where)
    engine = SummaryIndex([TextNode(text=inspect.getsource(textwrap))]).as_query_engine()
    with get_cache_usage_callback() as usage:
        for question in QUESTIONS:
            engine.query(question)
    print(usage)
