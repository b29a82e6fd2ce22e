"""Retrieved nodes in an order that questions share."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from cachepoint.core.config import now
from cachepoint.core.guard import guard
from cachepoint.llama_index.fields import refuse_unknown
from cachepoint.shaping.documents import DocumentOrder, rank_note


class StableDocumentOrder(BaseNodePostprocessor):
    """Puts nodes in front that other questions had in front, so that the cache can be read.

    The order in which nodes stand can matter to answers: measure yours (docs/document-order.md). Put it
    last among the postprocessors. One instance belongs to one prompt; nothing is kept but digests
    and counts.

    Args:
        ranks: Whether a last line tells the model the retriever's ranks. It stands in the last node
            shown (a copy of it), since a rank in each text would make each text another one.
        ttl: Seconds that an entry of the cache lives: 300, or 3600 with `ttl="1h"`.
        depth: How many nodes at most are put in front, 1 to 4.
        clock: Seconds; None: the system's.

    Raises:
        ValueError: Where ttl or depth is out of bounds, or an option is unknown.

    Example:
        ```python
        engine = index.as_query_engine(llm=llm, node_postprocessors=[StableDocumentOrder()])
        ```
    """

    ranks: bool = False
    ttl: float = 300.0
    depth: int = 4
    clock: Callable[[], float] | None = Field(default=None, exclude=True, repr=False)
    _order: DocumentOrder = PrivateAttr()

    def __init__(self, **options: Any) -> None:
        refuse_unknown(type(self), options, type(self).model_fields)
        super().__init__(**options)

    def model_post_init(self, context: Any, /) -> None:
        """Begin with nothing learned."""
        self._order = DocumentOrder(self.clock or now, ttl=self.ttl, depth=self.depth)
        super().model_post_init(context)

    @classmethod
    def class_name(cls) -> str:
        """The name under which it is serialised."""
        return "StableDocumentOrder"

    def _postprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,  # noqa: ARG002
    ) -> list[NodeWithScore]:
        return guard("ordering nodes", lambda: self._ordered(nodes), nodes)

    def _ordered(self, nodes: list[NodeWithScore]) -> list[NodeWithScore]:
        order = self._order.order([n.node.get_content(MetadataMode.LLM) for n in nodes])
        ordered = [nodes[i] for i in order]
        if self.ranks and len(ordered) > 1 and isinstance(ordered[-1].node, TextNode):
            ordered[-1] = _ranked(ordered[-1], ordered[-1].node, order)
        return ordered

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return self._postprocess_nodes(nodes, query_bundle)


def _ranked(scored: NodeWithScore, node: TextNode, order: Sequence[int]) -> NodeWithScore:
    copy = node.model_copy(update={"text": f"{node.text}\n{rank_note(order)}"})
    return NodeWithScore(node=copy, score=scored.score)


class StableNodeOrder(StableDocumentOrder):
    """The old name of `StableDocumentOrder`, which goes on for one release."""

    def __init__(self, **options: Any) -> None:
        warnings.warn(
            "StableNodeOrder is StableDocumentOrder now; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        super().__init__(**options)
