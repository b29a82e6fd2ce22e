"""Memories that fail in every way that a shared one may."""

from cachepoint.core.memory.allowance import Allowance
from cachepoint.memory import LocalMemory


class Empty:
    """It remembers nothing, and says so."""

    def recall(self, question, timeout):
        return {}

    def record(self, changes, timeout):
        return {}

    async def arecall(self, question, timeout):
        return self.recall(question, timeout)

    async def arecord(self, changes, timeout):
        return self.record(changes, timeout)


class Raising(Empty):
    """It raises whatever it is asked."""

    def recall(self, question, timeout):
        raise ConnectionError("no memory here")

    def record(self, changes, timeout):
        raise ConnectionError("no memory here")


class Late(Empty):
    """It uses up the time that it is given, on a clock that the test owns."""

    def __init__(self):
        self.now = 0.0
        self.given = []

    def wait(self, timeout):
        self.given.append(timeout)
        self.now += timeout
        raise TimeoutError(f"not within {timeout} s")

    def recall(self, question, timeout):
        self.wait(timeout)

    def record(self, changes, timeout):
        self.wait(timeout)

    def allowance(self, seconds):
        return Allowance(seconds, lambda: self.now)


class Full(LocalMemory):
    """What it holds it holds; nothing more goes in."""

    full = False

    def record(self, changes, timeout):
        return {} if self.full else super().record(changes, timeout)
