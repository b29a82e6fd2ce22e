"""Drives what yields its wishes to the memory, sync and async, each in its time and behind a guard."""

from collections.abc import Generator
from typing import Any, TypeVar

from cachepoint.core.agreeing import Asked
from cachepoint.core.call import Call
from cachepoint.core.guard import Guard
from cachepoint.core.memory.allowance import Allowance
from cachepoint.core.memory.protocol import NOTHING, Memory, Recollection
from cachepoint.core.memory.records import Changes

T = TypeVar("T")
# What an operation yields, what it is sent, and what it comes to.
Steps = Generator[Asked, Recollection, T]


class Driven:
    """What has a memory and a guard."""

    memory: Memory
    guard: Guard

    def _run(self, doing: str, call: Call, operation: Steps[T], otherwise: T) -> T:
        return self.guard(doing, lambda: self._driven(operation, call.allowance), otherwise)

    async def _arun(self, doing: str, call: Call, operation: Steps[T], otherwise: T) -> T:
        return await self.guard.awaited(doing, lambda: self._adriven(operation, call.allowance), otherwise)

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
            if isinstance(asked, Changes):
                return self.memory.record(asked, left)
            return self.memory.recall(asked, left) if left else NOTHING

    async def _aasked(self, asked: Asked, allowance: Allowance) -> Recollection:
        with allowance as left:
            if isinstance(asked, Changes):
                return await self.memory.arecord(asked, left)
            return await self.memory.arecall(asked, left) if left else NOTHING
