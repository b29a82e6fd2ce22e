"""Looks ahead through the model itself, and sends nothing."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from langchain_core.language_models import LanguageModelInput, chat_models
from langchain_core.messages import BaseMessage

from cachepoint.aws.carrier import LOOKING
from cachepoint.aws.warming import Catching
from cachepoint.core.accounting.ahead import Outlook
from cachepoint.core.guard import guard
from cachepoint.langchain.warming import warming

# What `generate` takes off the options before it calls the model.
_TRACED = ("ls_structured_output_format", "structured_output_format")


class Foresees:
    """`cache_outlook` and `acache_outlook` of a cached model."""

    def cache_outlook(
        self: Any, messages: LanguageModelInput, *, also: str | None = None, **kwargs: Any
    ) -> Outlook:
        """Say what a call would read, write and cost if it were made now.

        Nothing is sent, no callback or tracer is told, and nothing is remembered: calls after it are the same
        as without it. What is bound counts, as tools do. A fault of ours gives the state `"unknown"`.

        Args:
            messages: As of `invoke`.
            also: The id of another model that the same request might go to; it is priced there, too.
            kwargs: As of `invoke`.

        Raises:
            ValueError: Where an option of ours is misspelt or holds no valid value, and as `invoke` where
                upstream can't make a request of what was given.
        """
        client, request = _asked(self, messages, **kwargs)
        return Outlook(self.model_id) if client is None else client.cache_outlook(request, also=also)

    async def acache_outlook(
        self: Any, messages: LanguageModelInput, *, also: str | None = None, **kwargs: Any
    ) -> Outlook:
        """As `cache_outlook`, with an awaited memory."""
        client, request = _asked(self, messages, **kwargs)
        return Outlook(self.model_id) if client is None else await client.acache_outlook(request, also=also)


def _asked(
    model: Any, messages: LanguageModelInput, stop: list[str] | None = None, **kwargs: Any
) -> tuple[Any, Mapping[str, Any]]:
    """The client of a call, and what upstream would ask of it; no client where ours failed."""
    said = model._convert_input(messages).to_messages()  # noqa: SLF001
    ready = guard(LOOKING, partial(_readied, model, said, kwargs), None)
    if ready is None:
        return None, {}
    twin, client, theirs, asked = ready
    ask = partial(twin.upstream._generate, twin, asked, stop, **theirs)  # noqa: SLF001
    return client, twin.client.caught(ask)


def _readied(
    model: Any, messages: list[BaseMessage], options: Mapping[str, Any]
) -> tuple[Any, Any, dict[str, Any], list[BaseMessage]]:
    """A copy whose client keeps what it is asked, that client of ours, and what to ask."""
    twin, _ = warming(model)
    if getattr(twin, "beta_use_converse_api", False):
        twin = twin._as_converse  # noqa: SLF001
    asked = {name: value for name, value in options.items() if name not in _TRACED}
    # As `generate` hands them to a model.
    said = getattr(chat_models, "_normalize_messages", list)(messages)
    policy = asked.pop("cache_policy", None)
    ready, theirs, said = twin._readied(said, policy, asked)  # noqa: SLF001
    client, ready.client = ready.client, Catching(ready.client)
    return ready, client, theirs, said
