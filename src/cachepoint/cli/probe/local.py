"""The emulator in this process, without a port: what the probes would find if it were right."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from cachepoint.emulator import CacheEngine, Guardrail, Reply, default_sizer
from cachepoint.emulator.cache.options import Options, OptionsByModel
from cachepoint.emulator.service.calls import Incoming
from cachepoint.emulator.service.operations import Service

_REGION = "us-east-1"


class Local:
    """Has the `converse` of a boto3 client, and a clock that `sleep` moves.

    Args:
        seed: Of what the options leave to chance.
        guardrail: An id that is known.
        **options: As of the emulator.
    """

    def __init__(self, *, seed: int = 0, guardrail: str = "", start: float = 0.0, **options: Any) -> None:
        self._now = start
        self._service = Service(
            engine=CacheEngine(self.now, seed=seed),
            clock=self.now,
            responder=lambda _: Reply(({"text": "Yes."},)),
            sizer=default_sizer,
            profiles={},
            guardrails={guardrail: Guardrail()} if guardrail else {},
            record=lambda _: None,
            options=OptionsByModel(Options.of(options)),
            seed=seed,
        )

    def now(self) -> float:
        """Seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Moves the clock."""
        self._now += seconds

    def converse(self, **request: Any) -> Mapping[str, Any]:
        """Answers as Bedrock does.

        Raises:
            ClientError: As boto3 raises it.
        """
        path = f"/model/{quote(request.pop('modelId'), safe='')}/converse"
        answer = self._service.answer(Incoming("POST", path, _REGION, json.dumps(request).encode()))
        body: dict[str, Any] = json.loads(answer.body)
        if answer.error:
            from botocore.exceptions import ClientError

            raise ClientError({"Error": {"Code": answer.error, "Message": body["message"]}}, "Converse")
        return body
