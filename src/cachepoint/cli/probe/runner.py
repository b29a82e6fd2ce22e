"""Asks: the client, the clock, the budget and the journal of a run."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cachepoint.cli.probe.asking import Answer, Ask, Finding, Lab, Request, Steps
from cachepoint.cli.probe.journal import Journal
from cachepoint.core.accounting.pricing import MILLION, PriceList
from cachepoint.core.accounting.usage import Usage

Probe = Callable[[Lab], Steps]

_REFUSALS = frozenset({"ValidationException"})
_BUSY = frozenset({"ThrottlingException", "ServiceUnavailableException", "ModelNotReadyException"})
_TRIES = 8
# Before the service has counted anything: two bytes a token, half of what English takes.
_TOKENS_A_BYTE = 0.5
_MARGIN = 1.2
_HOUR = b'"ttl": "1h"'


FAILED, OVER_BUDGET, INTERRUPTED = 1, 3, 130


class StoppedError(Exception):
    """The run ends before its end; the message says why."""

    code = FAILED


class OverBudgetError(StoppedError):
    """The next request may cost more than is left."""

    code = OVER_BUDGET


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a run ended, and the exit code that says it: 0 where all was asked."""

    code: int = 0
    why: str = ""


@dataclass(slots=True)
class Runner:
    """Runs probes one after the other.

    Attributes:
        client: Of boto3's bedrock-runtime, or whatever has its `converse`.
        clock: Seconds; `sleep` has to move it.
        prices: What the model costs.
        budget: US dollars, with what the journal says was spent before; None: no bound.
    """

    client: Any
    model: str
    lab: Lab
    journal: Journal
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    prices: PriceList
    budget: Decimal | None = None
    told: Callable[[Finding], None] = lambda _: None
    spent: Decimal = Decimal()
    asked: int = 0
    waited: float = 0.0
    done: list[str] = field(default_factory=list)
    _tokens_a_byte: float = 0.0

    def __post_init__(self) -> None:
        self.spent = sum(map(self._cost, self.journal.answers()), Decimal())

    def run(self, probes: Mapping[str, Probe], names: Iterable[str]) -> Ended:
        """Ask until all is known, the budget ends, the service fails or the user interrupts."""
        try:
            for name in names:
                self.lab.probe, self.lab.texts = name, 0
                self._drive(name, probes[name](self.lab))
                self.done.append(name)
        except StoppedError as stopped:
            return Ended(stopped.code, str(stopped))
        except KeyboardInterrupt:
            return Ended(INTERRUPTED, "interrupted")
        return Ended()

    def _drive(self, name: str, steps: Steps) -> None:
        number, answer = 0, Answer(0.0)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Finding):
                    self.lab.found[step.name] = step
                    self.told(step)
                else:
                    number += 1
                    answer = self._answer(f"{name}/{number}", step)
                step = steps.send(answer)
        except StopIteration:
            if not self.lab.chars:
                raise StoppedError("no prefix was kept: nothing else can be asked") from None

    def _answer(self, place: str, ask: Ask) -> Answer:
        body = json.dumps(ask.request).encode()
        digest = hashlib.blake2b(body, digest_size=8).hexdigest()
        answer = self.journal.get(place, digest)
        if answer is None:
            self._afford(ask.request, body)
            if ask.due is not None:
                self._wait(ask.due - self.clock())
            answer = self._sent(ask.request)
            self.spent += self._cost(answer)
            self.asked += 1
            self.journal.add(place, digest, answer)
        if answer.total:
            self._tokens_a_byte = max(self._tokens_a_byte, answer.total / len(body))
        return answer

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.waited += seconds
            self.sleep(seconds)

    def _afford(self, request: Request, body: bytes) -> None:
        if self.budget is None:
            return
        worst = self._worst(request, body)
        if self.spent + worst > self.budget:
            raise OverBudgetError(
                f"the budget of ${self.budget} ends here: ${self.spent:.4f} are spent, "
                f"and the next request may cost ${worst:.4f}"
            )

    def _worst(self, request: Request, body: bytes) -> Decimal:
        size = len(body)
        known = self._tokens_a_byte * _MARGIN
        tokens = int(size * max(known, 0.05) if known else size * _TOKENS_A_BYTE) + 500
        rates = self.prices.at(tokens)
        hour = rates.write_1h if _HOUR in body else None
        dearest = max(rate for rate in (rates.input, rates.write_5m, hour) if rate is not None)
        return (dearest * tokens + rates.output * int(request["inferenceConfig"]["maxTokens"])) / MILLION

    def _sent(self, request: Request) -> Answer:
        # Here, as the other commands are there without boto3.
        from botocore.exceptions import BotoCoreError, ClientError

        for attempt in range(_TRIES):
            at = self.clock()
            try:
                return _read(at, self.client.converse(modelId=self.model, **request))
            except ClientError as error:
                code = str(error.response["Error"]["Code"])
                if code in _REFUSALS:
                    return Answer(at, refused=code)
                if code not in _BUSY:
                    raise StoppedError(f"Bedrock answered {code}") from error
            except BotoCoreError as error:
                raise StoppedError(f"Bedrock was not reached: {type(error).__name__}") from error
            self._wait(min(60.0, 2.0**attempt))
        raise StoppedError(f"Bedrock was busy {_TRIES} times")

    def _cost(self, answer: Answer) -> Decimal:
        usage = Usage(
            answer.uncached,
            answer.output,
            answer.read,
            answer.write,
            None if answer.write_1h is None else answer.write - answer.write_1h,
            answer.write_1h,
        )
        paid = self.prices.at(usage.input_tokens).amounts(usage)
        return paid.total if paid else Decimal()


def _read(at: float, response: Mapping[str, Any]) -> Answer:
    usage = Usage.from_converse(response) or Usage()
    return Answer(
        at,
        read=usage.read_tokens or 0,
        write=usage.write_tokens or 0,
        uncached=usage.uncached_tokens,
        output=usage.output_tokens,
        write_1h=usage.write_1h_tokens,
    )
