"""Writes a prefix before traffic comes, through the model itself."""

from decimal import Decimal
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.runnables import RunnableConfig

from cachepoint.aws.client import shared_cache
from cachepoint.aws.keeping import KeepAlive
from cachepoint.aws.warming import untold
from cachepoint.core.accounting.report import CallReport


class Warms:
    """`warm` and `awarm` of a cached model."""

    def warm(
        self: Any, messages: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> CallReport:
        """Write a prefix before traffic comes, at its price and that of as few output tokens as may be.

        All that `messages` say is written, whatever is expected of it, and the tools that are bound. A system
        message may stand alone. Thinking may use its budget. Where nothing would be written, as another
        call writes it already or nothing can be cached, no call is made.

        Args:
            messages: As of `invoke`.
            config: As of `invoke`.
            kwargs: As of `invoke`.

        Returns:
            The report; its `usage` is None where no call was made, and `plan.note` says why.

        Raises:
            ValueError: Where an option of ours is misspelt or holds no valid value; nothing was sent.
            botocore.exceptions.ClientError: As `invoke`.
        """
        model, reports = warming(self)
        model.invoke(messages, config, **kwargs)
        return _told(self, reports)

    def keep_alive(self: Any, *, budget: float | Decimal | str) -> KeepAlive:
        """What keeps alive what calls wrote, through this model's client: `with model.keep_alive(budget=5):`.

        It holds for all calls through the same `PromptCache` to the same endpoint and Region, and does
        nothing before it is started.

        Args:
            budget: US dollars a day, of all workers that share the memory.

        Raises:
            ValueError: Where the budget is none, or the model has no client of boto3.
        """
        return KeepAlive(self.client, budget=budget, cache=self.prompt_cache)

    async def awarm(
        self: Any, messages: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> CallReport:
        """As `warm`, with `ainvoke`."""
        model, reports = warming(self)
        await model.ainvoke(messages, config, **kwargs)
        return _told(self, reports)


def warming(model: Any) -> tuple[Any, list[CallReport]]:
    """A copy that warms, and where the report of its call will be."""
    reports: list[CallReport] = []
    # Not from LangChain's cache of responses, and not streamed.
    twin = model.model_copy(update={"cache": False, "disable_streaming": True})
    twin._warmed = reports  # noqa: SLF001
    return twin, reports


def _told(model: Any, reports: list[CallReport]) -> CallReport:
    return reports[-1] if reports else untold(model.prompt_cache or shared_cache(), model.model_id)
