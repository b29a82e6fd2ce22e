"""What the sync and the async client share: all of a call but the sending."""

from collections.abc import Mapping, MutableMapping
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, Never, Self

from cachepoint.aws import bodies, checks
from cachepoint.aws.profiles import Profiles
from cachepoint.aws.streams import REPORT_KEY, Settling
from cachepoint.aws.ttl import knows_points, passable, say_old
from cachepoint.aws.waiting import awaited, longest, waited
from cachepoint.aws.warming import cheapest, cheapest_body, untold
from cachepoint.core.accounting.ahead import Outlook
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import Call, PromptCache
from cachepoint.core.guard import InvalidOptionError, guard
from cachepoint.core.models.rules import known_as, shown
from cachepoint.core.placement.planner import Plan
from cachepoint.core.policy import CachePolicy, PolicyLike, resolved
from cachepoint.memory import from_environment

PREPARING = "preparing a call"
WAITING = "waiting for another call"
SENDING = "finding how to send a call"
FAILING = "looking at an error"
REPORTING = "reporting a call"
LOOKING = "looking ahead"


Operation = Literal["Converse", "InvokeModel"]


_STREAMS: Mapping[Operation, str] = {"Converse": "stream", "InvokeModel": "body"}


class Asked(NamedTuple):
    """What the caller asked: the keyword arguments, the policy of the call, and what is called."""

    request: dict[str, Any]
    policy: PolicyLike
    operation: Operation = "Converse"


class Ready(NamedTuple):
    """A call, and the keyword arguments that it is sent with. No call: what is sent is what was given."""

    call: Call | None
    arguments: Mapping[str, Any]


# Made with the module: two threads that asked for the first one at once would have got one each.
_SHARED = PromptCache(memory=from_environment())


def shared_cache() -> PromptCache:
    """The cache that all clients of this process share unless they are given one.

    What one client wrote another can read, so that a model object made anew for every request
    still knows what Bedrock holds.
    """
    return _SHARED


