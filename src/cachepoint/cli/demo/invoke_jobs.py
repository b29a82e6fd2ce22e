"""The jobs through InvokeModel: LangChain's own parts, with `ChatBedrock` as their model."""

from collections.abc import Callable, Mapping
from typing import Any

from langchain_aws import ChatBedrock
from langchain_core.language_models import BaseChatModel

from cachepoint import PromptCache
from cachepoint.cli.demo import langchain_jobs, work
from cachepoint.cli.demo.places import Stage
from cachepoint.core.models.rules import rules_for
from cachepoint.langchain import CachedChatBedrock

NAME = "langchain_invoke"
JOBS: Mapping[str, Callable[[BaseChatModel], None]] = {
    name: langchain_jobs.JOBS[name] for name in ("agent", "chat", "documents")
}


def check(model_id: str) -> None:
    """Raises ValueError where the model is no Claude: ChatBedrock sends Nova's calls to Converse."""
    if rules_for(model_id).provider != "anthropic":
        raise ValueError(f"{model_id!r} is no Claude, whose bodies these jobs send")


def plain(stage: Stage, model_id: str) -> BaseChatModel:
    """LangChain's own model."""
    return ChatBedrock(**_settings(stage, model_id))


def cached(stage: Stage, model_id: str, policy: Mapping[str, Any] | None) -> BaseChatModel:
    """The same with `cachepoint`, knowing nothing of earlier runs."""
    return CachedChatBedrock(**_settings(stage, model_id), cache_policy=policy, prompt_cache=PromptCache())


def _settings(stage: Stage, model_id: str) -> dict[str, Any]:
    return {
        "model": model_id,
        "client": stage.client,
        "bedrock_client": stage.control,
        "max_tokens": work.MAX_TOKENS,
    }
