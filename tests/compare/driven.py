"""Drives one library against a Bedrock, in that library's own environment.

    python driven.py litellm http://127.0.0.1:1234 on < requests.json

Each request is in Converse's form, without checkpoints; the library is given the same conversation in its own
words, with its caching turned `on`, or as it is without a word (`off`), and sends what it makes of it. Nothing
of cachepoint is needed here.
"""

import asyncio
import json
import os
import sys

MODEL = "us.anthropic.claude-sonnet-4-6"
REGION = "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": REGION}


def specs(request):
    return [tool["toolSpec"] for tool in request.get("toolConfig", {}).get("tools", [])]


def system(request):
    return "".join(block["text"] for block in request.get("system", []))


def result_text(block):
    return block["toolResult"]["content"][0]["text"]


def litellm(url, requests, on):
    import litellm as library

    if on:
        library.enable_anthropic_prompt_caching = True
    for request in requests:
        tools = [
            {
                "type": "function",
                "function": {
                    "name": spec["name"],
                    "description": spec["description"],
                    "parameters": spec["inputSchema"]["json"],
                },
            }
            for spec in specs(request)
        ]
        library.completion(
            model=f"bedrock/converse/{MODEL}",
            messages=openai_messages(request),
            aws_bedrock_runtime_endpoint=url,
            aws_region_name=REGION,
            **({"tools": tools} if tools else {}),
        )


def openai_messages(request):
    out = [{"role": "system", "content": system(request)}] if system(request) else []
    for message in request["messages"]:
        texts = [block for block in message["content"] if "text" in block]
        calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
        results = [block for block in message["content"] if "toolResult" in block]
        out += [
            {"role": "tool", "tool_call_id": b["toolResult"]["toolUseId"], "content": result_text(b)}
            for b in results
        ]
        if texts or calls:
            content = [{"type": "text", "text": block["text"]} for block in texts]
            made = {"role": message["role"], "content": content or None}
            if calls:
                made["tool_calls"] = [
                    {
                        "id": call["toolUseId"],
                        "type": "function",
                        "function": {"name": call["name"], "arguments": json.dumps(call["input"])},
                    }
                    for call in calls
                ]
            out.append(made)
    return out


def pydantic_ai(url, requests, on):
    import boto3
    from pydantic_ai.direct import model_request_sync
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.models.bedrock import BedrockConverseModel
    from pydantic_ai.providers.bedrock import BedrockProvider
    from pydantic_ai.tools import ToolDefinition

    client = boto3.client("bedrock-runtime", endpoint_url=url, region_name=REGION)
    model = BedrockConverseModel(MODEL, provider=BedrockProvider(bedrock_client=client))
    flags = ("bedrock_cache_instructions", "bedrock_cache_tool_definitions", "bedrock_cache_messages")
    settings = dict.fromkeys(flags, True) if on else {}
    for request in requests:
        tools = [
            ToolDefinition(
                name=s["name"], description=s["description"], parameters_json_schema=s["inputSchema"]["json"]
            )
            for s in specs(request)
        ]
        model_request_sync(
            model,
            pydantic_messages(request),
            model_settings=settings,
            model_request_parameters=ModelRequestParameters(function_tools=tools),
        )


def pydantic_messages(request):
    from pydantic_ai.messages import (
        ModelRequest,
        ModelResponse,
        SystemPromptPart,
        TextPart,
        ToolCallPart,
        ToolReturnPart,
        UserPromptPart,
    )

    out = []
    for message in request["messages"]:
        parts = []
        for block in message["content"]:
            if "toolUse" in block:
                use = block["toolUse"]
                parts.append(ToolCallPart(use["name"], use["input"], tool_call_id=use["toolUseId"]))
            elif "toolResult" in block:
                called = block["toolResult"]["toolUseId"]
                parts.append(ToolReturnPart("read_file", result_text(block), tool_call_id=called))
            else:
                kind = TextPart if message["role"] == "assistant" else UserPromptPart
                parts.append(kind(block["text"]))
        if message["role"] == "assistant":
            out.append(ModelResponse(parts=parts))
        else:
            out.append(ModelRequest(parts=parts))
    if system(request):
        out[0].parts.insert(0, SystemPromptPart(system(request)))
    return out


