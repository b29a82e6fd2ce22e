"""What was read from the cache and written to it, over chains, batches and agents."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers.context import register_configure_hook

from cachepoint.aws.client import REPORT_KEY
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.guard import guard
from cachepoint.reporting.totals import TotalsView, UsageTotals


class CacheUsageCallbackHandler(TotalsView, BaseCallbackHandler):
    """Adds up the cache usage of every model call it sees.

    Counts the calls of any chat model that reports `usage_metadata`, cached by us or not. Answers that
    LangChain's response cache replayed cost nothing and are not counted.

    Example:
        ```python
        usage = CacheUsageCallbackHandler()
        chain.invoke(question, config={"callbacks": [usage]})
        usage.total.read_tokens, usage.hit_share, usage.saved
        print(usage)
        ```
    """

    def __init__(self) -> None:
        super().__init__()
        self._totals = UsageTotals()

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """Count the messages of one result."""
        guard("counting usage", lambda: self._count(response), None)

    def _count(self, response: LLMResult) -> None:
        for message in _messages(response):
            report = message.response_metadata.get(REPORT_KEY) or {}
            usage = _usage(message, report)
            if usage is not None:
                name = message.response_metadata.get("model_name") or report.get("model_id") or "unknown"
                self._totals.add(str(name), usage, report.get("saved_usd"), report.get("first_token_ms"))

    def __repr__(self) -> str:
        return f"CacheUsageCallbackHandler(calls={self.calls}, total={self.total!r}, saved={self.saved!r})"


def _messages(response: LLMResult) -> Iterator[AIMessage]:
    """The answers of all prompts of a result that a model gave."""
    for generation in (g for choices in response.generations for g in choices):
        message = generation.message if isinstance(generation, ChatGeneration) else None
        if isinstance(message, AIMessage) and not _replayed(message):
            yield message


def _replayed(message: AIMessage) -> bool:
    # `BaseChatModel._convert_cached_generations`, langchain-core 1.7.2: "We zero out cost on cache hits".
    usage: Mapping[str, Any] = message.usage_metadata or {}
    return usage.get("total_cost") == 0


def _usage(message: AIMessage, report: Mapping[str, Any]) -> Usage | None:
    if report.get("usage") is not None:
        return Usage.from_report(report)
    return None if message.usage_metadata is None else Usage.from_langchain(message.usage_metadata)


Variable = ContextVar[CacheUsageCallbackHandler | None]

# LangChain keeps every hook for good: one is registered for each depth at which blocks were ever nested.
_variables: list[Variable] = []
_variables_lock = ForkSafeLock()


@contextmanager
def get_cache_usage_callback(
    name: str = "cache_usage_callback",  # noqa: ARG001
) -> Generator[CacheUsageCallbackHandler, None, None]:
    """Count the cache usage of every model call in the block, nested chains, threads and tasks included.

    Args:
        name: As of LangChain's `get_usage_metadata_callback`. Blocks of any name share their context
            variables, so that a name made anew for each request leaves nothing behind.

    Yields:
        The handler.

    Example:
        ```python
        with get_cache_usage_callback() as usage:
            agent.invoke({"messages": "Plan my trip"})
        print(usage)
        ```
    """
    variable = _free_variable()
    handler = CacheUsageCallbackHandler()
    token = variable.set(handler)
    try:
        yield handler
    finally:
        variable.reset(token)


def _free_variable() -> Variable:
    """A variable that no enclosing block uses."""
    with _variables_lock:
        for variable in _variables:
            if variable.get() is None:
                return variable
        fresh: Variable = ContextVar(f"cachepoint_usage_{len(_variables)}", default=None)
        register_configure_hook(fresh, inheritable=True)
        _variables.append(fresh)
        return fresh
