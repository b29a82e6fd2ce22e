"""Amazon Bedrock prompt caching that works inside LangChain and LlamaIndex."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from cachepoint.core.accounting.ahead import Outlook
from cachepoint.core.accounting.diagnosis import Miss
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.cache import Call, PromptCache
from cachepoint.core.config import configure
from cachepoint.core.listeners import Observer
from cachepoint.core.models.rules import ModelRules, rules_for
from cachepoint.core.placement.planner import Checkpoint, Plan
from cachepoint.core.policy import CachePolicy
from cachepoint.core.prompt.documents import documents, volatile

if TYPE_CHECKING:
    from cachepoint import observers
    from cachepoint.reporting.session import Session, session

# What adds up many calls, or sends them somewhere, is loaded when it is asked for: a call needs none of it.
_ROOMS = ("observers",)
_LAZY = {"Session": "cachepoint.reporting.session", "session": "cachepoint.reporting.session"}

__all__ = [
    "CachePolicy",
    "Call",
    "CallReport",
    "Checkpoint",
    "Miss",
    "ModelRules",
    "Observer",
    "Outlook",
    "Plan",
    "PromptCache",
    "Session",
    "Usage",
    "configure",
    "documents",
    "observers",
    "rules_for",
    "session",
    "volatile",
]


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return _import_module(f"cachepoint.{name}")
    if name in _LAZY:
        return getattr(_import_module(_LAZY[name]), name)
    if name != "__version__":
        raise AttributeError(f"module 'cachepoint' has no attribute {name!r}")
    from importlib.metadata import version  # noqa: PLC0415

    return version("cachepoint")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
