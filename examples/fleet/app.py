"""A service of many workers that share what Bedrock holds. From the top of the repository:

export CACHEPOINT_KEY=… CACHEPOINT_MEMORY=redis://127.0.0.1:6379/0
gunicorn -c examples/fleet/gunicorn.conf.py app:app
curl 'http://127.0.0.1:8000/?What+does+wrap+do'
"""

import inspect
import json
import os
import textwrap
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

import boto3

from cachepoint.aws import CachingClient

MODEL = "us.anthropic.claude-sonnet-4-6"


@cache
def client() -> CachingClient:
    """One for each worker: made at the first call, after the fork. Its memory is CACHEPOINT_MEMORY's."""
    return CachingClient(boto3.client("bedrock-runtime"))


def ask(question: str) -> dict[str, Any]:
    """The answer, who gave it, and what it read and wrote."""
    response = client().converse(
        modelId=MODEL,
        system=[{"text": inspect.getsource(textwrap)}],
        messages=[{"role": "user", "content": [{"text": question}]}],
    )
    usage = response["ResponseMetadata"]["cachepoint"].usage
    return {
        "answer": response["output"]["message"]["content"][0]["text"],
        "worker": os.getpid(),
        "read": usage.read_tokens,
        "written": usage.write_tokens,
    }


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """WSGI, without a framework."""
    said = json.dumps(ask(unquote_plus(environ["QUERY_STRING"]) or "What is this?")).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(said)))])
    return [said]
