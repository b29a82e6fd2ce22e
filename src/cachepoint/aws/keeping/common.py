"""What the thread and the task share: the options, the requests as they are sent, and their errors."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from cachepoint.aws import bodies, checks
from cachepoint.aws.carrier import Carrier, called_by, shared_cache
from cachepoint.aws.kinds import is_awaited
from cachepoint.aws.ttl import passable
from cachepoint.aws.warming import cheapest, cheapest_body
from cachepoint.core.cache import PromptCache
from cachepoint.core.call import Call
from cachepoint.core.forks import at_fork
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.keeping.keeper import Keeper, Kept

# Between two looks whether something is due, in seconds: at most and at least.
_PAUSE, _SHORT = 1.0, 0.01


class Sending(NamedTuple):
    """The name of a client's method, and what it is called with."""

    method: str
    arguments: Mapping[str, Any]


class Keeping:
    """A keeper of a cache, and the client through which it refreshes."""

    awaited: bool

    def __init__(
        self, client: Any, *, budget: float | Decimal | str, cache: PromptCache | None = None
    ) -> None:
        given = client._given if isinstance(client, Carrier) else None  # noqa: SLF001
        self._client = client._client if isinstance(client, Carrier) else client  # noqa: SLF001
        checks.refuse_values(cache, None, None)
        _refuse(self._client, awaited=self.awaited)
        self._cache = cache or given or shared_cache()
        self._keeper = Keeper(self._cache, called_by(self._client), _dollars(budget), shaped)
        at_fork(self._in_child)

    @property
    def kept(self) -> Kept:
        """What came of it so far, in this process."""
        return self._keeper.kept

    @property
    def _pause(self) -> float:
        """Seconds until something may be due."""
        due = self._keeper.next
        return _PAUSE if due is None else min(_PAUSE, max(_SHORT, due - self._cache.now()))

    def _sending(self, call: Call) -> Sending:
        """A call as it is sent."""
        if call.dialect == "converse":
            return Sending("converse", passable(self._client, {**call.request, "modelId": call.model_id}))
        body = {name: value for name, value in call.request.items() if name not in bodies.BESIDE}
        said = {**bodies.beside(call.request), "modelId": call.model_id, "body": bodies.dumped(body)}
        return Sending("invoke_model", {**said, "contentType": "application/json"})

    def _in_child(self) -> None:
        """Whoever refreshes is not in this process; who wants it here starts one here."""
        self._keeper.leave()


def answered(response: Mapping[str, Any], body: bytes | None) -> Mapping[str, Any]:
    """An answer as it is settled with.

    Args:
        response: What the client returned.
        body: What its body held; None: it had none.
    """
    rest = {name: value for name, value in response.items() if name != "body"}
    return rest if body is None else {**json.loads(body), **rest}


def is_billed(error: BaseException) -> bool:
    """Whether a call may have cost something that ended so: where Bedrock said no, it did not."""
    return not isinstance(getattr(error, "response", None), Mapping)


def shaped(request: Mapping[str, Any], dialect: str) -> dict[str, Any]:
    """A request that is answered with as few tokens as it allows."""
    return cheapest(request) if dialect == "converse" else cheapest_body(request, dialect)


def _refuse(client: Any, *, awaited: bool) -> None:
    if not callable(getattr(client, "converse", None)):
        raise InvalidOptionError(
            f"client is {type(client).__name__!r}; give a boto3 client of bedrock-runtime, or a CachingClient"
        )
    found = is_awaited(client, "converse")
    if found and not awaited:
        raise InvalidOptionError("this client is awaited, as aioboto3's are: use AsyncKeepAlive")
    if found is False and awaited:
        raise InvalidOptionError("this client is not awaited, as boto3's are not: use KeepAlive")


def _dollars(budget: Any) -> Decimal:
    try:
        amount = Decimal(str(budget))
    except ArithmeticError:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount <= 0:
        raise InvalidOptionError(f"budget is {budget!r}; give US dollars a day, above 0")
    return amount
