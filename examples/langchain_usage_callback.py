"""What a whole block of LangChain code read, wrote and saved, whatever runs in it."""

import inspect
import textwrap

from _bedrock import MODEL, bedrock
from langchain_core.prompts import ChatPromptTemplate

from cachepoint.langchain import CachedChatBedrockConverse, get_cache_usage_callback

with bedrock() as where:
    prompt = ChatPromptTemplate.from_messages([("system", "{module}"), ("human", "{question}")])
    chain = prompt | CachedChatBedrockConverse(model=MODEL, **where)
    module = inspect.getsource(textwrap)
    with get_cache_usage_callback() as usage:
        for name in ("wrap", "fill", "shorten", "dedent", "indent"):
            chain.invoke({"module": module, "question": f"What does {name} do?"})
    print(usage)
    print(
        f"{usage.hit_share:.0%} of {usage.total.input_tokens:,} input tokens read, ${usage.saved:.4f} saved"
    )
