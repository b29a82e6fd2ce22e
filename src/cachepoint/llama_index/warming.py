"""Writes a prefix before traffic comes, through the model itself."""

from collections.abc import Sequence
from copy import copy
from decimal import Decimal
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools.types import BaseTool

from cachepoint.aws.keeping import KeepAlive
from cachepoint.aws.warming import untold
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.policy import PolicyLike


class Warms:
    """`warm` and `awarm` of a cached model."""

    def warm(
        self: Any,
        messages: Sequence[ChatMessage],
        *,
        tools: Sequence[BaseTool] = (),
        cache_policy: PolicyLike = None,
        **kwargs: Any,
    ) -> CallReport:
        """Write a prefix before traffic comes, at its price and that of as few output tokens as may be.

        All that is said is written, whatever is expected of it. A system message may stand alone. Thinking
        may use its budget. Where nothing would be written, as another call writes it already or nothing can
        be cached, no call is made.

        Args:
            messages: The messages; they stay as they are.
            tools: Those that the calls to come will carry.
            cache_policy: The policy of this call alone.
            kwargs: As of `chat`.

        Returns:
            The report; its `usage` is None where no call was made, and `plan.note` says why.

        Raises:
            ValueError: Where an option of ours is misspelt or holds no valid value; nothing was sent.
            botocore.exceptions.ClientError: As `chat`.
        """
        model, said, options, reports = _warming(self, messages, tools, kwargs)
        model.chat(said, cache_policy=cache_policy, **options)
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
        return KeepAlive(self._client, budget=budget, cache=self.prompt_cache)

    async def awarm(
        self: Any,
        messages: Sequence[ChatMessage],
        *,
        tools: Sequence[BaseTool] = (),
        cache_policy: PolicyLike = None,
        **kwargs: Any,
    ) -> CallReport:
        """As `warm`, with `achat`."""
        model, said, options, reports = _warming(self, messages, tools, kwargs)
        await model.achat(said, cache_policy=cache_policy, **options)
        return _told(self, reports)


def _warming(
    model: Any, messages: Sequence[ChatMessage], tools: Sequence[BaseTool], given: dict[str, Any]
) -> tuple[Any, Sequence[ChatMessage], dict[str, Any], list[CallReport]]:
    """A copy that warms, what to ask it, and where the report of its call will be."""
    reports: list[CallReport] = []
    twin = copy(model)
    twin._warmed = reports  # noqa: SLF001
    if not tools:
        return twin, messages, given, reports
    options = twin._prepare_chat_with_tools(tools, chat_history=list(messages), **given)  # noqa: SLF001
    return twin, options.pop("messages"), options, reports


def _told(model: Any, reports: list[CallReport]) -> CallReport:
    return reports[-1] if reports else untold(model.prompt_cache, model.model)
