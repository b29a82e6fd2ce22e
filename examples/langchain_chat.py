"""A chat on LangChain. All that changes is where ChatBedrockConverse is imported from."""

import inspect
import textwrap

from _bedrock import MODEL, bedrock
from langchain_core.messages import HumanMessage, SystemMessage

from cachepoint.langchain import CachedChatBedrockConverse as ChatBedrockConverse

QUESTIONS = ("What does fill do?", "How does it treat long words?", "And how do I indent the first line?")

with bedrock() as where:
    llm = ChatBedrockConverse(model=MODEL, **where)
    history = [SystemMessage("Answer questions about this module:\n" + inspect.getsource(textwrap))]
    for question in QUESTIONS:
        history.append(HumanMessage(question))
        answer = llm.invoke(history)
        history.append(answer)
        report = answer.response_metadata["cachepoint"]
        usage, saved = report["usage"], report["saved_usd"]
        print(f"read {usage['read_tokens']}, written {usage['write_tokens']}, saved ${saved:.4f}")
