"""What may stand in `additionalModelRequestFields`, and the settings of the model that are told there."""

from typing import Any

from cachepoint.emulator.service.refusals.request import Check, Checked, Refusal, invalid, model_error

__all__ = ["CHECKS", "MODEL_CHECKS"]

# LibreChat#14246, 2026-07, names `system`; `messages` by sense.
_TAKEN = ("system", "messages")
# Fields of Anthropic's Messages API that are no fields of Converse, without those that Bedrock has not
# (`mcp_servers`, `container`, `speed`). `cache_control` is not taken through Converse (inspect_ai 0.3.285,
# 2026-08).
_CLAUDE = (
    "anthropic_beta",
    "anthropic_version",
    "context_management",
    "metadata",
    "output_config",
    "output_format",
    "reasoning_config",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
)
_NOVA = ("inferenceConfig", "reasoningConfig")
# AWS user guide "Anthropic Claude Messages API" as litellm#19875 quotes it, 2026-01; then litellm#41203,
# 2026-09; and those that LiteLLM 1.109.1 and pydantic-ai 2.68.0 send to Bedrock, 2026-11.
_BETAS = frozenset(
    (
        "compact-2026-01-12",
        "computer-use-2024-10-22",
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "context-management-2025-06-27",
        "dev-full-thinking-2025-05-14",
        "effort-2025-11-24",
        "fine-grained-tool-streaming-2025-05-14",
        "interleaved-thinking-2025-05-14",
        "mid-conversation-tool-changes-2026-07-01",
        "output-128k-2025-02-19",
        "prompt-caching-2024-07-31",
        "token-efficient-tools-2025-02-19",
        "tool-examples-2025-10-29",
        "tool-search-tool-2025-10-19",
    )
)
_NOT_IN_CONVERSE = "tool-search-tool-2025-10-19"


def _fields(checked: Checked) -> dict[str, Any]:
    return checked.body.get("additionalModelRequestFields") or {}


def _taken(checked: Checked) -> Refusal | None:
    taken = next((name for name in _fields(checked) if name in _TAKEN), None)
    return invalid(f"The additional field {taken} conflicts with an existing field.") if taken else None


def _unknown(checked: Checked) -> Refusal | None:
    # litellm#13825 and #13609, 2025-08; agentgateway#3240, 2026-08
    if checked.rules.family != "claude":
        return None
    unknown = next((name for name in _fields(checked) if name not in _CLAUDE), None)
    return model_error(f"{unknown}: Extra inputs are not permitted") if unknown else None


def _unknown_to_nova(checked: Checked) -> Refusal | None:
    # inspect_ai#3939, 2026-05
    if checked.rules.family != "nova":
        return None
    unknown = next((name for name in _fields(checked) if name not in _NOVA), None)
    text = f"#: extraneous key [{unknown}] is not permitted, please reformat your input and try again."
    return invalid(f"Malformed input request: {text}") if unknown else None


def _search_beta(checked: Checked) -> Refusal | None:
    # agentgateway#3240, 2026-08
    text = (
        "The tool-search-tool beta feature is not currently supported on the Converse and ConverseStream APIs"
    )
    return invalid(text) if _NOT_IN_CONVERSE in _betas(checked) else None


def _unknown_beta(checked: Checked) -> Refusal | None:
    # litellm#19875, 2026-01; claude-code#49370, 2026-04. That Opus 4.7 refused nearly all of them then is
    # left out.
    unknown = checked.rules.family == "claude" and any(beta not in _BETAS for beta in _betas(checked))
    return model_error("invalid beta flag") if unknown else None


def _betas(checked: Checked) -> list[Any]:
    betas = _fields(checked).get("anthropic_beta")
    return betas if isinstance(betas, list) else []


CHECKS: tuple[Check, ...] = (_taken, _search_beta, _unknown, _unknown_to_nova)
MODEL_CHECKS: tuple[Check, ...] = (_unknown_beta,)
