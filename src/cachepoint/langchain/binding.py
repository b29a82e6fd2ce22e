"""A bound model that stays bound when tools or a schema are bound to it."""

from typing import TYPE_CHECKING, Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig

from cachepoint.core.accounting.ahead import Outlook
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.guard import guard
from cachepoint.langchain.options import ByRote, laid_over, refuse_in_config, to_bind, told_apart

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
        bound: BoundModel = super().bind(**guard("binding", lambda: self._named(kwargs), kwargs))  # type: ignore[assignment]
        return bound

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> "BoundModel":
        """Bind a config.

        Raises:
            ValueError: Where it holds an option of ours: these are bound with `bind`.
        """
        guard("reading a config", lambda: refuse_in_config({**(config or {}), **kwargs}), None)
        bound: BoundModel = super().with_config(config, **kwargs)  # type: ignore[assignment]
        return bound

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Upstream's `bind_tools`, on top of what is bound."""
        carrier: Any = guard("binding tools", self._carrier, self.bound)
        tooled: Runnable[LanguageModelInput, AIMessage] = carrier.bind_tools(tools, **kwargs)
        return guard("binding tools", lambda: self._unless_lost(tooled, carrier), tooled)

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[LanguageModelInput, Any]:
        """Upstream's `with_structured_output`, on top of what is bound."""
        if kwargs.get("method") == "prompt_prefill" and self.kwargs.get("stop"):
            kwargs.setdefault("stop", self.kwargs["stop"])
        carrier: Any = guard("binding a schema", self._carrier, self.bound)
        structured: Runnable[LanguageModelInput, Any] = carrier.with_structured_output(schema, **kwargs)
        return structured

    def warm(
        self, messages: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> CallReport:
        """The model's `warm`, with what is bound."""
        model: Any = self.bound
        report: CallReport = model.warm(messages, self._merge_configs(config), **{**self.kwargs, **kwargs})
        return report

    async def awarm(
        self, messages: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> CallReport:
        """The model's `awarm`, with what is bound."""
        model: Any = self.bound
        report: CallReport = await model.awarm(
            messages, self._merge_configs(config), **{**self.kwargs, **kwargs}
        )
        return report

    def cache_outlook(
        self, messages: LanguageModelInput, *, also: str | None = None, **kwargs: Any
    ) -> Outlook:
        """The model's `cache_outlook`, with what is bound."""
        model: Any = self.bound
        outlook: Outlook = model.cache_outlook(messages, also=also, **{**self.kwargs, **kwargs})
        return outlook

    async def acache_outlook(
        self, messages: LanguageModelInput, *, also: str | None = None, **kwargs: Any
    ) -> Outlook:
        """The model's `acache_outlook`, with what is bound."""
        model: Any = self.bound
        outlook: Outlook = await model.acache_outlook(messages, also=also, **{**self.kwargs, **kwargs})
        return outlook

    def _unless_lost(self, tooled: Any, carrier: Any) -> Any:
        """What has tools, or this: for old models ChatBedrock binds none, and answers with the model."""
        lost = tooled is carrier and carrier is not self.bound
        return self.model_copy(update={"bound": carrier.carrying(None)}) if lost else tooled

    def _named(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        named = laid_over(self.kwargs, told_apart(to_bind(kwargs)))
        # bind_tools binds tool_choice=None where it was given none; what comes by rote gives way to a hand.
        yielding = [k for k, v in named.items() if k in self.kwargs and (v is None or isinstance(v, ByRote))]
        return {k: v for k, v in named.items() if k not in yielding}

    def _carrier(self) -> Any:
        """The bare model, on which `bind` binds to this."""
        carrying = getattr(self.bound, "carrying", None)
        return self.bound if carrying is None else carrying(self)
