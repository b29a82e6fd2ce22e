"""Plain boto3: wrap the client once. Responses are boto3's own, with a report beside them."""

import inspect
import textwrap

import boto3
from _bedrock import MODEL, bedrock

from cachepoint.aws import CachingClient

with bedrock() as where:
    client = CachingClient(boto3.client("bedrock-runtime", **where))
    for question in ("What does wrap do?", "What does dedent do?", "What does indent do?"):
        response = client.converse(
            modelId=MODEL,
            system=[{"text": inspect.getsource(textwrap)}],
            messages=[{"role": "user", "content": [{"text": question}]}],
        )
        report = response["ResponseMetadata"]["cachepoint"]
        print(f"read {report.usage.read_tokens}, written {report.usage.write_tokens}, saved ${report.saved}")
