"""A bound model that stays bound when tools or a schema are bound to it."""

from typing import TYPE_CHECKING, Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding

from cachepoint.langchain.options import to_bind

if TYPE_CHECKING:
    # What `BaseChatModel.bind` says it returns; when run, LangChain promises a RunnableBinding.
    from langchain_core.language_models.chat_models import _ChatModelBinding as _Binding
else:
    _Binding = RunnableBinding[LanguageModelInput, AIMessage]


class BoundModel(_Binding):
    """What `bind` and `with_config` return.

    Upstream's forwards `bind_tools` and `with_structured_output` to the bare model, and what was bound
    before is lost.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """As upstream's, so that it loads everywhere."""
        return [*cls.get_lc_namespace(), "RunnableBinding"]

    def bind(self, **kwargs: Any) -> "BoundModel":
        """Bind more; what was bound before stays unless it is named again.

        Raises:
            ValueError: Where an option of ours is misspelt, or `cache_policy` is not valid.
        """
        # bind_tools binds tool_choice=None where it was given none.
        named = {k: v for k, v in to_bind(kwargs).items() if v is not None or k not in self.kwargs}
        bound: BoundModel = super().bind(**named)  # type: ignore[assignment]
        return bound

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Upstream's `bind_tools`, on top of what is bound."""
        tooled: Runnable[LanguageModelInput, AIMessage] = self._carrier().bind_tools(tools, **kwargs)
        return tooled

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[LanguageModelInput, Any]:
        """Upstream's `with_structured_output`, on top of what is bound."""
        if kwargs.get("method") == "prompt_prefill" and self.kwargs.get("stop"):
            kwargs.setdefault("stop", self.kwargs["stop"])
        structured: Runnable[LanguageModelInput, Any] = self._carrier().with_structured_output(
            schema, **kwargs
        )
        return structured

    def _carrier(self) -> Any:
        """The bare model, on which `bind` binds to this."""
        carrying = getattr(self.bound, "carrying", None)
        return self.bound if carrying is None else carrying(self)
