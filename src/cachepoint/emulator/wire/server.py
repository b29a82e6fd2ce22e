"""The emulator itself: HTTP on 127.0.0.1 around the service, and its clock."""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from threading import Lock, Thread
from typing import Any, Self

from cachepoint.emulator.cache.engine import CacheEngine
from cachepoint.emulator.cache.options import Options, OptionsByModel
from cachepoint.emulator.cache.tokens import Sizer, default_sizer
from cachepoint.emulator.responders import AutoResponder, Responder
from cachepoint.emulator.service.calls import CallLog, Calls, EmulatedCall
from cachepoint.emulator.service.control import Control
from cachepoint.emulator.service.faults import Faults
from cachepoint.emulator.service.guardrails import Guardrail
from cachepoint.emulator.service.operations import Service
from cachepoint.emulator.service.quotas import Quotas
from cachepoint.emulator.wire.connection import Server

__all__ = ["BedrockEmulator"]

_LOGGER = logging.getLogger(__name__)
_EVERYWHERE = "0.0.0.0"  # noqa: S104 -- compared, not listened at
_MAX_CALLS = 10_000
_MAX_BYTES = 256 * 1024 * 1024


class BedrockEmulator:
    """Amazon Bedrock on 127.0.0.1, as far as prompt caching goes. A context manager, or start and stop it.

    Args:
        host: Where to listen, an IPv4 address or a name. Whoever reaches another one than 127.0.0.1 can call
            it and move its clock: nothing is encrypted, and no signature is checked.
        port: Where to listen; 0 takes a free port.
        responder: What the model says; an `AutoResponder` if None.
        sizer: How many tokens a prompt counts; an estimate from its length if None.
        clock: Seconds; `advance` moves what the emulator sees of it.
        seed: Of what the options leave to chance.
        profiles: Application inference profile ARNs and the model behind each.
        guardrails: Guardrail ids and what each does; others are refused.
        access_keys: The access key ids and bearer tokens that are let in; all are if None.
        delay: Seconds before every answer begins.
        max_calls: How many calls `calls` holds; the oldest go first.
        max_bytes: How many bytes of them, request bodies included; the oldest go first here too, the newest
            call is always there.
        on_call: Is told of every call, as `calls` has it, before the last byte of its answer leaves; from the
            thread that answers it, many at once. What it raises is logged and forgotten.
        faults: Says what befalls a request that is let in, a `Fault`; None: nothing. Called from the thread
            that answers it, many at once, for each attempt of a client anew.
        models: Options by model id, which lie over the others: `{"us.anthropic.claude-sonnet-4-6":
            {"min_tokens": 2_048}}`. An id without its geography stands for all profiles of the model.
        **options: How it behaves, by the names of `Options`.

    Raises:
        ValueError: A bound is negative, an option is not valid or there is none such.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        responder: Responder | None = None,
        sizer: Sizer | None = None,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        profiles: Mapping[str, str] | None = None,
        guardrails: Mapping[str, Guardrail] | None = None,
        access_keys: Collection[str] | None = None,
        delay: float = 0.0,
        max_calls: int = _MAX_CALLS,
        max_bytes: int = _MAX_BYTES,
        on_call: Callable[[EmulatedCall], None] | None = None,
        faults: Faults = lambda _: None,
        models: Mapping[str, Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        if max_calls < 0 or max_bytes < 0:
            raise ValueError(f"max_calls and max_bytes are at least 0, not {max_calls!r} and {max_bytes!r}.")
        if not host or ":" in host:
            raise ValueError(f"host is {host!r}; use an IPv4 address or a name")
        profiles, keys = dict(profiles or {}), None if access_keys is None else frozenset(access_keys)
        self._address = (host, port)
        self._on_call = on_call
        self._clock = clock
        self._moved = 0.0
        self._lock = Lock()
        self._calls = CallLog(max_calls, max_bytes)
        self._engine = CacheEngine(self.now, seed=seed)
        self._quotas = Quotas(self.now)
        self._service = Service(
            engine=self._engine,
            clock=self.now,
            responder=responder or AutoResponder(),
            sizer=sizer or default_sizer,
            profiles=profiles,
            guardrails=dict(guardrails or {}),
            access_keys=keys,
            record=self._record,
            delay=delay,
            options=OptionsByModel(Options.of(options), dict(models or {}), profiles),
            seed=seed,
            faults=faults,
            quotas=self._quotas,
            control=Control(self.now, self.advance, keys),
        )
        self._server: Server | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen. Starting twice is no error."""
        if self._server is None:
            self._server = Server(self._address, self._service)
            Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Close the port and every connection. Entries and calls stay."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("The emulator is not running: call start() or use it as a context manager.")
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """What to give boto3 as `endpoint_url`."""
        host = "127.0.0.1" if self._address[0] == _EVERYWHERE else self._address[0]
        return f"http://{host}:{self.port}"

    @property
    def calls(self) -> Calls:
        """The requests it answered or refused, oldest first: the newest `max_calls` in `max_bytes`.

        A tuple of `EmulatedCall`, which prints as a line for each and shows a table in a notebook.
        """
        return self._calls.kept()

    @property
    def calls_dropped(self) -> int:
        """How many older requests `calls` no longer holds."""
        return self._calls.dropped

    def now(self) -> float:
        """Its clock, in seconds."""
        return self._clock() + self._moved

    def advance(self, seconds: float) -> None:
        """Move its clock."""
        if seconds < 0:
            raise ValueError(f"The clock only moves forward, not by {seconds!r} seconds.")
        with self._lock:
            self._moved += seconds

    def reset(self) -> None:
        """Forget entries, quotas and calls. The clock stays where it is."""
        self._engine.clear()
        self._quotas.clear()
        self._calls.clear()

    def _record(self, call: EmulatedCall) -> None:
        self._calls.append(call)
        if self._on_call is None:
            return
        try:
            self._on_call(call)
        except Exception:
            _LOGGER.exception("cachepoint.emulator: on_call failed")
