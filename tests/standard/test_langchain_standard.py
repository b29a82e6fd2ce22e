"""langchain-tests' own suites, against the emulator."""

import struct
import zlib
from importlib.util import find_spec

import httpx
import pytest
from botocore.exceptions import ClientError
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from cachepoint import CachePolicy, PromptCache
from cachepoint.langchain import CachedChatBedrock, CachedChatBedrockConverse

MODEL = "us.anthropic.claude-sonnet-4-6"
MANUAL = "The reset switch is behind the front panel, next to the fuse. " * 400
pytestmark = [
    # What the suite itself provokes in upstream, and the name LangChain gives to `load`.
    pytest.mark.filterwarnings("ignore:The 'strict' parameter:UserWarning"),
    pytest.mark.filterwarnings("ignore:Bedrock Converse may require a filename:UserWarning"),
    pytest.mark.filterwarnings("ignore:Unrecognized structured output method:UserWarning"),
    pytest.mark.filterwarnings("ignore:The function `load` is in beta"),
]
KINDS = ["cache_read_input", "cache_creation_input"]
NO_SERDES = 'the suite loads with allowed_objects="all", which admits langchain-core\'s own mapping only'
DOT = "the suite's second file is named test_file.pdf, and Bedrock takes no dot in a document's name"


class Common:
    """The Converse class; `Invoking` makes it that of InvokeModel."""

    chat_model_class = CachedChatBedrockConverse

    @pytest.fixture(autouse=True)
    def _stand(self, bedrock):
        type(self).clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}
        type(self).prompt_cache = PromptCache(clock=bedrock.now)

    @property
    def chat_model_params(self):
        return {"model": MODEL, "prompt_cache": self.prompt_cache, **self.clients}

    @property
    def standard_chat_model_params(self):
        # `timeout` and `max_retries` belong to the client, which is given.
        return {"temperature": 0, "max_tokens": 100, "stop": []}


class Invoking(Common):
    chat_model_class = CachedChatBedrock


class Unit(Common):
    module = "chat_models"

    @property
    def init_from_env_params(self):
        environment = {
            "AWS_ACCESS_KEY_ID": "key_id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "token",
        }
        expected = {
            "aws_access_key_id": "key_id",
            "aws_secret_access_key": "secret",
            "aws_session_token": "token",
        }
        return environment, {"model": MODEL, "region_name": "us-east-1"}, expected

    def test_own_serdes(self, model):
        model = model.model_copy(update={"cache_policy": CachePolicy(ttl="1h", tail="never")})
        data = dumpd(model)
        loaded = load(
            data,
            allowed_objects=[self.chat_model_class],
            valid_namespaces=["cachepoint"],
            secrets_from_env=True,
        )
        assert data["id"] == [
            "cachepoint",
            "langchain",
            *self.module.split("."),
            self.chat_model_class.__name__,
        ]
        assert type(loaded) is self.chat_model_class
        assert loaded.cache_policy == model.cache_policy
        assert dumpd(loaded) == data


class TestUnit(Unit, ChatModelUnitTests):
    @pytest.mark.xfail(strict=True, raises=ValueError, reason=NO_SERDES)
    def test_serdes(self, model, snapshot):
        super().test_serdes(model, snapshot)


class TestInvokeUnit(Invoking, Unit, ChatModelUnitTests):
    @pytest.mark.xfail(strict=True, raises=ValueError, reason=NO_SERDES)
    def test_serdes(self, model, snapshot):
        super().test_serdes(model, snapshot)


class Integration(Common):
    supports_image_inputs = True
    supports_pdf_inputs = True
    supports_image_tool_message = True
    supports_pdf_tool_message = True
    supports_anthropic_inputs = True
    supports_json_mode = True
    # In langchain-aws 1.9.1 `model=` of a call is a TypeError.
    supports_model_override = False
    supported_usage_metadata_details = {"invoke": KINDS, "stream": KINDS}

    @pytest.fixture(autouse=True)
    def _files(self, monkeypatch):
        """The suite fetches its picture and its PDF from the web."""
        monkeypatch.setattr(
            httpx, "get", lambda url, **_: httpx.Response(200, content=PDF if "pdf" in url else PNG)
        )

    def invoke_with_cache_creation_input(self, *, stream=False):
        model = self.chat_model_class(**self.chat_model_params)
        return _ask(model, f"{MANUAL} Copy {stream}.", stream=stream)

    def invoke_with_cache_read_input(self, *, stream=False):
        model = self.chat_model_class(**self.chat_model_params)
        _ask(model, MANUAL, stream=stream)
        return _ask(model, MANUAL, stream=stream)


class TestIntegration(Integration, ChatModelIntegrationTests):
    @pytest.mark.xfail(strict=True, raises=ClientError, reason=DOT)
    def test_pdf_inputs(self, model):
        super().test_pdf_inputs(model)


class TestInvokeIntegration(Invoking, Integration, ChatModelIntegrationTests):
    # ChatBedrock hands LangChain's own `file` and `image` blocks on as they are, where it knows no better
    # (langchain-aws 1.9.1); upstream's own suite does not claim these three either.
    supports_pdf_inputs = False
    supports_image_tool_message = False
    supports_pdf_tool_message = False


class TestInvokeAsConverseIntegration(Invoking, Integration, ChatModelIntegrationTests):
    @property
    def chat_model_params(self):
        return {**super().chat_model_params, "beta_use_converse_api": True}

    @pytest.mark.xfail(strict=True, raises=ClientError, reason=DOT)
    def test_pdf_inputs(self, model):
        super().test_pdf_inputs(model)


HAS_SDK = find_spec("langchain_anthropic") is not None
needs_sdk = pytest.mark.skipif(not HAS_SDK, reason="the extra anthropic is not installed")


class ThroughSdk(Common):
    @property
    def chat_model_class(self):
        from cachepoint.langchain import CachedChatAnthropicBedrock

        return CachedChatAnthropicBedrock

    @property
    def chat_model_params(self):
        from tests.adapters.anthropic_shapes import of_bedrock

        return {"model": MODEL, "prompt_cache": self.prompt_cache, **of_bedrock({})}


@needs_sdk
class TestAnthropicUnit(ThroughSdk, Unit, ChatModelUnitTests):
    module = "anthropic.chat_model"

    @pytest.mark.xfail(strict=True, raises=ValueError, reason=NO_SERDES)
    def test_serdes(self, model, snapshot):
        super().test_serdes(model, snapshot)


@needs_sdk
class TestAnthropicIntegration(ThroughSdk, Integration, ChatModelIntegrationTests):
    # langchain-anthropic has no such mode. Bedrock answers with Anthropic's own name of the model that was called.
    supports_json_mode = False
    supports_model_override = False


def _ask(model, manual, *, stream):
    messages = [SystemMessage(manual), HumanMessage("Where is the reset switch?")]
    if not stream:
        return model.invoke(messages)
    chunks = list(model.stream(messages))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert isinstance(whole, AIMessage)
    return whole


def _png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = b"".join(
    (
        b"\x89PNG\r\n\x1a\n",
        _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        _png_chunk(b"IDAT", zlib.compress(b"\x00\x80")),
        _png_chunk(b"IEND", b""),
    )
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>"
