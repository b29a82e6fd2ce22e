"""LangSmith's runs: as its SDK gives them (`Run.json()`, `runs.query`), or as its bulk export has them.

Checked against the runs that langchain-core 1.8.3 and langsmith 0.15.1 trace; what only LangSmith's servers
add is read as LangSmith's "Run (span) data format" says (read 2026-11).
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
from cachepoint.core.accounting.usage import Usage

_USERS = ("user_id", "userId", "user")
_EFFORT = ("thinking", "output_config")
_PROJECTS = ("session_name", "session_id", "project_id")


def is_langsmith(record: Mapping[str, Any]) -> bool:
    """Whether a record is a run."""
    return "run_type" in record and "start_time" in record


def read(record: Mapping[str, Any], _: Beside) -> Logged:
    """The call of a run.

    Raises:
        UnusableError: Where it is no call of Bedrock's, or one that was not answered.
    """
    if str(record.get("run_type")).lower() != "llm":
        raise UnusableError(NO_CALL)
    extra = part(record.get("extra"))
    metadata = {**part(record.get("metadata")), **part(extra, "metadata")}
    params = part(extra, "invocation_params")
    built = part(record.get("serialized"), "kwargs") or part(record.get("manifest"), "kwargs")
    # Where a base model was named, `ls_model_name` is that one, and not the profile that was called.
    named = (
        params.get("model_id"),
        built.get("model_id"),
        metadata.get("ls_model_name"),
        params.get("model"),
    )
    model = of_bedrock(first_text([metadata.get("ls_provider")]), first_text(named))
    began = moment(record.get("start_time"))
    usage = _usage(record, metadata)
    if usage is None and record.get("error"):
        raise UnusableError("no answer")
    traced = part(metadata, "ls_invocation_params")
    region, account = place(model, first_text([traced.get("region_name"), built.get("region_name")]))
    return Logged(
        at=began,
        model=model,
        usage=usage,
        request=_request(record, params, built),
        identity=_identity(record, metadata),
        region=region,
        account=account,
        lag=since(began, record.get("end_time")) or 0.0,
        first_token=since(began, record.get("first_token_time") or _first_token(record)),
        base=first_text([params.get("base_model_id"), built.get("base_model_id")]) or None,
    )


def _identity(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """The user whom the application named, else the project."""
    return first_text([*map(metadata.get, _USERS), *map(record.get, _PROJECTS)])


def _request(
    record: Mapping[str, Any], params: Mapping[str, Any], built: Mapping[str, Any]
) -> dict[str, Any] | None:
    fields = (
        # Those of the call, of the model, and of InvokeModel, which has them beside the messages.
        params.get("additional_model_request_fields"),
        built.get("additional_model_request_fields"),
        {name: params[name] for name in _EFFORT if name in params},
    )
    given = parsed(record.get("inputs"))
    return chat.request(
        given, params.get("tools"), params.get("tool_choice"), next(filter(None, fields), None)
    )


def _usage(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> Usage | None:
    """The tokens, as the answer tells them, else the run."""
    outputs = part(record.get("outputs"))
    told = (part(_answer(outputs), "usage_metadata"), part(outputs, "usage_metadata"))
    found = next(filter(None, (*told, part(metadata, "usage_metadata"))), {})
    if found.get("total_cost") == 0:
        # So langchain-core marks what came out of its own cache (`set_llm_cache`).
        raise UnusableError(NO_CALL)
    if found:
        return Usage.from_langchain(found)
    if "inputTokens" in part(outputs, "usage"):
        return Usage.from_converse(outputs)
    return Usage.from_langchain(_counted(record))


def _answer(outputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message of the first generation."""
    found = outputs.get("generations")
    while isinstance(found, list) and found:
        found = found[0]
    message = part(found, "message")
    return part(message, "kwargs") or message


def _counted(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What LangSmith counted itself, in LangChain's words."""
    details = part(record.get("prompt_token_details"))
    details = part(details, "raw") or details
    written = details.get("cache_creation", details.get("cache_write"))
    if record.get("prompt_tokens") is None:
        return {}
    return {
        "input_tokens": record["prompt_tokens"],
        "output_tokens": record.get("completion_tokens"),
        "total_tokens": record.get("total_tokens"),
        "input_token_details": {**details, "cache_creation": written},
    }


def _first_token(record: Mapping[str, Any]) -> Any:
    """When the first piece of a stream came, which the SDK keeps among a run's events."""
    events = parsed(record.get("events"))
    told = events if isinstance(events, list) else ()
    return next((event.get("time") for event in map(part, told) if event.get("name") == "new_token"), None)
