"""The harness of the LangChain adapter that goes through Anthropic's own SDK."""

from langchain_aws import ChatAnthropicBedrock

from cachepoint.langchain import CachedChatAnthropicBedrock
from tests.adapters.anthropic_shapes import SHAPES, of_bedrock
from tests.adapters.contract import CLAUDE
from tests.adapters.invoke_adapter import InvokeAdapter


class AnthropicAdapter(InvokeAdapter):
    name = "langchain_anthropic"
    shapes = SHAPES

    def cached(self, bedrock, model=CLAUDE, *, policy=None, cache=None, **options):
        ours = {"cache_policy": policy, "prompt_cache": cache}
        return CachedChatAnthropicBedrock(model=model, **ours, **of_bedrock(options))

    def base(self, bedrock, model=CLAUDE, **options):
        return ChatAnthropicBedrock(model=model, **of_bedrock(options))
