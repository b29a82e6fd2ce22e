"""Lines of logs as others write them, each of which is a call, and what `fuzz_readers.py` does to them."""

import gzip
import json
import zlib
from functools import cache
from itertools import count
from random import Random
from typing import Any

import odd
from fuzz_bodies import CLAUDE, valid
from prompts import message, text, turn

from cachepoint import PromptCache
from cachepoint.observers.jsonl import line_of

MODEL = "us.anthropic.claude-sonnet-4-6"
_CONVERSE = {
    "system": [{"text": "Be kind. " * 40}, {"cachePoint": {"type": "default"}}],
    "messages": [{"role": "user", "content": [{"text": "Where?"}]}],
}
_USAGE = {"inputTokens": 20, "outputTokens": 5, "totalTokens": 25, "cacheReadInputTokens": 3_000}
_BEDROCK = {
    "schemaType": "ModelInvocationLog",
    "schemaVersion": "1.0",
    "timestamp": "2026-10-01T10:00:00Z",
    "accountId": "111122223333",
    "identity": {"arn": "arn:aws:iam::111122223333:role/desk"},
    "region": "us-east-1",
    "operation": "Converse",
    "modelId": MODEL,
    "input": {
        "inputContentType": "application/json",
        "inputBodyJson": _CONVERSE,
        "inputTokenCount": 20,
        "cacheReadInputTokenCount": 3_000,
        "cacheWriteInputTokenCount": 0,
    },
    "output": {
        "outputBodyJson": {"usage": _USAGE, "metrics": {"latencyMs": 700}},
        "outputTokenCount": 5,
    },
}
_INVOKED = {
    **_BEDROCK,
    "operation": "InvokeModelWithResponseStream",
    "input": {
        "inputBodyJson": {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 9,
            "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
            "messages": [{"role": "user", "content": "Where?"}],
        }
    },
    "output": {
        "outputBodyJson": [
            {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}},
            {"type": "message_delta", "usage": {"output_tokens": 9}},
        ]
    },
}
_LANGFUSE = {
    "id": "a",
    "traceId": "trace",
    "projectId": "project",
    "type": "GENERATION",
    "startTime": "2026-10-01T10:00:00.000Z",
    "endTime": "2026-10-01T10:00:02.000Z",
    "completionStartTime": "2026-10-01T10:00:01.000Z",
    "userId": "ann",
    "level": "DEFAULT",
    "input": json.dumps(
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"text": "Where?"}]}]
    ),
    "metadata": {"ls_provider": "amazon_bedrock", "ls_model_name": MODEL, "ls_invocation_params": {}},
    "providedModelName": MODEL,
    "usageDetails": {"input": 20, "output": 5, "total": 3_025, "input_cache_read": 3_000},
}
_LANGSMITH = {
    "id": "b",
    "run_type": "llm",
    "session_id": "project",
    "start_time": "2026-10-01T10:00:00.000000",
    "end_time": "2026-10-01T10:00:02.000000",
    "extra": {
        "invocation_params": {"model_id": MODEL, "tools": [{"toolSpec": {"name": "a", "inputSchema": {}}}]},
        "metadata": {"ls_provider": "amazon_bedrock", "ls_model_name": MODEL},
    },
    "serialized": {"kwargs": {"region_name": "us-east-1"}},
    "inputs": {
        "messages": [
            [
                {"id": ["langchain", "HumanMessage"], "kwargs": {"content": "Where?", "type": "human"}},
                {
                    "id": ["langchain", "AIMessage"],
                    "kwargs": {
                        "content": [{"type": "tool_use", "id": "1", "name": "a", "input": "{}"}],
                        "type": "ai",
                    },
                },
            ]
        ]
    },
    "outputs": {
        "generations": [
            [
                {
                    "message": {
                        "kwargs": {
                            "usage_metadata": {
                                "input_tokens": 3_020,
                                "output_tokens": 5,
                                "total_tokens": 3_025,
                                "input_token_details": {"cache_read": 3_000},
                            }
                        }
                    }
                }
            ]
        ]
    },
    "events": [{"name": "new_token", "time": "2026-10-01T10:00:01"}],
}
RECORDS: tuple[Any, ...] = (
    _BEDROCK,
    _INVOKED,
    _LANGFUSE,
    _LANGSMITH,
    {"events": [{"message": json.dumps(_BEDROCK)}]},
    {"@timestamp": "x", "@message": json.dumps(_INVOKED)},
    {"data": [_LANGFUSE]},
)


@cache
def reports() -> tuple[Any, ...]:
    """Lines of a report: a conversation that misses now and then."""
    seconds, made = count(1_795_392_000, 200), list[Any]()
    memory = PromptCache(
        {"ttl": "5m"}, lambda: float(next(seconds)), observers=[lambda r: made.append(line_of(r))]
    )
    messages = []
    for n in range(6):
        messages.append(message("user", {"text": text(f"question {n}", 3_000)}))
        turn(memory, {"system": [{"text": text(f"system {n // 3}", 9_000)}], "messages": list(messages)})
        messages.append(message("assistant", {"text": text(f"answer {n}", 300)}))
    return tuple(json.loads(one) for one in made)


def written(value: Any) -> bytes:
    """A value as JSON, as far as it can be."""
    try:
        return json.dumps(value, default=repr, skipkeys=True).encode()
    except (ValueError, RecursionError):
        return b'{"a":' * 3_000


def noised(random: Random, line: bytes) -> bytes:
    """Some of its bytes changed, gone or doubled."""
    for _ in range(random.randint(1, 5)):
        at, count = random.randrange(len(line) + 1), random.randrange(30)
        middle = random.choice((random.randbytes(1), b"", line[at : at + count] * 2, b"9" * 400, b'"', b"}"))
        line = line[:at] + middle + line[at + count :]
    return line


def line(random: Random, records: tuple[Any, ...] = ()) -> bytes:
    """A line of any log: right, of odd values, or of bytes that are changed."""
    record = json.loads(json.dumps(random.choice(records or (*RECORDS, *reports()[:2]))))
    if (kind := random.random()) < 0.05:
        return written(record)
    if kind < 0.7:
        changed = written(odd.wronged(random, record) if isinstance(record, dict) else record)
        return changed if random.random() < 0.9 else changed.replace(b'"timestamp"', b'"a"')
    return noised(random, written(record))


def request(random: Random) -> bytes:
    """A request as somebody saves it, and some of what is none."""
    sent = valid(random)
    body = {**json.loads(sent.body), "modelId" if sent.model not in CLAUDE else "model": sent.model}
    if (kind := random.random()) < 0.1:
        return json.dumps(body).encode()
    return written(odd.wronged(random, body)) if kind < 0.8 else noised(random, json.dumps(body).encode())


def packed(random: Random) -> bytes:
    """A file of some lines: plain, gzip in members, broken here and there."""
    lines = b"\n".join(line(random) for _ in range(random.randrange(4)))
    if (kind := random.random()) < 0.2:
        return lines
    data = b"".join(gzip.compress(lines, 1) for _ in range(random.randint(1, 3)))
    if kind < 0.8:
        data = noised(random, data)
    return data + random.choice((b"", b"\x1f\x8b\x08", zlib.compress(lines), random.randbytes(40)))
