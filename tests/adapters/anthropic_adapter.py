"""The harness of the LangChain adapter that goes through Anthropic's own SDK."""

import os

from langchain_aws import ChatAnthropicBedrock

from cachepoint.langchain import CachedChatAnthropicBedrock
from tests.adapters.anthropic_shapes import SHAPES, of_bedrock
from tests.adapters.contract import CLAUDE
from tests.adapters.invoke_adapter import InvokeAdapter


class AnthropicAdapter(InvokeAdapter):
    name = "langchain_anthropic"
    shapes = SHAPES

    def _options(self, bedrock, options):
        # A model's client is made when it is first called; other tests' own begins with the fixture `bedrock`.
        os.environ["ANTHROPIC_BEDROCK_BASE_URL"] = bedrock.url
        return of_bedrock(options)

    def cached(self, bedrock, model=CLAUDE, *, policy=None, cache=None, **options):
        ours = {"cache_policy": policy, "prompt_cache": cache}
        return CachedChatAnthropicBedrock(model=model, **ours, **self._options(bedrock, options))

    def base(self, bedrock, model=CLAUDE, **options):
        return ChatAnthropicBedrock(model=model, **self._options(bedrock, options))
