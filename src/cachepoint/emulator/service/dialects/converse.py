"""Converse: what all others are put into, and what the emulator thinks in."""

from collections.abc import Iterator
from typing import Any

from cachepoint.emulator.service.dialects.dialect import Dialect, Said
from cachepoint.emulator.service.events import Event, StreamFault, stream_events
from cachepoint.emulator.service.refusals import table

__all__ = ["CONVERSE"]


def _answer(said: Said) -> dict[str, Any]:
    return {
        "metrics": {"latencyMs": said.latency},
        "output": {"message": {"content": list(said.reply.content), "role": "assistant"}},
        "stopReason": said.reply.stop_reason,
        "usage": said.usage,
        **_trace(said),
    }


def _events(said: Said) -> Iterator[Event | StreamFault]:
    metadata = {"metrics": {"latencyMs": said.latency}, "usage": said.usage, **_trace(said)}
    return stream_events(said.reply, metadata)


def _trace(said: Said) -> dict[str, Any]:
    return {"trace": said.trace} if said.trace else {}


CONVERSE = Dialect(
    api="converse",
    shape=table.converse_shape,
    plain=lambda body: body,
    checks=table.CONVERSE,
    answer=_answer,
    headers=lambda _said: {},
    events=_events,
)
