"""The published recordings, and a sizer that knows the real tokenizer's figures from them and nothing else.

What it takes from a recording: how many tokens a whole prompt counts, how many the prefix up to its last checkpoint
counts, and how many the longest prefix counts that it shares with a checkpoint of an earlier call. Whether anything is
read or written of them is for the emulator to say.
"""

import base64
import json
import os
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from cachepoint.emulator import ModelRules, Prompt, default_sizer, read_prompt, resolve
from cachepoint.emulator.service.dialects.bodies import plain

_CALLS = "recordings/calls.jsonl"


def _found() -> Path:
    """The recordings that BEDROCK_RECORDINGS names, or those in a folder beside the checkout."""
    beside = Path(__file__).parents[3].glob(f"*/{_CALLS}")
    return Path(os.environ.get("BEDROCK_RECORDINGS") or next(beside, _CALLS))


PATH = _found()
_INVOKE = "invoke"


def load() -> dict[str, list[dict[str, Any]]]:
    """Converse and ConverseStream calls by file, in order."""
    files = defaultdict(list)
    for line in PATH.read_text("utf-8").splitlines() if PATH.exists() else ():
        call = json.loads(line)
        if call["operation"] != _INVOKE:
            files[call["file"]].append(call)
    return {name: sorted(calls, key=lambda call: call["n"]) for name, calls in files.items()}


def load_invoked() -> dict[str, list[dict[str, Any]]]:
    """InvokeModel calls by file, in order; of each the body, and request and usage as Converse has them."""
    files = defaultdict(list)
    for line in PATH.read_text("utf-8").splitlines() if PATH.exists() else ():
        call = json.loads(line)
        if call["operation"] == _INVOKE:
            files[call["file"]].append(
                {
                    **call,
                    "body": call["request"],
                    "request": plain(call["request"]),
                    "usage": _plain_usage(call),
                }
            )
    return {name: sorted(calls, key=lambda call: call["n"]) for name, calls in files.items()}


def _plain_usage(call: dict[str, Any]) -> dict[str, Any]:
    return {
        "inputTokens": call["usage"]["input_tokens"],
        "cacheReadInputTokens": call["usage"]["cache_read_input_tokens"],
        "cacheWriteInputTokens": call["usage"]["cache_creation_input_tokens"],
        "body": call["usage"],
    }


def for_boto3(value: Any) -> Any:
    """The JSON of the wire as boto3 takes it: bytes are bytes."""
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item) if key == "bytes" else for_boto3(item) for key, item in value.items()
        }
    return [for_boto3(item) for item in value] if isinstance(value, list) else value


class RecordedSizer:
    def __init__(self, calls: list[dict[str, Any]]) -> None:
        self._upto: dict[tuple[bytes, ...], int] = {}
        self._whole: dict[tuple[bytes, ...], int] = {}
        earlier: set[tuple[bytes, ...]] = set()
        for call in calls:
            earlier |= self._learn(call, earlier)

    def _learn(self, call: dict[str, Any], earlier: set[tuple[bytes, ...]]) -> set[tuple[bytes, ...]]:
        prompt = read_prompt(call["request"], rules(call))
        keys, usage = _keys(prompt), call["usage"]
        read, write = usage["cacheReadInputTokens"], usage["cacheWriteInputTokens"]
        self._whole[keys] = usage["inputTokens"] + read + write
        marked = [keys[: marker.position] for marker in prompt.markers]
        shared = [key for key in earlier if keys[: len(key)] == key] or marked
        if read and write:
            self._upto.setdefault(max(shared, key=len) if earlier else marked[0], read)
        self._upto.setdefault(marked[-1], read + write)
        return set(marked)

    def __call__(self, prompt: Prompt, rules: ModelRules) -> list[int]:
        estimate, keys = default_sizer(prompt, rules), _keys(prompt)
        whole = self._whole.get(keys)
        known = {n: self._upto[keys[:n]] for n in range(1, len(keys) + 1) if keys[:n] in self._upto}
        if whole is not None:
            known.setdefault(len(keys), whole)
        sizes = _spread(estimate[:-1], {0: 0, **known})
        return [*sizes, estimate[-1] if whole is None else whole - sum(sizes)]


def rules(call: dict[str, Any]) -> ModelRules:
    row = resolve(call["model"])
    assert row is not None
    return row


def _keys(prompt: Prompt) -> tuple[bytes, ...]:
    return tuple(f"{b.section}|{b.opens}|".encode() + b.raw for b in prompt.blocks)


def _spread(estimate: list[int], known: dict[int, int]) -> list[int]:
    """Estimates, bent so that they add up to the known figures."""
    sizes = list(estimate)
    for start, end in pairwise(sorted(known)):
        whole, left = known[end] - known[start], sum(estimate[start:end])
        for index in range(start, end):
            sizes[index] = whole * estimate[index] // left if left else 0
            whole, left = whole - sizes[index], left - estimate[index]
    return sizes
