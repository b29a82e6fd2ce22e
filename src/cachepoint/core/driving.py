"""Drives what yields its wishes to the memory, sync and async, each in its time and behind a guard."""

from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import Any, TypeVar

from cachepoint.core.agreeing import Asked
from cachepoint.core.call import Call
from cachepoint.core.flights import Dropped
from cachepoint.core.guard import Guard
from cachepoint.core.memory.allowance import Allowance
from cachepoint.core.memory.protocol import NOTHING, Memory, Recollection
from cachepoint.core.memory.records import Change, Changes
from cachepoint.core.steps import given_back, released

T = TypeVar("T")
_GIVING_BACK = "giving back what a call claimed"
# What an operation yields, what it is sent, and what it comes to.
Steps = Generator[Asked, Recollection, T]


class Driven:
    """What has a memory and a guard."""

    memory: Memory
    guard: Guard

    def __init__(self) -> None:
        self._dropped: Dropped = deque()

    def attend(self, call: Call) -> None:
        """From here on, whoever drops the call unsettled has abandoned it: that is noted by the next call.

        For who sends calls, and holds each until it has ended; a call that was prepared by hand, and dropped,
        is under way until its claims end by their age.
        """
        call.flight.attended(call.token, self._dropped)

    def _run(self, doing: str, call: Call, operation: Steps[T], otherwise: T) -> T:
        try:
            return self.guard(doing, lambda: self._driven(operation, call.allowance), otherwise)
        except BaseException:
            # Whoever is interrupted, as by Ctrl-C, is not heard of again.
            self.guard(_GIVING_BACK, lambda: self._driven(_given_up(call), call.allowance), None)
            raise

    async def _arun(self, doing: str, call: Call, operation: Steps[T], otherwise: T) -> T:
        try:
            return await self.guard.awaited(
                doing, lambda: self._adriven(operation, call.allowance), otherwise
            )
        except BaseException:
            giving = lambda: self._adriven(_given_up(call), call.allowance)  # noqa: E731
            await self.guard.awaited(_GIVING_BACK, giving, None)
            raise

    def _driven(self, operation: Steps[T], allowance: Allowance) -> T:
        answer: Any = None
        while True:
            try:
                asked = operation.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
            answer = self.guard("remembering", lambda: self._asked(asked, allowance), NOTHING)  # noqa: B023

    async def _adriven(self, operation: Steps[T], allowance: Allowance) -> T:
        answer: Any = None
        while True:
            try:
                asked = operation.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
            asking = lambda: self._aasked(asked, allowance)  # noqa: B023, E731
            answer = await self.guard.awaited("remembering", asking, NOTHING)

    def _asked(self, asked: Asked, allowance: Allowance) -> Recollection:
        with allowance as left:
            if self._dropped:
                self.memory.record(self._given_back(asked.now), left)
            if isinstance(asked, Changes):
                return self.memory.record(asked, left)
            return self.memory.recall(asked, left) if left else NOTHING

    async def _aasked(self, asked: Asked, allowance: Allowance) -> Recollection:
        with allowance as left:
            if self._dropped:
                await self.memory.arecord(self._given_back(asked.now), left)
            if isinstance(asked, Changes):
                return await self.memory.arecord(asked, left)
            return await self.memory.arecall(asked, left) if left else NOTHING

    def _given_back(self, now: float) -> Changes:
        """What calls held that were dropped since somebody asked last."""
        freed: list[Change] = []
        with suppress(IndexError):
            while True:
                freed += given_back(*self._dropped.popleft())
        return Changes(now, tuple(freed))


def _given_up(call: Call) -> Steps[None]:
    """A call gives back what it claimed, and wakes those who wait for it."""
    try:
        if (freed := released(call)) is not None:
            yield freed
            call.flight.places = frozenset()
    finally:
        call.flight.land()
