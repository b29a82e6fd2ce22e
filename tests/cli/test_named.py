import time

import pytest

from cachepoint.cli.named import _names, model_id
from cachepoint.core.accounting.pricing import prices
from cachepoint.core.models.rules import rules_for

SONNET = "anthropic.claude-sonnet-4-6"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (f"us.{SONNET}", f"us.{SONNET}"),
        (f" {SONNET} ", SONNET),
        ("claude-sonnet-4-6", SONNET),
        ("us.claude-sonnet-4-6", f"us.{SONNET}"),
        (f"EU.{SONNET.upper()}", f"eu.{SONNET}"),
        ("Claude Sonnet 4.6", SONNET),
        (f"bedrock_converse:us.{SONNET}", f"us.{SONNET}"),
        ("anthropic:claude-sonnet-4-6", SONNET),
        (f"bedrock/converse/global.{SONNET}", f"global.{SONNET}"),
        ("anthropic/claude-sonnet-4.6", SONNET),
        ("claude-haiku-4-5", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5-20251001", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-opus-4-6", "anthropic.claude-opus-4-6-v1"),
        ("amazon.nova-pro", "amazon.nova-pro-v1:0"),
        ("nova 2 lite", "amazon.nova-2-lite-v1:0"),
        ("gpt-5.6-sol", "openai.gpt-5.6-sol"),
        ("us.meta.llama3-3-70b-instruct-v1:0", "us.meta.llama3-3-70b-instruct-v1:0"),
        (
            f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{SONNET}",
            f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{SONNET}",
        ),
    ],
)
def test_c7_what_people_write_for_a_model(text, meant):
    """C7: ids as other programs write them, and names."""
    assert model_id(text) == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("us.anthropic.claude-sonet-4-6", f"do you mean 'us.{SONNET}', "),
        ("claude-4.6-sonnet", f"do you mean '{SONNET}', "),
        ("mythos", "do you mean 'anthropic.claude-mythos-5-2', 'anthropic.claude-mythos-5-1' or "),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonet-4-6", f"do you mean '{SONNET}'"),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/x", "hides its model"),
        ("xx", "`cachepoint models` lists"),
        ("Everything else", "`cachepoint models` lists"),
        ("gpt-oss", "is known; "),
    ],
)
def test_c7_what_no_model_is_called(text, said):
    """C7: the error names the text and what is near."""
    with pytest.raises(ValueError, match=r"is known; |hides its model") as caught:
        model_id(text)
    assert said in str(caught.value)


def test_every_name_leads_to_its_row():
    for name, known in _names().items():
        assert rules_for(known).name == rules_for(model_id(name)).name


def test_models_that_cache_and_have_a_public_price_are_known_by_a_priced_id():
    for known in set(_names().values()):
        row = rules_for(known)
        if row.caches and "preview" not in known:
            assert any(prices(f"{profile}{known}", time.time()) for profile in ("", "us.", "global.")), known
