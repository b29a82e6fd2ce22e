"""Where the examples call: a local Bedrock, or AWS with EXAMPLE_ON_AWS=1 and your region and credentials."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cachepoint.emulator import BedrockEmulator

MODEL = "us.anthropic.claude-sonnet-4-6"


@contextmanager
def bedrock() -> Iterator[dict[str, Any]]:
    """The arguments that boto3.client and ChatBedrockConverse need to get there."""
    if os.environ.get("EXAMPLE_ON_AWS") == "1":
        yield {}
        return
    with BedrockEmulator() as emulator:
        yield {
            "endpoint_url": emulator.url,
            "region_name": "us-east-1",
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }
