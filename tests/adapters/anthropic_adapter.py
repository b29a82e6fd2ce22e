"""The harness of the LangChain adapter that goes through Anthropic's own SDK."""

import pytest
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
        return _led_to(bedrock, CachedChatAnthropicBedrock(model=model, **ours, **of_bedrock(options)))

    def base(self, bedrock, model=CLAUDE, **options):
        return _led_to(bedrock, ChatAnthropicBedrock(model=model, **of_bedrock(options)))


def _led_to(bedrock, model):
    """The SDK reads where it calls when a client is made, which is 50 ms of work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_BEDROCK_BASE_URL", bedrock.url)
        assert model._client.base_url == model._async_client.base_url
    return model
