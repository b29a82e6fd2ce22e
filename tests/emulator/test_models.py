import ast
import sys
from pathlib import Path

import pytest

import cachepoint.emulator
from cachepoint.emulator import resolve

PACKAGE = Path(cachepoint.emulator.__file__).parent


@pytest.mark.parametrize(
    ("model", "minimum", "ttls"),
    [
        ("us.anthropic.claude-fable-5-2", 512, ("5m", "1h")),
        ("anthropic.claude-mythos-preview", 4096, ("5m", "1h")),
        ("global.anthropic.claude-opus-5-5", 512, ("5m", "1h")),
        ("global.anthropic.claude-opus-4-8", 1024, ("5m", "1h")),
        ("us.anthropic.claude-opus-4-7", 4096, ("5m", "1h")),
        ("us.anthropic.claude-opus-4-6-v1", 4096, ("5m", "1h")),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", 4096, ("5m", "1h")),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", 1024, ("5m",)),
        ("us.anthropic.claude-opus-4-20250514-v1:0", 1024, ("5m",)),
        ("eu.anthropic.claude-sonnet-5-5", 512, ("5m", "1h")),
        ("eu.anthropic.claude-sonnet-5", 1024, ("5m", "1h")),
        ("jp.anthropic.claude-sonnet-4-6", 1024, ("5m", "1h")),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", 1024, ("5m", "1h")),
        ("apac.anthropic.claude-sonnet-4-20250514-v1:0", 1024, ("5m",)),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", 1024, ("5m",)),
        ("anthropic.claude-haiku-5-5", 512, ("5m", "1h")),
        ("au.anthropic.claude-haiku-4-5-20251001-v1:0", 4096, ("5m", "1h")),
        ("us.anthropic.claude-3-5-haiku-20241022-v1:0", 2048, ("5m",)),
        ("us.amazon.nova-2-lite-v1:0", 1024, ("5m",)),
        ("amazon.nova-micro-v1:0", 1024, ("5m",)),
    ],
)
def test_a_model_that_caches(model, minimum, ttls):
    rules = resolve(model)
    assert (rules.explicit, rules.min_tokens, rules.ttls) == (True, minimum, ttls)


@pytest.mark.parametrize(
    "model",
    [
        "us.meta.llama4-maverick-17b-instruct-v1:0",
        "us.deepseek.r1-v1:0",
        "anthropic.claude-3-haiku-20240307-v1:0",
        "openai.gpt-5.6-sol",
        "xai.grok-4.6",
    ],
)
def test_a_model_that_does_not_cache(model):
    assert resolve(model).explicit is False


@pytest.mark.parametrize(
    "model",
    [
        "",
        "claude",
        "anthropic.claude-sonnet-9",
        "mars.anthropic.claude-sonnet-5",
        "us.us.amazon.nova-pro-v1:0",
    ],
)
def test_a_model_that_bedrock_would_not_know(model):
    assert resolve(model) is None


def imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides where it leads"
            yield node.module
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_the_emulator_stands_alone(path):
    """The other witness: nothing of the rest of cachepoint, nothing that is not in the standard library."""
    foreign = [
        name
        for name in imported(path)
        if f"{name}.".partition(".")[0] not in sys.stdlib_module_names
        and not f"{name}.".startswith("cachepoint.emulator.")
    ]
    assert foreign == []
