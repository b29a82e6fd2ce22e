"""AsyncKeepAlive: refreshes through a client of aioboto3, by hand or by a task."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Self

from cachepoint.aws.keeping.common import Keeping, answered, is_billed
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import PromptCache
from cachepoint.core.guard import guard
from cachepoint.core.keeping.keeper import Refresh

logger = logging.getLogger("cachepoint")


class AsyncKeepAlive(Keeping):
    """As `KeepAlive`, for clients of aioboto3 and aiobotocore: a task of the running loop does it.

    Args:
        client: An awaited `bedrock-runtime` client, or an `AsyncCachingClient`.
        budget: As of `KeepAlive`.
        cache: As of `KeepAlive`.

    Raises:
        ValueError: Where an option is not valid.
    """

    awaited = True

    def __init__(
        self, client: Any, *, budget: float | Decimal | str, cache: PromptCache | None = None
    ) -> None:
        super().__init__(client, budget=budget, cache=cache)
        self._task: asyncio.Task[None] | None = None

    def follow(self) -> None:
        """Watch the calls from now on."""
        self._keeper.follow()

    async def start(self) -> Self:
        """Watch the calls, and refresh in a task. Starting twice is no error."""
        if self._task is None:
            self.follow()
            self._task = asyncio.create_task(self._run(), name="cachepoint-keep-alive")
        return self

    async def stop(self) -> None:
        """Watch and refresh no more; a refresh that is on its way is cancelled."""
        self._keeper.leave()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def tick(self) -> list[CallReport]:
        """Refresh what is due now, one after the other.

        Returns:
            The reports of what was refreshed.
        """
        reports: list[CallReport] = []
        for target in self._keeper.ready():
            refresh = await self._keeper.alook(target)
            report = None if refresh is None else await self._refreshed(refresh)
            reports += [] if report is None else [report]
        return reports

    async def _run(self) -> None:
        none: list[CallReport] = []
        while True:
            await asyncio.sleep(guard("reading the clock", lambda: self._pause, 1.0))
            await guard.awaited("keeping alive", self.tick, none)

    async def _refreshed(self, refresh: Refresh) -> CallReport | None:
        try:
            response = await self._sent(refresh)
        except BaseException as error:
            await self._keeper.afailed(refresh, billed=is_billed(error))
            if not isinstance(error, Exception):
                raise
            logger.debug("a refresh failed: %s", type(error).__name__)
            return None
        return await self._keeper.adone(refresh, response)

    async def _sent(self, refresh: Refresh) -> Mapping[str, Any]:
        method, arguments = self._sending(refresh.call)
        response = await getattr(self._client, method)(**arguments)
        return answered(response, await response["body"].read() if "body" in response else None)

    def _in_child(self) -> None:
        super()._in_child()
        self._task = None