class Carrier:
    """All of a call but the sending. A subclass says how its framework's requests are arranged."""

    awaited: ClassVar[bool] = False
    _streams: ClassVar[Mapping[Operation, type[Settling]]]

    def __init__(
        self,
        client: Any,
        *,
        policy: PolicyLike = None,
        cache: PromptCache | None = None,
        base_model_id: str | None = None,
        control: Any = None,
        **unknown: Never,
    ) -> None:
        checks.refuse_options(unknown)
        checks.refuse_values(cache, base_model_id, control)
        checks.refuse_client(client, awaited=self.awaited)
        self._client = client
        self._policy = CachePolicy.of(policy)
        self._given = cache
        self._base_model_id = base_model_id
        self._profiles = Profiles(control)
        self._warms = False
        self._looks = False

    def warming(self) -> Self:
        """A client that writes all that its calls ask, and has them answered with as little as may be.

        A call that would write nothing, as another is writing it or nothing can be cached, is not made.
        """
        twin = copy(self)
        twin._warms = True  # noqa: SLF001
        return twin

    async def acache_outlook(
        self, request: Mapping[str, Any], *, cache_policy: PolicyLike = None, also: str | None = None
    ) -> Outlook:
        """As `CachingClient.cache_outlook`, with an awaited memory, whatever client it is."""
        looking = partial(self._alook, request, cache_policy, also)
        return await guard.awaited(LOOKING, looking, Outlook(str(request.get("modelId", ""))))

    @property
    def _cache(self) -> PromptCache:
        # Not kept: a copy in another process shares what is shared there.
        return shared_cache() if self._given is None else self._given

    def _finish(self, call: Call) -> Call:
        """The call that is sent."""
        return call

    def _prepare(
        self, request: dict[str, Any], policy: PolicyLike, operation: Operation = "Converse"
    ) -> Call:
        """The call with its checkpoints."""
        base = self._base_model_id or self._profiles.base_model(str(request["modelId"]))
        call = self._cache.prepare(**self._question(request, policy, base, operation))
        try:
            self._cache.attend(call)
            if call.wait_for is not None:
                call = guard(WAITING, partial(self._waited, call), call)
            return self._finish(call)
        except BaseException:
            self._cache.abandon(call)
            raise

    async def _aprepare(self, request: dict[str, Any], policy: PolicyLike, operation: Operation) -> Call:
        """As `_prepare`, with an awaited memory."""
        base = self._base_model_id or await self._profiles.abase_model(str(request["modelId"]))
        call = await self._cache.aprepare(**self._question(request, policy, base, operation))
        try:
            self._cache.attend(call)
            if call.wait_for is not None:
                call = await guard.awaited(WAITING, partial(self._awaited, call), call)
            return self._finish(call)
        except BaseException:
            await self._cache.aabandon(call)
            raise

    def _waited(self, call: Call) -> Call:
        return waited(self._cache, call, longest(self._client))

    async def _awaited(self, call: Call) -> Call:
        return await awaited(self._cache, call, longest(self._client))

    def _question(
        self, request: dict[str, Any], policy: PolicyLike, base: str | None, operation: Operation
    ) -> dict[str, Any]:
        """What `PromptCache.prepare` is asked: the request that is planned; the one given stays as it is."""
        chosen = CachePolicy.layered(self._policy, CachePolicy.of(policy))
        named = known_as(str(request["modelId"]), base)
        asked = {"model_id": named, "region": called_by(self._client), "warm": self._warms}
        if operation == "InvokeModel":
            return {**asked, "policy": chosen, **self._of_body(request, chosen, named)}
        return {
            **asked,
            "request": cheapest(request) if self._warms else request,
            "policy": chosen if knows_points(self._client) else "off",
        }

    def _look(self, request: Mapping[str, Any], policy: PolicyLike, also: str | None) -> Outlook:
        asked = self._looking(request, policy)
        return unread_body(request) if asked is None else self._cache.outlook(**asked, also=also)

    async def _alook(self, request: Mapping[str, Any], policy: PolicyLike, also: str | None) -> Outlook:
        asked = self._looking(request, policy)
        return unread_body(request) if asked is None else await self._cache.aoutlook(**asked, also=also)

    def _looking(self, request: Mapping[str, Any], policy: PolicyLike) -> dict[str, Any] | None:
        """What `PromptCache.outlook` is asked; None where the body is none that can be read.

        Raises:
            InvalidOptionError: Where no model is named, or an option is misspelt.
        """
        operation: Operation = "InvokeModel" if "body" in request else "Converse"
        checks.refuse_fields(self._client, request, operation)
        if not request.get("modelId"):
            raise InvalidOptionError("no model is named: give a request with modelId")
        twin = copy(self)
        twin._looks, twin._warms = True, False  # noqa: SLF001
        base = self._base_model_id or self._profiles.known(str(request["modelId"]))
        asked = twin._question(dict(request), policy, base, operation)  # noqa: SLF001
        del asked["warm"]
        if operation == "InvokeModel" and asked["request"] == bodies.beside(request):
            return None
        return {**asked, "finish": twin._finish}  # noqa: SLF001

    def _of_body(self, request: dict[str, Any], chosen: CachePolicy, named: str) -> dict[str, Any]:
        """What is asked of a body, which is read only where a checkpoint may come of it."""
        dialect = bodies.dialect_of(named)
        off = resolved(self._cache.policy, chosen).mode == "off" and not self._looks
        aside = dialect is None or off
        body = None if aside else bodies.read(request, named)
        if dialect is None or body is None:
            return {"request": bodies.beside(request), "dialect": "messages"}
        return {"request": cheapest_body(body, dialect) if self._warms else body, "dialect": dialect}

    def _is_planned(self, asked: Asked) -> bool:
        """Whether it is one of ours. Where no model is named, the client's own complaint is the clearest."""
        called = asked.request.get("modelId")
        if not called or asked.operation == "Converse":
            return bool(called)
        return bodies.writes_text(known_as(str(called), self._base_model_id))

    def _fitted(self, call: Call, operation: Operation) -> Call:
        """The call as this client's botocore takes it; it looks into no body."""
        if operation == "InvokeModel":
            return call
        if call.plan.checkpoints:
            return replace(call, request=passable(self._client, call.request))
        if knows_points(self._client):
            return call
        say_old()
        return replace(call, plan=Plan(note="this botocore knows no prompt caching"))

    def _sent(self, asked: Asked, call: Call) -> Ready:
        fitted = self._fitted(call, asked.operation)
        if asked.operation == "InvokeModel":
            return Ready(fitted, bodies.written(asked.request, fitted, anew=self._anew()))
        return Ready(fitted, fitted.request)

    def _anew(self) -> bool:
        """Whether what was planned is another body than that which was given."""
        return self._warms

    def _told(self, request: Mapping[str, Any], response: Any) -> CallReport:
        """The report of a response; of one that could not be planned, its usage alone."""
        report = metadata_of(response).get(REPORT_KEY)
        named = str(request.get("modelId", ""))
        return report if isinstance(report, CallReport) else untold(self._cache, named, response)

    def _watched(self, call: Call | None, response: Any, operation: Operation = "Converse") -> Any:
        """The response, with a stream that settles its call."""
        member = _STREAMS[operation]
        if call is None or member not in response:
            return response
        watched = dict(response)
        metadata = metadata_of(watched)
        watched[member] = self._streams[operation](response[member], self._cache, call, metadata)
        return watched

    def __getattr__(self, name: str) -> Any:
        # Unpickling asks before there is a client.
        if name.startswith("__") or name == "_client":
            raise AttributeError(name)
        return getattr(self._client, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._client)})


def metadata_of(response: Any) -> MutableMapping[str, Any]:
    """Where the report goes. What is read-only stays as it is: nobody sees what is put in there then."""
    if isinstance(response, MutableMapping):
        response.setdefault("ResponseMetadata", {})
    found = response.get("ResponseMetadata") if isinstance(response, Mapping) else None
    return found if isinstance(found, MutableMapping) else {}


def is_of(call: Call, report: Any) -> bool:
    """Whether a report is that of the call. A stub may answer with the same response again."""
    return isinstance(report, CallReport) and report.plan is call.plan


def unread_body(request: Mapping[str, Any]) -> Outlook:
    """The outlook on a request whose body is none of those that are read here."""
    called = str(request["modelId"])
    return Outlook(called, note=f"its body is in no form of {shown(called)} that takes checkpoints")


def message_of(error: BaseException) -> str:
    """What Bedrock said."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return str(response["Error"]["Message"])
    # The errors of Anthropic's SDK hold the body of the answer.
    body = getattr(error, "body", None)
    return str(body.get("message", "")) if isinstance(body, Mapping) else ""


def called_by(client: Any) -> str:
    """The endpoint and the Region that the client calls: it tells two emulators apart. Stubs have none."""
    meta = getattr(client, "meta", None)
    names = (getattr(meta, "endpoint_url", ""), getattr(meta, "region_name", ""))
    return "|".join(name for name in names if isinstance(name, str))
