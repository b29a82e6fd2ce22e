"""What an InvokeModel request says in its headers."""

from typing import Any

from cachepoint.emulator.service.calls import Incoming

__all__ = ["settings"]


def settings(incoming: Incoming) -> dict[str, Any]:
    """What InvokeModel has in its headers and Converse in its body."""
    said = incoming.headers
    guardrail = {
        name: said[header] for name, header in _GUARDRAIL_HEADERS.items() if said.get(header) is not None
    }
    latency = said.get("x-amzn-bedrock-performanceconfig-latency")
    return {
        **({"guardrailConfig": guardrail} if guardrail else {}),
        **({"performanceConfig": {"latency": latency}} if latency else {}),
    }


_GUARDRAIL_HEADERS = {
    "guardrailIdentifier": "x-amzn-bedrock-guardrailidentifier",
    "guardrailVersion": "x-amzn-bedrock-guardrailversion",
    "trace": "x-amzn-bedrock-trace",
}
