"""Which model is behind an application inference profile."""

import logging
from threading import Lock
from typing import Any

from cachepoint.core.models.rules import base_model, is_hidden

logger = logging.getLogger("cachepoint")


class Profiles:
    """Asks `bedrock:GetInferenceProfile` once per ARN, and remembers; also that it could not be asked.

    Args:
        client: A boto3 `bedrock` client (control plane); None: nobody is asked.
    """

    def __init__(self, client: Any = None) -> None:
        self._client = client
        self._known: dict[str, str | None] = {}
        self._lock = Lock()

    def base_model(self, model_id: str) -> str | None:
        """The base model of an id that hides it; None where it hides none or can't be known."""
        if self._client is None or not is_hidden(model_id):
            return None
        with self._lock:
            if model_id not in self._known:
                self._known[model_id] = self._ask(model_id)
            return self._known[model_id]

    def __reduce__(self) -> tuple[Any, ...]:
        return Profiles, (self._client,)

    def _ask(self, arn: str) -> str | None:
        try:
            profile = self._client.get_inference_profile(inferenceProfileIdentifier=arn)
            return next((base for m in profile["models"] if (base := base_model(m["modelArn"]))), None)
        except Exception as error:
            logger.warning(
                "the model behind %s is not known (%s): allow bedrock:GetInferenceProfile or give "
                "base_model_id=; until then no checkpoint is placed",
                arn,
                type(error).__name__,
            )
            return None
