"""Amazon Bedrock prompt caching that works inside LangChain and LlamaIndex."""

from cachepoint.core.cache import Call, PromptCache
from cachepoint.core.config import configure
from cachepoint.core.diagnosis import Miss
from cachepoint.core.documents import documents, volatile
from cachepoint.core.planner import Checkpoint, Plan
from cachepoint.core.policy import CachePolicy
from cachepoint.core.report import CallReport, Observer
from cachepoint.core.rules import ModelRules, rules_for
from cachepoint.core.session import Session, session
from cachepoint.core.usage import Usage

__all__ = [
    "CachePolicy",
    "Call",
    "CallReport",
    "Checkpoint",
    "Miss",
    "ModelRules",
    "Observer",
    "Plan",
    "PromptCache",
    "Session",
    "Usage",
    "configure",
    "documents",
    "rules_for",
    "session",
    "volatile",
]


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module 'cachepoint' has no attribute {name!r}")
    from importlib.metadata import version  # noqa: PLC0415

    return version("cachepoint")
