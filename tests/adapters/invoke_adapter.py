"""The harness of the LangChain adapter of InvokeModel."""

from langchain_aws import ChatBedrock
from langchain_core.messages import HumanMessage

from cachepoint.langchain import CachedChatBedrock
from tests.adapters.contract import CLAUDE
from tests.adapters.invoke_shapes import SHAPES
from tests.adapters.langchain_adapter import LangChainAdapter

POINT = {"cache_control": {"type": "ephemeral"}}


class InvokeAdapter(LangChainAdapter):
    # ChatBedrock speaks to Llama in another form, which the emulator does not know.
    uncached = "anthropic.claude-3-haiku-20240307-v1:0"
    name = "langchain_invoke"
    shapes = SHAPES

    def cached(self, bedrock, model=CLAUDE, *, policy=None, cache=None, **options):
        return CachedChatBedrock(
            client=bedrock.client(), model=model, cache_policy=policy, prompt_cache=cache, **options
        )

    def base(self, bedrock, model=CLAUDE, **options):
        return ChatBedrock(client=bedrock.client(), model=model, **options)

    def user(self, text, *, point=False):
        return HumanMessage([{"type": "text", "text": text, **POINT}] if point else text)

    def guarded(self, identifier):
        return {"guardrails": {"guardrailIdentifier": identifier, "guardrailVersion": "1"}}

    def names(self, request):
        return [t["name"] for t in request["tools"]]

    def most(self, request):
        return request["max_tokens"], (request.get("thinking") or {}).get("budget_tokens")
