"""Makes langfuse_sent.jsonl: what Langfuse's handler for LangChain sends, kept instead of sent.

Langfuse is no dependency of the tests; this ran with langfuse 5.0.4, langchain-aws 1.9.1 and langchain 1.5.2:

    pip install langfuse "langchain-aws[anthropic]" langchain "anthropic<1" "langchain-anthropic<1.5"
    PYTHONPATH=src python tests/cli/audit/capture_langfuse.py
"""

import json
import os
from pathlib import Path

from cachepoint.emulator import BedrockEmulator

MODEL = "us.anthropic.claude-sonnet-4-6"
MANUAL = "Turn the left screw until the lamp is green. " * 120


def main():
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    langfuse = Langfuse(
        public_key="pk-lf-x", secret_key="sk-lf-x", base_url="http://127.0.0.1:9", span_exporter=kept
    )
    with BedrockEmulator() as bedrock:
        for llm, messages in calls(bedrock):
            config = {"callbacks": [CallbackHandler()], "metadata": {"langfuse_user_id": "ada"}}
            llm.invoke(messages, config=config)
            list(llm.stream(messages, config={"callbacks": [CallbackHandler()]}))
        langfuse.flush()
        lines = [
            line(span, call) for span, call in zip(kept.get_finished_spans(), bedrock.calls, strict=True)
        ]
    Path(__file__).with_name("langfuse_sent.jsonl").write_text("".join(lines), "utf-8")


def calls(bedrock):
    from langchain_aws import ChatAnthropicBedrock, ChatBedrock, ChatBedrockConverse
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
    from langchain_core.tools import tool

    @tool
    def search(query: str) -> str:
        """Search the manual."""
        return query

    access = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
    use = {"name": "search", "args": {"query": "lamp"}, "id": "tooluse_1"}
    in_content = {"type": "tool_use", "id": use["id"], "name": use["name"], "input": use["args"]}
    five, hour = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
    os.environ["ANTHROPIC_BEDROCK_BASE_URL"] = bedrock.url
    heads = (
        (
            ChatBedrockConverse,
            {"endpoint_url": bedrock.url},
            [_text("A"), {"cachePoint": {"type": "default", "ttl": "1h"}}],
        ),
        (ChatBedrock, {"endpoint_url": bedrock.url}, [_text("B", cache_control=five)]),
        (ChatAnthropicBedrock, {}, [_text("C", cache_control=hour)]),
    )
    for chat, place, head in heads:
        llm = chat(model=MODEL, max_tokens=500, **access, **place).bind_tools([search])
        messages = [
            SystemMessage(head),
            HumanMessage("Which lamp is red?"),
            AIMessage([{"type": "text", "text": "I look."}, in_content], tool_calls=[use]),
            ToolMessage("The left one.", tool_call_id="tooluse_1"),
        ]
        yield llm, messages


def _text(name, **more):
    return {"type": "text", "text": f"Manual {name}. {MANUAL}", **more}


def line(span, call):
    told = json.loads(span.to_json())
    sent = {
        "id": told["context"]["span_id"],
        "startTime": told["start_time"],
        "endTime": told["end_time"],
        "attributes": {k: v for k, v in told["attributes"].items() if isinstance(v, str)},
        "usage": call.usage,
        "request": call.request,
    }
    return json.dumps(sent) + "\n"


if __name__ == "__main__":
    main()
