"""Exports of tracers, of calls that the emulator answered."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_core.tracers import LangChainTracer
from langsmith import Client
from langsmith.schemas import Run

from cachepoint.emulator import BedrockEmulator

MODEL = "us.anthropic.claude-sonnet-4-6"
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"
PROJECT = "5b2ea0a3-5b39-4f0a-a8f5-4a0fb0a1e7cd"
# What langfuse 5.0.4 sent of calls like those below, beside what the emulator counted (capture_langfuse.py).
SENT = Path(__file__).with_name("langfuse_sent.jsonl")


class Kept(Client):
    """LangSmith's client, which keeps what it would send."""

    tracing_queue = None

    def __init__(self):
        self.kept = {}

    def create_run(self, **run):
        self.kept[str(run["id"])] = run

    def update_run(self, run_id, **run):
        self.kept[str(run_id)] |= {name: value for name, value in run.items() if value is not None}

    def runs_as_exported(self):
        """The runs as `Run.json()` writes them, in the order of their beginning."""
        runs = [Run(**{**run, "session_id": uuid.UUID(PROJECT)}) for run in self.kept.values()]
        return [json.loads(run.model_dump_json()) for run in sorted(runs, key=lambda run: run.start_time)]


def access(bedrock):
    return {
        "region_name": "us-east-1",
        "endpoint_url": bedrock.url,
        "aws_access_key_id": "x",
        "aws_secret_access_key": "y",
    }


@contextmanager
def traced() -> Iterator[tuple[BedrockEmulator, Kept, dict]]:
    """An emulator, LangSmith's client, and the `config=` that has it told of a call."""
    client = Kept()
    with BedrockEmulator(profiles={PROFILE: "anthropic.claude-sonnet-4-6"}) as bedrock:
        yield bedrock, client, {"callbacks": [LangChainTracer(client=client, project_name="project")]}


def observations():
    """Langfuse's observations as its API gives them, and what the emulator counted for each."""
    for line in SENT.read_text("utf-8").splitlines():
        sent = json.loads(line)
        yield as_observation(sent), sent


def as_observation(sent):
    """What was sent, under the names of the Observations API v2 (langfuse.com, read 2026-11)."""
    told = sent["attributes"]
    metadata = {
        name.removeprefix("langfuse.observation.metadata."): json.loads(value)
        for name, value in told.items()
        if name.startswith("langfuse.observation.metadata.")
    }
    return {
        "id": sent["id"],
        "traceId": "trace",
        "projectId": "project",
        "type": told["langfuse.observation.type"].upper(),
        "startTime": sent["startTime"],
        "endTime": sent["endTime"],
        "completionStartTime": json.loads(told.get("langfuse.observation.completion_start_time", "null")),
        "userId": "",
        "level": told.get("langfuse.observation.level", "DEFAULT"),
        "input": told["langfuse.observation.input"],
        "output": told.get("langfuse.observation.output"),
        "metadata": metadata,
        "providedModelName": told["langfuse.observation.model.name"],
        "usageDetails": json.loads(told.get("langfuse.observation.usage_details", "{}")),
    }


_SNAKE = {
    "traceId": "trace_id",
    "projectId": "project_id",
    "startTime": "start_time",
    "endTime": "end_time",
    "completionStartTime": "completion_start_time",
    "userId": "user_id",
    "providedModelName": "provided_model_name",
    "usageDetails": "usage_details",
}


def as_in_blob_storage(observation):
    """The same row as the export to blob storage has it: in snake case, times without a zone, texts in metadata."""
    row = {_SNAKE.get(name, name): value for name, value in observation.items()}
    for name in ("start_time", "end_time", "completion_start_time"):
        row[name] = row[name] and row[name].replace("T", " ").removesuffix("Z")
    row["metadata"] = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in row["metadata"].items()
    }
    return row
