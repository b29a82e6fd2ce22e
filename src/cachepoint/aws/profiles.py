"""Which model is behind an application inference profile."""

import logging
import time
from asyncio import to_thread
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cachepoint.aws.kinds import is_awaited
from cachepoint.core.models.rules import base_model, is_hidden

logger = logging.getLogger("cachepoint")

_MOST = 1_024
_A_DAY = 86_400.0
# Seconds until one that could not be had is asked for again: a throttled one soon, one that is waited
# for in vain (no route to the control plane) so seldom that it takes a twentieth of the time.
_AGAIN = 60.0
_SHARE = 20


@dataclass(frozen=True, slots=True)
class _Answer:
    base: str | None
    until: float


class Profiles:
    """Asks `bedrock:GetInferenceProfile` for an ARN, and remembers the answer for a day.

    What could not be asked for is asked for again a minute later, in the call that needs it then.

    Args:
        client: A `bedrock` client (control plane) of boto3 or aioboto3; None: nobody is asked.
        clock: Seconds.
    """

    def __init__(self, client: Any = None, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[str, _Answer] = {}

    def base_model(self, model_id: str) -> str | None:
        """The base model of an id that hides it; None where it hides none or can't be known."""
        if self._must_ask(model_id):
            self._ask(model_id)
        return self.known(model_id)

    async def abase_model(self, model_id: str) -> str | None:
        """As `base_model`; the event loop does not wait for a client of boto3."""
        if self._must_ask(model_id):
            awaited = is_awaited(self._client, "get_inference_profile")
            await (self._aask(model_id) if awaited else to_thread(self._ask, model_id))
        return self.known(model_id)

    def known(self, model_id: str) -> str | None:
        """What is known already; nobody is asked."""
        answer = self._known.get(model_id)
        return None if answer is None else answer.base

    def _must_ask(self, model_id: str) -> bool:
        if self._client is None or not is_hidden(model_id):
            return False
        answer = self._known.get(model_id)
        return answer is None or answer.until <= self._clock()

    def _ask(self, arn: str) -> None:
        began = self._clock()
        try:
            self._learn(arn, self._client.get_inference_profile(inferenceProfileIdentifier=arn))
        except Exception as error:
            self._fail(arn, began, error)

    async def _aask(self, arn: str) -> None:
        began = self._clock()
        try:
            self._learn(arn, await self._client.get_inference_profile(inferenceProfileIdentifier=arn))
        except Exception as error:
            self._fail(arn, began, error)

    def _learn(self, arn: str, profile: Mapping[str, Any]) -> None:
        bases = (base_model(model["modelArn"]) for model in profile["models"])
        self._keep(arn, _Answer(next(filter(None, bases), None), self._clock() + _A_DAY))

    def _fail(self, arn: str, began: float, error: Exception) -> None:
        now = self._clock()
        level = logging.DEBUG if arn in self._known else logging.WARNING
        # What was known once is so still: a profile's model never changes.
        self._keep(arn, _Answer(self.known(arn), now + max(_AGAIN, _SHARE * (now - began))))
        logger.log(
            level,
            "the model behind %r is not known (%s): allow bedrock:GetInferenceProfile or give "
            "base_model_id=; until then no checkpoint is placed",
            arn,
            type(error).__name__,
        )

    def _keep(self, arn: str, answer: _Answer) -> None:
        self._known[arn] = answer
        for oldest in list(self._known)[:-_MOST]:
            self._known.pop(oldest, None)


__all__ = ["Profiles"]
