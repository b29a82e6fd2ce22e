"""A RAG app on LangChain: questions about pumps, answered from a handbook and from notes."""

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnablePassthrough

from cachepoint.langchain import CachedChatBedrockConverse
from handbook import HANDBOOK, NOTES


class Notes(BaseRetriever):
    """The notes whose title a question names."""

    def _get_relevant_documents(self, query: str, **_: object) -> list[Document]:
        return [Document(text) for title, text in NOTES.items() if title in query]


def instructions() -> str:
    return f"You answer questions about pumps. You know this handbook:\n{HANDBOOK}"


def together(notes: list[Document]) -> str:
    return "\n\n".join(note.page_content for note in notes)


def build() -> Runnable[str, str]:
    prompt = ChatPromptTemplate.from_messages(
        [("system", "{instructions}"), ("human", "Notes:\n{notes}\n\nQuestion: {question}")]
    )
    found = {
        "instructions": lambda _: instructions(),
        "notes": Notes() | together,
        "question": RunnablePassthrough(),
    }
    return (
        found | prompt | CachedChatBedrockConverse(model="us.anthropic.claude-sonnet-4-6") | StrOutputParser()
    )
