"""Looks ahead through the model itself, and sends nothing."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools.types import BaseTool
from llama_index.llms.bedrock_converse.utils import converse_with_retry, messages_to_converse_messages

from cachepoint.aws.carrier import LOOKING
from cachepoint.aws.warming import Catching
from cachepoint.core.accounting.ahead import Outlook
from cachepoint.core.guard import guard
from cachepoint.core.policy import PolicyLike

_NO_CALL: tuple[None, Sequence[ChatMessage], Mapping[str, Any]] = (None, (), {})


class Foresees:
    """`cache_outlook` and `acache_outlook` of a cached model."""

    def cache_outlook(
        self: Any,
        messages: Sequence[ChatMessage],
        *,
        tools: Sequence[BaseTool] = (),
        also: str | None = None,
        cache_policy: PolicyLike = None,
        **kwargs: Any,
    ) -> Outlook:
        """Say what a call would read, write and cost if it were made now.

        Nothing is sent, no event or span comes of it, and nothing is remembered: calls after it are the
        same as without it. A fault of ours gives the state `"unknown"`.

        Args:
            messages: The messages; they stay as they are.
            tools: Those that the call would carry.
            also: The id of another model that the same request might go to; it is priced there, too.
            cache_policy: The policy of this call alone.
            kwargs: As of `chat`.

        Raises:
            ValueError: Where an option of ours is misspelt or holds no valid value, and as `chat` where
                upstream can't make a request of what was given.
        """
        client, request = _asked(self, messages, tools, cache_policy, kwargs)
        return Outlook(self.model) if client is None else client.cache_outlook(request, also=also)

    async def acache_outlook(
        self: Any,
        messages: Sequence[ChatMessage],
        *,
        tools: Sequence[BaseTool] = (),
        also: str | None = None,
        cache_policy: PolicyLike = None,
        **kwargs: Any,
    ) -> Outlook:
        """As `cache_outlook`, with an awaited memory."""
        client, request = _asked(self, messages, tools, cache_policy, kwargs)
        return Outlook(self.model) if client is None else await client.acache_outlook(request, also=also)


def _asked(
    model: Any,
    messages: Sequence[ChatMessage],
    tools: Sequence[BaseTool],
    policy: PolicyLike,
    given: Mapping[str, Any],
) -> tuple[Any, Mapping[str, Any]]:
    """The client of a call, and what upstream would ask of it; no client where ours failed."""
    options = dict(given)
    if tools:
        options = model._prepare_chat_with_tools(tools, chat_history=list(messages), **given)  # noqa: SLF001
        messages = options.pop("messages")
    binding = partial(model._for_one_call, messages, policy, options)  # noqa: SLF001
    bound, said, theirs = guard(LOOKING, binding, _NO_CALL)
    if bound is None:
        return None, {}
    catching = Catching(bound._client)  # noqa: SLF001
    return bound._client, catching.caught(partial(_chat, bound, catching, said, theirs))  # noqa: SLF001


def _chat(model: Any, client: Catching, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> None:
    """What `BedrockConverse.chat` does within its span (llama-index-llms-bedrock-converse 0.15.5)."""
    said, system = messages_to_converse_messages(messages, model.model)
    asked = model._get_all_kwargs(**options)  # noqa: SLF001
    if model.thinking is not None:
        asked["thinking"] = model.thinking
    converse_with_retry(
        client=client,
        messages=said,
        system_prompt=system,
        system_prompt_caching=model.system_prompt_caching,
        tool_caching=model.tool_caching,
        max_retries=model.max_retries,
        guardrail_identifier=model.guardrail_identifier,
        guardrail_version=model.guardrail_version,
        trace=model.trace,
        **asked,
    )
