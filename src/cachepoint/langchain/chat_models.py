"""The chat models of langchain-aws, with every call cached."""

from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any, ClassVar, cast

from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage

from cachepoint.aws.client import REPORT_KEY, CachingClient
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.guard import guard
from cachepoint.core.policy import CachePolicy, PolicyLike
from cachepoint.langchain.cached import Cached, Readied
from cachepoint.langchain.invoking import InvokingClient, fleeting_of, ttls_of


class CachedChatBedrockConverse(Cached, ChatBedrockConverse):
    """`ChatBedrockConverse` with prompt caching: every call carries the right checkpoints.

    Takes all that `ChatBedrockConverse` takes, and two options more. Caching needs no change to
    messages, tools or chains. `create_cache_point()` blocks and `cache_control=` are honoured; ours
    fill what remains of the four checkpoints.

    Setup:
        ```bash
        pip install "cachepoint[langchain]"
        ```

    Instantiate:
        ```python
        from cachepoint.langchain import CachedChatBedrockConverse

        llm = CachedChatBedrockConverse(
            model="us.anthropic.claude-sonnet-4-6",
            region_name="us-east-1",
            cache_policy={"ttl": "1h"},
        )
        ```

        or, from a model that was built elsewhere: `CachedChatBedrockConverse.from_model(llm)`.

    Invoke:
        ```python
        answer = llm.invoke([("system", manual), ("human", "How do I reset it?")])
        answer.response_metadata["cachepoint"]["usage"]["read_tokens"]
        answer.response_metadata["cachepoint"]["saved_usd"]
        llm.invoke("A question that nothing follows", cache_policy="off")
        ```

    Stream:
        ```python
        for chunk in llm.stream("Tell me more"):
            print(chunk.text, end="")
        ```

        The last chunk that carries `usage_metadata` carries the report.

    Tool calling:
        ```python
        agent_step = llm.bind(cache_policy={"tail": "always"}).bind_tools([search, book])
        agent_step.invoke("Book a table for two")
        ```

        What was bound before stays bound, in whatever order. `with_config` takes no `cache_policy`.

    Serialize:
        ```python
        from cachepoint.langchain import LOAD_OPTIONS
        from langchain_core.load import dumps, loads

        loads(dumps(prompt | llm), allowed_objects="all", **LOAD_OPTIONS)
        ```

        `allowed_objects="all"` alone means the classes that langchain-core lists. Where only some are to
        be loaded, name them: `allowed_objects=[CachedChatBedrockConverse, ...],
        valid_namespaces=["cachepoint"]`. A `prompt_cache` is not serialized.

    Args:
        cache_policy: A `CachePolicy`, its fields as a dict, or a mode (`"auto"`, `"off"`). Its options
            lie over those of the `PromptCache` and of the process (`cachepoint.configure`,
            `CACHEPOINT_*`), and those of a call or of `bind` over them; one given with a call takes the
            place of one that is bound. May be assigned, too.
        prompt_cache: The `PromptCache` that remembers what Bedrock holds. None: the one that all
            models of this process share.

    Raises:
        ValueError: Where an option of ours is misspelt or holds no valid value.
    """

    upstream: ClassVar[type[BaseChatModel]] = ChatBedrockConverse

    def _lift(self, message: BaseMessage) -> CallReport | None:
        """Move the report from among the HTTP metadata to where people look."""
        metadata = message.response_metadata.get("ResponseMetadata")
        if not isinstance(metadata, dict) or REPORT_KEY not in metadata:
            return None
        rest = dict(metadata)
        report = rest.pop(REPORT_KEY)
        if rest:
            message.response_metadata["ResponseMetadata"] = rest
        else:
            del message.response_metadata["ResponseMetadata"]
        return cast("CallReport", report)

    def _for_a_call(self, client: CachingClient, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        update = super()._for_a_call(client, kwargs)
        if self.raw_blocks is not None and kwargs.get("cache_control"):
            # Upstream would add its points to the caller's own blocks.
            update["raw_blocks"] = deepcopy(self.raw_blocks)
        return update


class CachedChatBedrock(Cached, ChatBedrock):
    """`ChatBedrock` with prompt caching: every call of InvokeModel carries the right checkpoints.

    All that `CachedChatBedrockConverse` says of options, reports and bindings holds here, too. Claude is
    cached. With `beta_use_converse_api=True`, which upstream chooses by itself for Nova, calls go the way of
    `CachedChatBedrockConverse`. InvokeModel and Converse share no entries.

    `cache_control` in the content of messages is honoured, with its ttl, which upstream drops.

    Example:
        ```python
        from cachepoint.langchain import CachedChatBedrock

        llm = CachedChatBedrock(model="us.anthropic.claude-sonnet-4-6", region_name="us-east-1")
        answer = llm.invoke([("system", manual), ("human", "How do I reset it?")])
        answer.response_metadata["cachepoint"]["usage"]["read_tokens"]
        ```

    Args:
        cache_policy: As of `CachedChatBedrockConverse`.
        prompt_cache: As of `CachedChatBedrockConverse`.

    Raises:
        ValueError: Where an option of ours is misspelt or holds no valid value.
    """

    upstream: ClassVar[type[BaseChatModel]] = ChatBedrock
    _client_of_a_call: ClassVar[type[CachingClient]] = InvokingClient

    @property
    def _as_converse(self) -> ChatBedrockConverse:
        plain = super()._as_converse
        return guard("caching a model", lambda: self._cached(plain), plain)

    def _cached(self, plain: ChatBedrockConverse) -> CachedChatBedrockConverse:
        ours = {"cache_policy": self.cache_policy, "prompt_cache": self.prompt_cache}
        model = CachedChatBedrockConverse.from_model(plain, **ours)  # type: ignore[arg-type]
        # Upstream does not hand its base_model_id on, and would ask other things with it.
        model._behind = self.base_model_id  # noqa: SLF001
        model._binding, model._warmed = self._binding, self._warmed  # noqa: SLF001
        return model

    def _readied(self, messages: list[BaseMessage], policy: PolicyLike, kwargs: dict[str, Any]) -> Readied:
        if self.beta_use_converse_api:
            chosen = CachePolicy.layered(self.cache_policy, CachePolicy.of(policy))
            return self.model_copy(update={"cache_policy": chosen, **self._whole}), kwargs, [*messages]
        if isinstance(self.client, InvokingClient):
            # Upstream's `_generate` streams where `streaming` is on: this is the copy of that call.
            return self, kwargs, [*messages]
        model, theirs = self._caching(policy, kwargs)
        model.client.ttls, model.client.fleeting = ttls_of(messages), fleeting_of(messages)
        # Without a message, upstream leaves out the system prompt.
        warming = self._warmed is not None and all(m.type == "system" for m in messages)
        return model, theirs, [*messages, *([HumanMessage(".")] if warming else [])]

    @property
    def _whole(self) -> dict[str, Any]:
        """What has an answer come whole where nobody waits for it."""
        return {} if self._warmed is None else {"streaming": False}

    def _for_a_call(self, client: CachingClient, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return {**super()._for_a_call(client, kwargs), **self._whole}

    def _lift(self, message: BaseMessage) -> CallReport | None:  # noqa: ARG002
        """The report of the call that this copy was made for, as upstream drops the metadata of responses."""
        return self.client.report() if isinstance(self.client, InvokingClient) else None


_IDS = [
    *((*cls.get_lc_namespace(), cls.__name__) for cls in (CachedChatBedrockConverse, CachedChatBedrock)),
    # Named and not imported: its packages may not be there.
    ("cachepoint", "langchain", "anthropic", "chat_model", "CachedChatAnthropicBedrock"),
]

LOAD_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {"valid_namespaces": ["cachepoint"], "additional_import_mappings": {each: each for each in _IDS}}
)
"""What `load` and `loads` of langchain-core take, so that they know our classes beside theirs."""
