"""Clients for the tests of the clients: real boto3, older ones, awaited ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import boto3
import botocore
from botocore.config import Config
from builders import SONNET, assistant, text, user

APP_PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
MODEL = "bedrock-runtime/2023-09-30/service-2.json"


def boto(url, service="bedrock-runtime", region="us-east-1", session=boto3):
    return session.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def old_boto(url, tmp_path, monkeypatch, forget):
    """A boto3 client whose botocore's model of the service is what `forget` leaves of it."""
    model = json.loads(gzip.decompress((Path(botocore.__file__).parent / f"data/{MODEL}.gz").read_bytes()))
    forget(model["shapes"])
    place = tmp_path / MODEL
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(model))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    return boto(url, session=boto3.Session())


def without_ttl(shapes):
    """As botocore 1.40.61."""
    shapes["CachePointBlock"]["members"].pop("ttl", None)


def without_points(shapes):
    """As botocore 1.36.26."""
    del shapes["CachePointBlock"]
    for union in ("ContentBlock", "SystemContentBlock", "Tool"):
        del shapes[union]["members"]["cachePoint"]


class Awaited:
    """What aioboto3's client is to its caller, over a client of boto3."""

    def __init__(self, client):
        self._client = client
        self.meta = client.meta

    async def converse(self, **request):
        return self._client.converse(**request)

    async def converse_stream(self, **request):
        response = self._client.converse_stream(**request)
        return {**response, "stream": AwaitedStream(response["stream"])}

    async def invoke_model(self, **request):
        response = self._client.invoke_model(**request)
        return {**response, "body": AwaitedBody(response["body"])}

    async def invoke_model_with_response_stream(self, **request):
        response = self._client.invoke_model_with_response_stream(**request)
        return {**response, "body": AwaitedStream(response["body"])}

    async def get_inference_profile(self, **request):
        return self._client.get_inference_profile(**request)


class AwaitedStream:
    def __init__(self, stream):
        self._stream = stream

    async def __aiter__(self):
        for event in self._stream:
            yield event

    def close(self):
        self._stream.close()


class AwaitedBody:
    """As aiobotocore's, without what it proxies."""

    def __init__(self, body):
        self._body = body

    async def read(self, amt=None):
        return self._body.read(amt)


class Answering:
    """A client that answers with what it was given, and counts what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def converse(self, **request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    converse_stream = invoke_model = invoke_model_with_response_stream = converse


class AwaitedAnswering(Answering):
    async def converse(self, **request):
        return super().converse(**request)

    converse_stream = invoke_model = invoke_model_with_response_stream = converse


def chat(*turns, model=SONNET):
    messages = [user(text(40, turns[0]))]
    for turn in turns[1:]:
        messages += [assistant({"text": "well"}), user(text(40, turn))]
    return {"modelId": model, "system": [text(2_500)], "messages": messages}


USAGE = {
    "inputTokens": 10,
    "outputTokens": 5,
    "totalTokens": 2_555,
    "cacheReadInputTokens": 0,
    "cacheWriteInputTokens": 2_540,
}


def answer(**more):
    message = {"role": "assistant", "content": [{"text": "well"}]}
    return {
        "output": {"message": message},
        "stopReason": "end_turn",
        "usage": dict(USAGE),
        "metrics": {"latencyMs": 1},
        "ResponseMetadata": {"HTTPStatusCode": 200},
        **more,
    }


def events():
    return [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"text": "well"}, "contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": dict(USAGE), "metrics": {"latencyMs": 1}}},
    ]


def streamed(stream):
    return {"stream": stream, "ResponseMetadata": {"HTTPStatusCode": 200}}
