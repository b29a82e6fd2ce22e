"""One line of the table: what somebody saw Bedrock refuse or accept, where, when and on which model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONVERSE, INVOKE = "converse", "invoke"


@dataclass(frozen=True, slots=True)
class Row:
    """A request and what came of it.

    `rule` is what is refused, the same in all rows about it. `source` is a thread, a document or a recording,
    `date` when it says so. `request` is the body: of Converse as boto3 takes it, of InvokeModel the model's own.
    `message` is the refusal's whole text, or how it begins where it ends in a blank; empty where the request was
    accepted. With `by_sense` the source says that it is refused, not in which words.
    `region`, `token` and `more` are of the call, `emulator` are the options it needs to be in that place. A request
    that is `raw` has fields that boto3 has not, and is put in the place of the body that boto3 wrote.
    `usage` is what the last of `times` calls reports, `stop` why its answer ends.
    """

    rule: str
    source: str
    date: str
    model: str
    request: dict[str, Any]
    message: str = ""
    by_sense: bool = False
    code: str = "ValidationException"
    status: int = 400
    operation: str = CONVERSE
    region: str = "us-east-1"
    token: str = ""
    raw: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)
    emulator: Mapping[str, Any] = field(default_factory=dict)
    times: int = 1
    usage: Mapping[str, int] = field(default_factory=dict)
    stop: str = ""
