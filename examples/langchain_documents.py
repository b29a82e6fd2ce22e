"""Questions to a document, through a chain that nobody changed: from the third on, the document is read."""

import inspect
import string
import textwrap

from _bedrock import MODEL, bedrock
from langchain_classic.chains import create_retrieval_chain
from langchain_classic.chains.combine_documents import create_stuff_documents_chain
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever

from cachepoint.langchain import CachedChatBedrockConverse, get_cache_usage_callback

MANUALS = {"textwrap": inspect.getsource(textwrap), "string": inspect.getsource(string)}


class Shelf(BaseRetriever):
    """Returns the manual that a question names. LangChain tells of what any retriever returns."""

    def _get_relevant_documents(self, query, **_):
        return [Document(text) for name, text in MANUALS.items() if name in query]


PROMPT = ChatPromptTemplate.from_template("Answer from this:\n\n{context}\n\nQuestion: {input}")
QUESTIONS = (
    "What does shorten of textwrap do?",
    "How does textwrap break a long word?",
    "What does dedent of textwrap leave alone?",
)

with bedrock() as where:
    # With cache_policy={"documents": "shared"} the second question would read it already.
    model = CachedChatBedrockConverse(model=MODEL, **where)
    chain = create_retrieval_chain(Shelf(), create_stuff_documents_chain(model, PROMPT))
    for question in QUESTIONS:
        with get_cache_usage_callback() as usage:
            chain.invoke({"input": question})
        print(f"{question:42} read {usage.total.read_tokens}, written {usage.total.write_tokens}")
