"""Retrieved documents in an order that questions share."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, BaseDocumentTransformer, Document
from pydantic import Field, PrivateAttr

from cachepoint.core.config import now
from cachepoint.core.guard import guard
from cachepoint.shaping.documents import DocumentOrder, rank_note


class StableDocumentOrder(BaseDocumentCompressor, BaseDocumentTransformer):
    """Puts documents in front that other questions had in front, so that the cache can be read.

    The order in which documents stand can matter to answers: measure yours (docs/document-order.md).
    One instance belongs to one prompt; nothing is kept but digests and counts.

    Args:
        ranks: Whether a last line tells the model the retriever's ranks. It stands in the last document
            shown (a copy of it), since a rank in each text would make each text another one.
        ttl: Seconds that an entry of the cache lives: 300, or 3600 with `ttl="1h"`.
        depth: How many documents at most are put in front, 1 to 4.
        clock: Seconds; None: the system's.

    Raises:
        ValueError: Where ttl or depth is out of bounds.

    Example:
        ```python
        retriever = ContextualCompressionRetriever(
            base_compressor=StableDocumentOrder(), base_retriever=store.as_retriever()
        )
        ```
    """

    ranks: bool = False
    ttl: float = 300.0
    depth: int = 4
    clock: Callable[[], float] | None = Field(default=None, exclude=True, repr=False)
    _order: DocumentOrder = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Begin with nothing learned."""
        self._order = DocumentOrder(self.clock or now, ttl=self.ttl, depth=self.depth)
        super().model_post_init(context)

    def transform_documents(self, documents: Sequence[Document], **_kwargs: Any) -> Sequence[Document]:
        """The same documents in another order; with `ranks`, the last is a copy with a line more."""
        return guard("ordering documents", lambda: self._ordered(documents), documents)

    async def atransform_documents(self, documents: Sequence[Document], **_kwargs: Any) -> Sequence[Document]:
        """As `transform_documents`; it does no I/O."""
        return self.transform_documents(documents)

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,  # noqa: ARG002
        callbacks: Callbacks | None = None,  # noqa: ARG002
    ) -> Sequence[Document]:
        """As `transform_documents`."""
        return self.transform_documents(documents)

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,  # noqa: ARG002
        callbacks: Callbacks | None = None,  # noqa: ARG002
    ) -> Sequence[Document]:
        """As `transform_documents`; it does no I/O."""
        return self.transform_documents(documents)

    def _ordered(self, documents: Sequence[Document]) -> Sequence[Document]:
        order = self._order.order([d.page_content for d in documents])
        ordered = [documents[i] for i in order]
        if self.ranks and len(ordered) > 1:
            ordered[-1] = _ranked(ordered[-1], order)
        return ordered


def _ranked(document: Document, order: Sequence[int]) -> Document:
    return document.model_copy(update={"page_content": f"{document.page_content}\n{rank_note(order)}"})
