"""The clients that one LlamaIndex call goes through, in the place of upstream's own."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from cachepoint.aws.async_client import AsyncCachingClient
from cachepoint.aws.client import REPORT_KEY, CachingClient, Carrier
from cachepoint.core import listeners
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import Call, PromptCache
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.policy import CachePolicy
from cachepoint.llama_index.engines import Arranged, SystemTexts, arrange, spared
from cachepoint.llama_index.points import with_system_point, with_tools_point, with_ttls

logger = logging.getLogger("cachepoint")

_FAULT = "cachepoint failed at %s; the call goes on without it"

_learned: WeakKeyDictionary[PromptCache, SystemTexts] = WeakKeyDictionary()
_learned_lock = Lock()


def texts_of(cache: PromptCache) -> SystemTexts:
    """What was learned of the system texts that went through a cache."""
    with _learned_lock:
        return _learned.setdefault(cache, SystemTexts())


class Reports:
    """Where the report of one call is laid down: streams settle in another thread."""

    def __init__(self) -> None:
        self._metadata: dict[str, Any] = {}

    def expect(self, metadata: dict[str, Any]) -> None:
        """The report will be in here."""
        self._metadata = metadata

    def take(self) -> CallReport | None:
        """The report, once."""
        report: CallReport | None = self._metadata.pop(REPORT_KEY, None)
        return report


@dataclass(frozen=True, slots=True)
class Setting:
    """What holds for one call. `active`: whether anything of the request is ours to change."""

    policy: CachePolicy
    cache: PromptCache
    model: str
    rules: ModelRules
    system_flag: bool
    tools_flag: bool
    reports: Reports = field(default_factory=Reports)

    @property
    def active(self) -> bool:
        """Off means off, and so does a model that takes no checkpoints."""
        return self.policy.mode != "off" and self.rules.caches


class _ForOneCall(Carrier):
    """Arranges the request of LlamaIndex before it is planned."""

    def __init__(self, client: Any, setting: Setting) -> None:
        super().__init__(client, policy=setting.policy, cache=setting.cache, base_model_id=setting.model)
        self._setting = setting
        # Upstream streams async calls in a thread that has lost the context.
        self._sessions = listeners.of_context()

    def _prepare(self, request: dict[str, Any], policy: Any) -> Call:
        return replace(self._planned(request, policy), sessions=self._sessions)

    def _planned(self, request: dict[str, Any], policy: Any) -> Call:
        if not self._setting.active:
            return super()._prepare(request, policy)
        try:
            arranged = _arranged(request, self._setting)
        except Exception:
            logger.warning(_FAULT, "reading a request", exc_info=True)
            arranged = Arranged(request)
        call = super()._prepare(arranged.request, policy)
        try:
            return call if arranged.stays is None else spared(call, arranged.stays)
        except Exception:
            logger.warning(_FAULT, "sparing checkpoints", exc_info=True)
            return call

    def _laid_down(self, response: dict[str, Any]) -> dict[str, Any]:
        metadata = response.get("ResponseMetadata", {})
        if REPORT_KEY in metadata:
            self._setting.reports.expect({REPORT_KEY: metadata.pop(REPORT_KEY)})
        else:
            self._setting.reports.expect(metadata)
        return response


def _arranged(request: dict[str, Any], setting: Setting) -> Arranged:
    ttl = setting.policy.first_ttl
    lasting = with_tools_point(with_ttls(request), ttl, asked=setting.tools_flag)
    arranged = arrange(lasting, texts_of(setting.cache), setting.rules, setting.policy, setting.model)
    if not setting.system_flag or arranged.stays is not None or len(arranged.request.get("system", ())) > 1:
        return arranged
    return Arranged(with_system_point(arranged.request, ttl))


class CallClient(_ForOneCall, CachingClient):
    """A boto3 client for one call."""

    def converse(self, **request: Any) -> Any:
        """`client.converse`; the report is laid down, and not in the response."""
        return self._laid_down(super().converse(**request))

    def converse_stream(self, **request: Any) -> Any:
        """`client.converse_stream`; the report is laid down when the usage comes."""
        return self._laid_down(super().converse_stream(**request))


class AsyncCallClient(_ForOneCall, AsyncCachingClient):
    """An aioboto3 client for one call."""

    async def converse(self, **request: Any) -> Any:
        """`client.converse`; the report is laid down, and not in the response."""
        return self._laid_down(await super().converse(**request))

    async def converse_stream(self, **request: Any) -> Any:
        """`client.converse_stream`; the report is laid down when the usage comes."""
        return self._laid_down(await super().converse_stream(**request))


class CallSession:
    """An aioboto3 session whose clients are for one call: upstream makes one per call."""

    def __init__(self, made: Any, setting: Setting) -> None:
        self._session = made
        self._setting = setting

    @asynccontextmanager
    async def client(self, *args: Any, **kwargs: Any) -> AsyncIterator[AsyncCallClient]:
        """`session.client`."""
        async with self._session.client(*args, **kwargs) as client:
            yield AsyncCallClient(client, self._setting)
