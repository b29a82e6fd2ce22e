"""The core alone, for programs with a client of their own: prepare, send, settle."""

import inspect
import textwrap
import time

import boto3
from _bedrock import MODEL, bedrock

from cachepoint import CachePolicy, PromptCache

with bedrock() as where:
    client = boto3.client("bedrock-runtime", **where)
    cache = PromptCache(policy=CachePolicy(), clock=time.time)
    messages = []
    for question in ("What does wrap do?", "And dedent?", "And indent?"):
        messages.append({"role": "user", "content": [{"text": question}]})
        request = {"modelId": MODEL, "system": [{"text": inspect.getsource(textwrap)}], "messages": messages}

        call = cache.prepare(request, model_id=MODEL)
        response = client.converse(**call.request)
        report = cache.settle(call, response)

        messages.append(response["output"]["message"])
        marks = ", ".join(f"{point.where} ({point.reason})" for point in report.plan.checkpoints)
        print(f"read {report.usage.read_tokens}, written {report.usage.write_tokens}; checkpoints: {marks}")
