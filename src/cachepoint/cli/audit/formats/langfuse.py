"""Langfuse's observations: of its API, of its exports to blob storage and of those from its pages.

Checked against what langfuse 5.0.4's handler for LangChain sends; the fields that Langfuse's servers add are
read as its documentation names them (read 2026-11): in camel case from the API and its pages, in snake case
in blob storage.
"""

from collections.abc import Mapping
from typing import Any

from cachepoint.cli.audit.formats import chat
from cachepoint.cli.audit.formats.logged import Beside, Logged, UnusableError
from cachepoint.cli.audit.formats.traced import (
    NO_CALL,
    first_text,
    moment,
    of_bedrock,
    parsed,
    part,
    place,
    since,
)
from cachepoint.core.accounting import counts
from cachepoint.core.accounting.usage import Usage

_MODELS = ("providedModelName", "provided_model_name", "model")
_USERS = ("userId", "user_id")
_PROJECTS = ("projectId", "project_id")
# What the integrations call the same tokens: LangChain's for Converse, Anthropic's, Langfuse's own, those
# of LangChain for InvokeModel, OpenInference's from before langfuse#13572 (2026-05). `input` leaves them out.
_READ = (
    "input_cache_read",
    "cache_read_input_tokens",
    "input_cached_tokens",
    "prompt_details.cache_read",
)
_WRITE = (
    "input_cache_creation",
    "cache_creation_input_tokens",
    "cache_write_input_tokens",
    "prompt_details.cache_write",
)
_FIVE = (
    "input_ephemeral_5m_input_tokens",
    "cache_creation_ephemeral_5m_input_tokens",
    "input_cache_creation_5m",
)
_HOUR = (
    "input_ephemeral_1h_input_tokens",
    "cache_creation_ephemeral_1h_input_tokens",
    "input_cache_creation_1h",
)


def is_langfuse(record: Mapping[str, Any]) -> bool:
    """Whether a record is an observation."""
    return "type" in record and any(name in record for name in ("traceId", "trace_id"))


def read(record: Mapping[str, Any], _: Beside) -> Logged:
    """The call of an observation.

    Raises:
        UnusableError: Where it is no call of Bedrock's, or one that was not answered.
    """
    if record.get("type") != "GENERATION":
        raise UnusableError(NO_CALL)
    metadata = part(record.get("metadata"))
    # What LangChain called comes first: Langfuse's name may be the answer's, which is not Bedrock's.
    named = (metadata.get("ls_model_name"), *map(record.get, _MODELS))
    model = of_bedrock(first_text([metadata.get("ls_provider")]), first_text(named))
    began = moment(_of(record, "startTime", "start_time"))
    usage = _usage(part(_of(record, "usageDetails", "usage_details")))
    if usage is None and record.get("level") == "ERROR":
        raise UnusableError("no answer")
    traced = part(metadata, "ls_invocation_params")
    region, account = place(model, first_text([traced.get("region_name")]))
    return Logged(
        at=began,
        model=model,
        usage=usage,
        request=chat.request(parsed(record.get("input"))),
        identity=_identity(record, metadata),
        region=region,
        account=account,
        lag=since(began, _of(record, "endTime", "end_time")) or 0.0,
        first_token=since(began, _of(record, "completionStartTime", "completion_start_time")),
    )


def _of(record: Mapping[str, Any], *names: str) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _identity(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """The user whom the application named, else the project."""
    users = (*map(record.get, _USERS), metadata.get("langfuse_user_id"))
    return first_text([*users, *map(record.get, _PROJECTS)])


def _usage(told: Mapping[str, Any]) -> Usage | None:
    if counts.count(told.get("total_cost")) == 0:
        # So langchain-core marks what came out of its own cache (`set_llm_cache`).
        raise UnusableError(NO_CALL)
    given = counts.first(told, "input", "inputTokens")
    if given is None:
        return None
    output = counts.first(told, "output", "outputTokens") or 0
    reasoned = counts.first(told, "output_reasoning", "output_reasoning_tokens") or 0
    return Usage.from_converse({"usage": _wire(told, given, output + reasoned)})


def _wire(told: Mapping[str, Any], given: int, output: int) -> dict[str, Any]:
    """The counts by Converse's names, each of them once."""
    read, five, hour = (counts.first(told, *names) for names in (_READ, _FIVE, _HOUR))
    split, written = (five or 0) + (hour or 0), counts.first(told, *_WRITE)
    if not written and (five, hour) != (None, None):
        written = split
    total = counts.count(told.get("total"))
    given = _uncached(given, output, read or 0, written or 0, total)
    details = [{"ttl": "5m", "inputTokens": five or 0}, {"ttl": "1h", "inputTokens": hour or 0}]
    return {
        "inputTokens": given,
        "outputTokens": output,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
        "totalTokens": total,
        **({"cacheDetails": details} if split else {}),
    }


def _uncached(given: int, output: int, read: int, written: int, total: int | None) -> int:
    """The input that was neither read nor written, where the total shows that `input` is something else.

    Some integrations count all that was cached as `input`, too; LangChain's sum may hold the writes twice
    (langchain-aws#983). From LlamaIndex's count, which leaves out what was cached, Langfuse takes it off once
    more, and stops at 0 (openinference-instrumentation-llama-index 4.6.1).
    """
    more = 0 if total is None else given + output + read + written - total
    if more in {written, read + written} and more <= given:
        return given - more
    return -more if more < 0 and given == 0 else given
