"""Requests of the tests here."""

from cachepoint import PromptCache
from cachepoint.aws import CachingClient

SONNET = "us.anthropic.claude-sonnet-4-6"
MANUAL = "The pump holds four litres, and the valve is on its left side. " * 200 + "Ask."


def said(role, text):
    return {"role": role, "content": [{"text": text}]}


def tool(name, description="Looks."):
    schema = {"json": {"type": "object", "properties": {"part": {"type": "string"}}}}
    return {"toolSpec": {"name": name, "description": description, "inputSchema": schema}}


def request(*texts, system=MANUAL, tools=()):
    """A request of texts that user and assistant say in turn."""
    roles = ("user", "assistant") * len(texts)
    asked = {"modelId": SONNET, "messages": [said(r, t) for r, t in zip(roles, texts, strict=False)]}
    asked["system"] = [{"text": system}]
    if tools:
        asked["toolConfig"] = {"tools": list(tools)}
    return asked


def marked(request):
    """With a checkpoint of one's own behind the system prompt."""
    return {**request, "system": [*request["system"], {"cachePoint": {"type": "default"}}]}


def caching(client):
    return CachingClient(client, cache=PromptCache())
