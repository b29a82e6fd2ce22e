import re

import pytest

from cachepoint.core.models.rules import UNKNOWN, base_model, is_hidden, rules_for, table

ACCOUNT = "123456789012"
APP_PROFILE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/abc123"


@pytest.mark.parametrize(
    ("model_id", "name", "minimum"),
    [
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude Sonnet 4.5", 1_024),
        ("us.anthropic.claude-sonnet-4-6", "Claude Sonnet 4.6", 1_024),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "Claude Haiku 4.5", 4_096),
        ("us-gov.anthropic.claude-opus-4-8", "Claude Opus 4.8", 1_024),
        ("jp.anthropic.claude-opus-5", "Claude Opus 5", 512),
        ("anthropic.claude-opus-5-5", "Claude Opus 5.5", 512),
        ("eu.amazon.nova-pro-v1:0", "Nova Pro", 1_024),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-7",
            "Claude Opus 4.7",
            4_096,
        ),
        (
            f"arn:aws-us-gov:bedrock:us-gov-west-1:{ACCOUNT}:inference-profile/us-gov.anthropic.claude-opus-4-8",
            "Claude Opus 4.8",
            1_024,
        ),
    ],
)
def test_ids_profiles_and_arns_find_their_row(model_id, name, minimum):
    rules = rules_for(model_id)

    assert (rules.name, rules.min_tokens, rules.caches) == (name, minimum, True)


@pytest.mark.parametrize(
    "model_id", ["meta.llama3-3-70b-instruct-v1:0", "openai.gpt-5.4", "moonshotai.kimi-k3", "made.up-model"]
)
def test_models_without_explicit_caching_take_no_checkpoint(model_id):
    assert not rules_for(model_id).caches


def test_an_application_profile_hides_its_model():
    assert is_hidden(APP_PROFILE)
    assert base_model(APP_PROFILE) is None
    assert rules_for(APP_PROFILE) is UNKNOWN


def test_a_family_name_is_not_enough():
    """Claude 3 Opus, Sonnet and Haiku refuse checkpoints (pensarai/apex#943)."""
    assert not rules_for("anthropic.claude-3-opus-20240229-v1:0").caches


def test_every_row_has_a_source_and_a_date():
    for row in table():
        assert row.source, row.name
        assert not re.search(r"\bS\d+\b|§", row.source + row.notes), row.name
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", row.checked), row.name


def test_no_row_is_unreachable():
    patterns = [row.pattern for row in table()]

    assert len(patterns) == len(set(patterns))
    assert patterns[-1] == "^.*$"
