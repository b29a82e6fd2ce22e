"""KeepAlive: refreshes through a boto3 client, by hand or by a thread."""

import logging
from collections.abc import Mapping
from contextvars import copy_context
from decimal import Decimal
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self

from cachepoint.aws.keeping.common import Keeping, answered, is_billed
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import PromptCache
from cachepoint.core.guard import guard
from cachepoint.core.keeping.keeper import Refresh

logger = logging.getLogger("cachepoint")

# Who leaves the block waits so long for a refresh that is on its way; it ends by itself in any case.
_JOIN_SECONDS = 10.0


class KeepAlive(Keeping):
    """Refreshes what calls wrote, shortly before it ends, for as long as that pays and the budget lasts.

    A refresh sends once more what a call sent, up to its last checkpoint, to be answered with one token. It
    is sent where the chance of a return, as learned from what came back after such pauses, pays for the read;
    one at a time; and of workers that share a memory by one of them. It teaches nothing of other calls.

    Within `with`, a daemon thread does it. Without, call `follow()`, then `tick()` every few seconds, and
    `stop()` in the end. Nothing happens before.

    The requests of calls are held until they are let go: the caller's own objects, at most 64 MB of them, and
    none for longer than its entry lives.

    Example:
        .. code-block:: python

            with KeepAlive(client, budget=2.50):        # US dollars a day
                serve()

    Args:
        client: A boto3 `bedrock-runtime` client, or a `CachingClient`. Calls are kept alive that go to its
            endpoint and Region, through whatever client or model.
        budget: US dollars a day (UTC), of all workers that share the memory and the namespace. What a refresh
            may cost at most must be left, or it is not sent. A model without a known price is not kept alive.
        cache: The PromptCache whose calls are kept alive; None: the client's, else the one that this process
            shares.

    Raises:
        ValueError: Where an option is not valid.
    """

    awaited = False

    def __init__(
        self, client: Any, *, budget: float | Decimal | str, cache: PromptCache | None = None
    ) -> None:
        super().__init__(client, budget=budget, cache=cache)
        self._stopping = Event()
        self._thread: Thread | None = None
        # One refresh at a time, whoever calls `tick`.
        self._busy = Lock()

    def follow(self) -> None:
        """Watch the calls from now on."""
        self._keeper.follow()

    def start(self) -> Self:
        """Watch the calls, and refresh in a daemon thread. Starting twice is no error."""
        if self._thread is None:
            self.follow()
            self._stopping.clear()
            # Its refreshes belong to the sessions that whoever starts it is in.
            run = copy_context().run
            self._thread = Thread(target=run, args=(self._run,), name="cachepoint-keep-alive", daemon=True)
            self._thread.start()
        return self

    def stop(self) -> None:
        """Watch and refresh no more."""
        self._stopping.set()
        self._keeper.leave()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_JOIN_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.stop()

    def tick(self) -> list[CallReport]:
        """Refresh what is due now, one after the other.

        Returns:
            The reports of what was refreshed. An error of a refresh is logged, and none of the caller's.
        """
        reports: list[CallReport] = []
        with self._busy:
            for target in self._keeper.ready():
                refresh = None if self._stopping.is_set() else self._keeper.look(target)
                report = None if refresh is None else self._refreshed(refresh)
                reports += [] if report is None else [report]
        return reports

    def _run(self) -> None:
        none: list[CallReport] = []
        while not self._stopping.wait(guard("reading the clock", lambda: self._pause, 1.0)):
            guard("keeping alive", self.tick, none)

    def _refreshed(self, refresh: Refresh) -> CallReport | None:
        try:
            response = self._sent(refresh)
        except BaseException as error:
            self._keeper.failed(refresh, billed=is_billed(error))
            if not isinstance(error, Exception):
                raise
            logger.debug("a refresh failed: %s", type(error).__name__)
            return None
        return self._keeper.done(refresh, response)

    def _sent(self, refresh: Refresh) -> Mapping[str, Any]:
        method, arguments = self._sending(refresh.call)
        response = getattr(self._client, method)(**arguments)
        return answered(response, response["body"].read() if "body" in response else None)

    def _in_child(self) -> None:
        super()._in_child()
        self._stopping, self._thread, self._busy = Event(), None, Lock()
