"""Quotas of tokens and requests per minute, as Bedrock takes from them and gives back."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from cachepoint.emulator.cache.options import Options
from cachepoint.emulator.cache.rules import ModelRules
from cachepoint.emulator.service.refusals.request import Refusal

__all__ = ["Quotas", "Use", "reserved", "settled"]

_MINUTE = 60.0
_MOST_QUOTAS = 4_096
# "If maxTokens is unset, it defaults to the model's maximum (up to 64K-128K)":
# aws/agent-toolkit-for-aws "quota-health", 2026-07.
_LONGEST_ANSWER = 64_000
# ai-dial-adapter-bedrock#371, 2025-12; dev.to/multigrid, 2026. No Retry-After comes with either.
_TOO_MANY_TOKENS = Refusal(429, "ThrottlingException", "Too many tokens, please wait before trying again.")
_TOO_MANY_REQUESTS = Refusal(
    429, "ThrottlingException", "Too many requests, please wait before trying again."
)


@dataclass(slots=True)
class Use:
    """What one call takes of a quota, in tokens, and when it began."""

    at: float
    tokens: int


class Quotas:
    """What was used in the last minute, by model id and Region: every API of a model draws on one quota.

    AWS user guide "Quotas for the bedrock-runtime endpoint", 2026. How the service counts its minute is not
    known; here it is the 60 seconds before the request.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._uses: dict[tuple[str, str], deque[Use]] = {}
        self._lock = Lock()

    def admit(self, model_id: str, region: str, options: Options, tokens: int) -> Use | Refusal:
        """Take a request and its tokens of the quota; a refusal where there is not so much left."""
        now = self._clock()
        use = Use(now, tokens)
        if options.tokens_per_minute is None and options.requests_per_minute is None:
            return use
        with self._lock:
            uses = self._recent((model_id, region), now)
            if options.requests_per_minute is not None and len(uses) >= options.requests_per_minute:
                return _TOO_MANY_REQUESTS
            taken = tokens + sum(one.tokens for one in uses)
            if options.tokens_per_minute is not None and taken > options.tokens_per_minute:
                return _TOO_MANY_TOKENS
            uses.append(use)
        return use

    def clear(self) -> None:
        """Forget every use."""
        with self._lock:
            self._uses.clear()

    def _recent(self, key: tuple[str, str], now: float) -> deque[Use]:
        uses = self._uses.pop(key, deque())
        while uses and uses[0].at <= now - _MINUTE:
            uses.popleft()
        self._uses[key] = uses
        # The Region is what a client says it is: of too many quotas the one that rests longest is forgotten.
        if len(self._uses) > _MOST_QUOTAS:
            del self._uses[next(iter(self._uses))]
        return uses


def reserved(tokens: int, limit: int | None) -> int:
    """What a call takes as it begins: all its input, read or not, and all that it may say.

    aws/agent-toolkit-for-aws "quota-health", 2026-07.
    """
    return tokens + (limit or _LONGEST_ANSWER)


def settled(uncached: int, write: int, output: int, rules: ModelRules) -> int:
    """What it has taken when it ends: what was read is given back.

    AWS user guide "quotas-token-burndown", 2026-10.
    """
    return uncached + write + output * rules.output_burndown
