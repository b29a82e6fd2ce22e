"""Asks what probes want to know: sends, waits, pays, and writes down every answer."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from cachepoint.cli.probe.asking import Answer, Ask, LateError, Probing, StoppedError
from cachepoint.core.accounting import pricing
from cachepoint.core.accounting.money import dollars
from cachepoint.core.accounting.usage import Usage

_THROTTLED = frozenset({"ThrottlingException", "ServiceUnavailableException", "ModelNotReadyException"})
_REFUSED = "ValidationException"
_TRIES, _LONGEST = 8, 60.0
# Characters of a token are more than that in any text that is asked with.
_FEWEST_CHARACTERS = 2
# So much later than it was to be asked tells the same.
_SLACK = 0.02


class Client(Protocol):
    """As boto3's `bedrock-runtime`."""

    def converse(self, **kwargs: Any) -> Mapping[str, Any]:
        """Answer a request."""


@dataclass
class Journal:
    """What was answered, in order: numbers, no text. A file has each answer before the next is asked.

    Attributes:
        seed: Of the run's texts.
        path: The file.
        kept: What was answered before, or that it would have come too late.
    """

    seed: str
    path: Path | None = None
    kept: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def at(cls, path: Path | None, model: str) -> "Journal":
        """That of a file: a new one, or one that is taken up again.

        Raises:
            ValueError: Where the file is none, or of another model.
        """
        seed = os.urandom(8).hex()
        if path is None:
            return cls(seed)
        if not path.exists():
            path.write_text(json.dumps({"probe": model, "seed": seed}) + "\n")
            return cls(seed, path)
        try:
            head, *kept = [json.loads(line) for line in path.read_text().splitlines()]
            of, seed = str(head["probe"]), str(head["seed"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"--state {str(path)!r} is no file of a probe; name another") from error
        if of != model:
            raise ValueError(f"--state {str(path)!r} is of {of!r}, not of {model!r}")
        return cls(seed, path, kept)

    def add(self, record: dict[str, Any]) -> None:
        """Write an answer down."""
        self.kept.append(record)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()


@dataclass
class Runner:
    """Runs probes against a service.

    Attributes:
        client: The service.
        model: The id that is called.
        clock: Seconds.
        sleep: Waits so many of them.
        budget: US dollars that may be spent; None: as many as it takes.
        journal: What was answered.
        spent: US dollars so far, with what the journal holds; None: no price is known.
        sent: Requests of this run.
    """

    client: Client
    model: str
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    journal: Journal
    budget: Decimal | None = None
    spent: Decimal | None = Decimal(0)
    sent: int = 0
    _answers: list[Answer] = field(default_factory=list)
    _place: int = 0

    def run(self, probing: Probing[Any]) -> None:
        """Ask until nothing more is to be asked.

        Raises:
            StoppedError: Where the budget does not reach for the next request, or the service lets nobody in.
        """
        try:
            ask = next(probing)
            while True:
                try:
                    answer = self._answer(ask)
                except LateError as late:
                    ask = probing.throw(late)
                else:
                    ask = probing.send(answer)
        except StopIteration:
            return

    def _answer(self, ask: Ask) -> Answer:
        digest = _digest(ask)
        known = self.journal.kept[self._place] if self._place < len(self.journal.kept) else None
        self._place += 1
        if known is None:
            return self._asked(ask, digest)
        if known.get("digest") != digest:
            raise ValueError(
                "--state is of a probe with other options; name another file, or the same options"
            )
        if known.get("late"):
            raise LateError
        answer = Answer(**known["answer"])
        self._pay(answer, ask)
        self._answers.append(answer)
        return answer

    def _asked(self, ask: Ask, digest: str) -> Answer:
        self._wait(ask, digest)
        self._afford(ask)
        at = self.clock()
        age = 0.0 if ask.since is None else at - self._answers[ask.since].at
        answer = replace(self._sent(ask), number=len(self._answers), at=at, age=age)
        self.journal.add({"digest": digest, "answer": asdict(answer)})
        self._answers.append(answer)
        self._pay(answer, ask)
        return answer

    def _wait(self, ask: Ask, digest: str) -> None:
        if ask.since is None:
            return
        due = self._answers[ask.since].at + ask.seconds
        left = due - self.clock()
        if left > 0:
            self.sleep(left)
        elif -left > max(1.0, _SLACK * ask.seconds) and self._interrupted(ask.since):
            self.journal.add({"digest": digest, "late": True})
            raise LateError

    def _interrupted(self, since: int) -> bool:
        """Whether an answer is of an earlier run."""
        return since < len(self._answers) - self.sent

    def _sent(self, ask: Ask) -> Answer:
        from botocore.exceptions import ClientError

        for attempt in range(_TRIES):
            try:
                response = self.client.converse(modelId=self.model, **ask.request)
            except ClientError as error:
                code = str(error.response.get("Error", {}).get("Code"))
                if code == _REFUSED:
                    self.sent += 1
                    return Answer(0, 0.0, refused=code)
                if code not in _THROTTLED:
                    raise StoppedError(f"the service says {code}") from error
                self.sleep(min(_LONGEST, 2.0**attempt))
            else:
                self.sent += 1
                return _of(response, self.model)
        raise StoppedError("the service throttles")

    def _afford(self, ask: Ask) -> None:
        if self.budget is None:
            return
        worst = _worst(ask, self.model, self.clock())
        if worst is None or self.spent is None:
            raise StoppedError("no price of this model is known, so that no budget can be kept")
        if self.spent + worst > self.budget:
            left = dollars(self.budget - self.spent)
            raise StoppedError(f"the next request may cost {dollars(worst)}, {left} of the budget are left")

    def _pay(self, answer: Answer, ask: Ask) -> None:
        usage = Usage(
            answer.fresh,
            int(ask.request["inferenceConfig"]["maxTokens"]),
            answer.read,
            answer.written,
            answer.written - answer.written_1h,
            answer.written_1h,
        )
        cost = pricing.cost(usage, self.model, self.clock())
        self.spent = None if cost is None or self.spent is None else self.spent + cost


def _digest(ask: Ask) -> str:
    told = json.dumps([ask.request, ask.since, ask.seconds], sort_keys=True)
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _of(response: Mapping[str, Any], model: str) -> Answer:
    usage = Usage.from_converse(response, model)
    if usage is None:
        raise StoppedError("the service reports no usage")
    return Answer(
        0,
        0.0,
        read=usage.read_tokens or 0,
        written=usage.write_tokens or 0,
        fresh=usage.uncached_tokens,
        written_1h=usage.write_1h_tokens or 0,
    )


def _worst(ask: Ask, model: str, at: float) -> Decimal | None:
    """What a request costs at most: all of it written for an hour, and all the answer that it allows."""
    tokens = len(json.dumps(ask.request)) // _FEWEST_CHARACTERS
    most = int(ask.request["inferenceConfig"]["maxTokens"])
    prices = [
        pricing.cost(usage, model, at)
        for usage in (
            Usage(output_tokens=most, write_tokens=tokens, write_1h_tokens=tokens, write_5m_tokens=0),
            Usage(tokens, most),
        )
    ]
    known = [price for price in prices if price is not None]
    return max(known) if known else None
