"""Guardrails: words that are not let in or out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cachepoint.emulator.responders import Reply
from cachepoint.emulator.service.refusals.request import Refusal, invalid

__all__ = ["Guardrail", "Verdict", "find", "judge_input", "judge_output"]

_BLOCKED = "Sorry, the model cannot answer this question."
# A wrong version and a wrong id are told in the same words: measured in us-east-1, 2026.
_UNKNOWN = invalid("The guardrail identifier or version provided in the request does not exist.")


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A guardrail of word rules.

    `words` are looked for in what the user and the tools say, and in what the model says, in either case of
    letters. `blocked_input` and `blocked_output` are said instead. `versions` are those that exist.
    """

    words: tuple[str, ...] = ()
    blocked_input: str = _BLOCKED
    blocked_output: str = _BLOCKED
    versions: tuple[str, ...] = ("DRAFT", "1")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guardrail says instead, and the trace of it where one is asked for."""

    reply: Reply
    trace: dict[str, Any] | None


def find(config: dict[str, Any], known: Mapping[str, Guardrail]) -> Guardrail | Refusal | None:
    """The guardrail that a request names, by id or ARN; a refusal where there is none such."""
    if not config:
        return None
    identifier = str(config.get("guardrailIdentifier", ""))
    guardrail = known.get(identifier) or known.get(identifier.rpartition("guardrail/")[2])
    exists = guardrail is not None and config.get("guardrailVersion") in guardrail.versions
    return guardrail if exists else _UNKNOWN


def judge_input(guardrail: Guardrail, config: dict[str, Any], body: dict[str, Any]) -> Verdict | None:
    """What is said where the prompt has one of the words; None where it has none.

    Where a request marks content with `guardContent` only that is looked at (AWS user guide, "Use a guardrail
    with the Converse API", 2026).
    """
    blocks = [block for message in body.get("messages") or () for block in message["content"]]
    blocks += body.get("system") or ()
    guarded = [block for block in blocks if "guardContent" in block]
    found = _found(guardrail, "\n".join(_texts(guarded or blocks)))
    assessment = {"inputAssessment": {_name(config): _words(found)}}
    return _verdict(guardrail.blocked_input, config, assessment) if found else None


def judge_output(guardrail: Guardrail, config: dict[str, Any], reply: Reply) -> Verdict | None:
    """The same for what the model says."""
    found = _found(guardrail, "\n".join(_texts(reply.content)))
    assessment = {"outputAssessments": {_name(config): [_words(found)]}}
    return _verdict(guardrail.blocked_output, config, assessment) if found else None


def _verdict(said: str, config: dict[str, Any], assessment: dict[str, Any]) -> Verdict:
    traced = str(config.get("trace", "disabled")).lower() != "disabled"
    reply = Reply(({"text": said},), stop_reason="guardrail_intervened")
    return Verdict(reply, {"guardrail": assessment} if traced else None)


def _name(config: dict[str, Any]) -> str:
    return str(config["guardrailIdentifier"]).rpartition("/")[2]


def _words(found: list[str]) -> dict[str, Any]:
    return {"wordPolicy": {"customWords": [{"match": word, "action": "BLOCKED"} for word in found]}}


def _found(guardrail: Guardrail, text: str) -> list[str]:
    lowered = text.lower()
    return [word for word in guardrail.words if word.lower() in lowered]


def _texts(blocks: Any) -> Iterator[str]:
    for block in blocks:
        if isinstance(block.get("text"), str):
            yield block["text"]
        for part in (block.get("toolResult") or {}).get("content", ()):
            yield part.get("text", "")
        guarded = (block.get("guardContent") or {}).get("text")
        if isinstance(guarded, dict):
            yield str(guarded.get("text", ""))
