"""The clients that one LlamaIndex call goes through, in the place of upstream's own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from cachepoint.aws.async_client import AsyncCachingClient
from cachepoint.aws.carrier import Operation, called_by
from cachepoint.aws.client import REPORT_KEY, CachingClient, Carrier
from cachepoint.core import listeners
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import Call, PromptCache
from cachepoint.core.guard import guard
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.policy import CachePolicy, PolicyLike
from cachepoint.llama_index.engines import Arranged, SystemTexts, arrange, spared
from cachepoint.llama_index.points import with_system_point, with_tools_point, with_ttls, without_flag
from cachepoint.shaping.relocating import Relocating

_LAYING = "laying down a report"

_learned: WeakKeyDictionary[PromptCache, SystemTexts] = WeakKeyDictionary()


def texts_of(cache: PromptCache) -> SystemTexts:
    """What was learned of the system texts that went through a cache; it goes when the cache does."""
    found = _learned.get(cache)
    # Of two threads that come first, one may learn for nothing.
    return _learned.setdefault(cache, SystemTexts()) if found is None else found


class Reports:
    """Where the report of one call is laid down: streams settle in another thread."""

    def __init__(self) -> None:
        self._metadata: Mapping[str, Any] = {}

    def expect(self, metadata: Mapping[str, Any]) -> None:
        """The report is in here, or will be."""
        self._metadata = metadata

    def take(self) -> CallReport | None:
        """The report, once."""
        metadata, self._metadata = self._metadata, {}
        report: CallReport | None = metadata.get(REPORT_KEY)
        return report


def reported(reports: Reports | None, response: Mapping[str, Any] | None) -> dict[str, Any]:
    """The report of a call as plain data, where this part of its response is the one that carries it.

    The deltas of a stream pass here as well, while the stream is settled elsewhere.
    """
    if reports is None or {"usage", "output"}.isdisjoint(response or ()):
        return {}
    report = reports.take()
    return {} if report is None else {REPORT_KEY: report.as_dict()}


@dataclass(frozen=True, slots=True)
class Setting:
    """What holds for one call. `active`: whether anything of the request is ours to change."""

    policy: CachePolicy
    cache: PromptCache
    model: str
    rules: ModelRules
    system_flag: bool
    tools_flag: bool
    warmed: list[CallReport] | None = None
    reports: Reports = field(default_factory=Reports)

    @property
    def active(self) -> bool:
        """Off means off, and so does a model that takes no checkpoints."""
        return self.policy.mode != "off" and self.rules.caches


class _ForOneCall(Relocating, Carrier):
    """Arranges the request of LlamaIndex before it is planned; carries one call, and its retries."""

    def __init__(self, client: Any, setting: Setting) -> None:
        super().__init__(client, policy=setting.policy, cache=setting.cache, base_model_id=setting.model)
        self._setting = setting
        self._warms = setting.warmed is not None
        # Upstream streams async calls in a thread that has lost the context.
        self._sessions = listeners.of_context()
        self._arranged: Arranged | None = None

    def _question(
        self, request: dict[str, Any], policy: PolicyLike, base: str | None, operation: Operation
    ) -> dict[str, Any]:
        # The flag is no checkpoint of the caller's that nothing may be moved across.
        plain = without_flag(request) if self._setting.system_flag and self._setting.active else request
        asked = super()._question(plain, policy, base, operation)
        return {**asked, "request": self._as_planned(asked["request"])}

    def _as_planned(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request as it is to be planned. A retry comes with the same one, and teaches nothing."""
        if self._arranged is None:
            arranging = partial(arranged_for, request, self._setting, self, learn=not self._looks)
            self._arranged = guard("arranging a request", arranging, Arranged(request))
        return self._arranged.request

    def _finish(self, call: Call) -> Call:
        """The call without checkpoints that nothing will read, and told where it was begun."""
        stays = None if self._arranged is None else self._arranged.stays
        told = partial(replace, call, sessions=self._sessions)
        return guard("sparing checkpoints", lambda: spared(told(), stays), call)


def arranged_for(request: dict[str, Any], setting: Setting, client: Any, *, learn: bool = True) -> Arranged:
    """The request with the checkpoints that its caller asked for, and with what stays of it in front.

    Args:
        request: What upstream made; it stays as it is.
        setting: What holds for the call.
        client: What it is sent through.
        learn: Whether it teaches what stays of system texts.
    """
    if not setting.active:
        return Arranged(request)
    policy = setting.policy
    ttl = policy.first_ttl
    lasting = with_tools_point(with_ttls(request), ttl, asked=setting.tools_flag)
    texts, endpoint = texts_of(setting.cache), called_by(client)
    arranged = arrange(lasting, texts, setting.rules, policy, setting.model, endpoint, learn=learn)
    if not setting.system_flag or arranged.stays is not None or len(arranged.request.get("system", ())) > 1:
        return arranged
    return Arranged(with_system_point(arranged.request, ttl))


def without_report(response: Mapping[str, Any], setting: Setting) -> Mapping[str, Any]:
    """Bedrock's own response; the report goes, or will come, to where it is taken from.

    Args:
        response: What the client returned; it stays as it is.
        setting: It says where the report is laid down.
    """
    reports = setting.reports
    metadata = response.get("ResponseMetadata")
    if not isinstance(metadata, Mapping):
        return response
    if REPORT_KEY not in metadata:
        # Of a stream: it comes with the usage.
        reports.expect(metadata)
        return response
    reports.expect({REPORT_KEY: metadata[REPORT_KEY]})
    if setting.warmed is not None:
        setting.warmed.append(metadata[REPORT_KEY])
    return {**response, "ResponseMetadata": {k: v for k, v in metadata.items() if k != REPORT_KEY}}


class CallClient(_ForOneCall, CachingClient):
    """A boto3 client for one call."""

    def converse(self, **request: Any) -> Any:
        """`client.converse`; the report is laid down, and not in the response."""
        response = super().converse(**request)
        return guard(_LAYING, lambda: without_report(response, self._setting), response)

    def converse_stream(self, **request: Any) -> Any:
        """`client.converse_stream`; the report is laid down when the usage comes."""
        response = super().converse_stream(**request)
        return guard(_LAYING, lambda: without_report(response, self._setting), response)


class AsyncCallClient(_ForOneCall, AsyncCachingClient):
    """An aioboto3 client for one call."""

    async def converse(self, **request: Any) -> Any:
        """`client.converse`; the report is laid down, and not in the response."""
        response = await super().converse(**request)
        return guard(_LAYING, lambda: without_report(response, self._setting), response)

    async def converse_stream(self, **request: Any) -> Any:
        """`client.converse_stream`; the report is laid down when the usage comes."""
        response = await super().converse_stream(**request)
        return guard(_LAYING, lambda: without_report(response, self._setting), response)


class CallSession:
    """An aioboto3 session whose clients are for one call: upstream makes one per call."""

    def __init__(self, made: Any, setting: Setting) -> None:
        self._session = made
        self._setting = setting

    @asynccontextmanager
    async def client(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """`session.client`."""
        async with self._session.client(*args, **kwargs) as client:
            yield guard("binding a client", partial(AsyncCallClient, client, self._setting), client)