def strands(url, requests, on):
    from strands.models import BedrockModel, CacheConfig

    caching = {"cache_config": CacheConfig(strategy="auto")} if on else {}
    model = BedrockModel(model_id=MODEL, endpoint_url=url, region_name=REGION, **caching)

    async def sent(request):
        events = model.stream(request["messages"], specs(request) or None, system(request) or None)
        return [event async for event in events]

    for request in requests:
        asyncio.run(sent(request))


def langchain_aws(url, requests, on):
    from langchain.agents import create_agent
    from langchain_aws import ChatBedrockConverse
    from langchain_aws.middleware import BedrockPromptCachingMiddleware
    from langchain_core.tools import StructuredTool

    model = ChatBedrockConverse(model=MODEL, endpoint_url=url, region_name=REGION)
    for request in requests:
        tools = [
            StructuredTool(
                name=s["name"],
                description=s["description"],
                args_schema={"properties": {}, **s["inputSchema"]["json"]},
                func=lambda **_: "",
            )
            for s in specs(request)
        ]
        middleware = [BedrockPromptCachingMiddleware()] if on else []
        agent = create_agent(model, tools, system_prompt=system(request) or None, middleware=middleware)
        agent.invoke({"messages": langchain_messages(request)})


def langchain_messages(request):
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

    out = []
    for message in request["messages"]:
        texts = [block for block in message["content"] if "text" in block]
        calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
        out += [
            ToolMessage(result_text(b), tool_call_id=b["toolResult"]["toolUseId"])
            for b in message["content"]
            if "toolResult" in b
        ]
        content = [{"type": "text", "text": block["text"]} for block in texts]
        if message["role"] == "assistant":
            used = [{"name": c["name"], "args": c["input"], "id": c["toolUseId"]} for c in calls]
            out.append(AIMessage(content, tool_calls=used))
        elif texts:
            out.append(HumanMessage(content))
    return out


def llama_index(url, requests, on):
    os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = url
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.bedrock_converse import BedrockConverse

    llm = BedrockConverse(
        model=MODEL,
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        **({"system_prompt_caching": True, "tool_caching": True} if on else {}),
    )
    for request in requests:
        tools = [
            FunctionTool.from_defaults(lambda: "", name=s["name"], description=s["description"])
            for s in specs(request)
        ]
        history = llama_messages(request)
        if tools:
            llm.chat_with_tools(tools, chat_history=history)
        else:
            llm.chat(history)


def llama_messages(request):
    from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock

    out = [ChatMessage(role="system", content=system(request))] if system(request) else []
    for message in request["messages"]:
        blocks = []
        for block in message["content"]:
            if "toolUse" in block:
                use = block["toolUse"]
                blocks.append(
                    ToolCallBlock(
                        tool_call_id=use["toolUseId"], tool_name=use["name"], tool_kwargs=use["input"]
                    )
                )
            elif "toolResult" in block:
                kwargs = {"tool_call_id": block["toolResult"]["toolUseId"]}
                out.append(ChatMessage(role="tool", content=result_text(block), additional_kwargs=kwargs))
            else:
                blocks.append(TextBlock(text=block["text"]))
        if blocks:
            out.append(ChatMessage(role=message["role"], blocks=blocks))
    return out


LIBRARIES = {
    "langchain-aws": langchain_aws,
    "llama-index-llms-bedrock-converse": llama_index,
    "litellm": litellm,
    "pydantic-ai-slim": pydantic_ai,
    "strands-agents": strands,
}

if __name__ == "__main__":
    os.environ |= KEYS
    LIBRARIES[sys.argv[1]](sys.argv[2], json.load(sys.stdin), on=sys.argv[3] == "on")
