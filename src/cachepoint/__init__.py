"""Amazon Bedrock prompt caching that works inside LangChain and LlamaIndex."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cachepoint import core as core
    from cachepoint import observers
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
    from cachepoint.reporting.prompt import show
    from cachepoint.reporting.session import Session, session

# Each name is loaded when it is asked for: the pytest plugin stands in here, and whoever installs the package
# loads it in every run of pytest, whether a test uses it or not.
_HOMES = {
    "CachePolicy": "core.policy",
    "Call": "core.cache",
    "CallReport": "core.accounting.report",
    "Checkpoint": "core.placement.planner",
    "Miss": "core.accounting.diagnosis",
    "ModelRules": "core.models.rules",
    "Observer": "core.listeners",
    "Outlook": "core.accounting.ahead",
    "Plan": "core.placement.planner",
    "PromptCache": "core.cache",
    "Session": "reporting.session",
    "Usage": "core.accounting.usage",
    "configure": "core.config",
    "documents": "core.prompt.documents",
    "rules_for": "core.models.rules",
    "session": "reporting.session",
    "show": "reporting.prompt",
    "volatile": "core.prompt.documents",
}
_ROOMS = ("core", "observers")

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
    "show",
    "volatile",
]


if TYPE_CHECKING:
    __version__: str
else:
    # Type checkers would take any name for one of ours.
    def __getattr__(name: str) -> object:
        if name in _ROOMS:
            return _import_module(f"cachepoint.{name}")
        if name in _HOMES:
            # Kept, so that it is looked for once.
            return globals().setdefault(name, getattr(_import_module(f"cachepoint.{_HOMES[name]}"), name))
        if name != "__version__":
            raise AttributeError(f"module 'cachepoint' has no attribute {name!r}")
        from importlib.metadata import version  # noqa: PLC0415

        return version("cachepoint")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
