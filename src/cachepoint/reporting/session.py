"""`with cachepoint.session("nightly") as s:` totals every call inside, over frameworks, threads and tasks."""

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from decimal import Decimal
from threading import get_ident
from types import TracebackType
from typing import Any, Self
from weakref import ref

from cachepoint.core import listeners
from cachepoint.core.accounting.money import minus
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.listeners import Observer
from cachepoint.reporting.bound.bound import Bound
from cachepoint.reporting.metrics import FirstTokens
from cachepoint.reporting.pictures import as_table, in_notebook
from cachepoint.reporting.rows import Row
from cachepoint.reporting.tally import Keeping, Sums, Tally, Waste

logger = logging.getLogger("cachepoint")

_carried: ContextVar[tuple["Session", ...]] = ContextVar("cachepoint_sessions", default=())
# Replaced, never changed: it is read without the lock on every call. A session that was left open and that
# nobody holds any more goes by itself.
_open: tuple["ref[Session]", ...] = ()
_lock = ForkSafeLock()
_MAX_OPEN = 4_096


class Session:
    """The totals of the calls made in a block. A context manager, with `with` or `async with`.

    A call belongs to the sessions that its context carries: tasks, and the threads that LangChain,
    LlamaIndex and `asyncio.to_thread` start, carry the context of whoever started them. A plain thread
    carries none; its calls are counted by every session that another thread has open, and again as
    `strays`. Nested sessions count the same calls each. Of sessions that are never closed at most 4,096
    count, the latest ones; one that nobody holds any more counts no longer.

    Example:
        ```python
        with cachepoint.session("nightly") as s:
            chain.batch(questions)
        print(s)
        s.saved, s.hit_share, s.cost_over_bound, s.waste
        ```

    Args:
        name: What the table and the picture are called.
        threads: Whether calls of threads without a context count. Turn it off in a server, where other
            requests may run in such threads.
    """

    def __init__(self, name: str = "session", *, threads: bool = True) -> None:
        self.name = name
        self.strays = 0
        self.threads = threads
        self.thread: int | None = None
        self.is_open = False
        self._tally = Tally()
        self._lock = ForkSafeLock()

    def __enter__(self) -> Self:
        global _open  # noqa: PLW0603 -- the sessions of the process
        with _lock:
            if self.is_open:
                raise RuntimeError(f"the session {self.name!r} is open already")
            if len(_open) >= _MAX_OPEN:
                _open = _some_of(_open)
            self.thread, self.is_open = get_ident(), True
            _open = (*_open, ref(self))
        # Those that another context closed are still carried by this one.
        _carried.set((*(s for s in _carried.get() if s.is_open), self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        global _open  # noqa: PLW0603
        with _lock:
            self.is_open = False
            _open = tuple(held for held in _open if held() not in {None, self})
        # Not a token's reset: a generator may be closed in another context than it was begun in.
        _carried.set(tuple(s for s in _carried.get() if s is not self))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def __call__(self, report: CallReport) -> None:
        """Count one call; a session is an Observer."""
        row = Row.of(report)
        with self._lock:
            self._tally.add(row, report.sent)

    def stray(self, report: CallReport) -> None:
        """Count one call of a thread that carries no context."""
        self(report)
        with self._lock:
            self.strays += 1

    @property
    def tally(self) -> Tally:
        """All figures, as `cachepoint.observers.page` takes them."""
        return self._tally

    @property
    def _sums(self) -> Sums:
        with self._lock:
            return self._tally.sums

    @property
    def calls(self) -> int:
        """How many calls were answered."""
        return self._sums.calls

    @property
    def usage(self) -> Usage:
        """The tokens of all models."""
        return self._sums.usage

    @property
    def usage_by_model(self) -> Mapping[str, Usage]:
        """The tokens of each model, by the id that was called."""
        with self._lock:
            return {model: sums.usage for model, sums in self._tally.by_model.items()}

    @property
    def hit_share(self) -> float | None:
        """Read tokens over all input tokens, 0 to 1; None where there were none, or it was not reported."""
        return self.usage.hit_share

    @property
    def cost(self) -> Decimal | None:
        """US dollars, over the calls whose price is known; None where none is."""
        money = self._sums.money
        return None if money is None else money[0]

    @property
    def uncached_cost(self) -> Decimal | None:
        """US dollars that the same calls would have cost without a cache."""
        money = self._sums.money
        return None if money is None else money[1]

    @property
    def saved(self) -> Decimal | None:
        """US dollars saved against no caching, less what refreshes cost; negative where that did not pay."""
        money = self._sums.money
        return None if money is None else minus(money[1], money[0])

    @property
    def unpriced(self) -> int:
        """Calls that are missing from the money, because their price or usage is unknown."""
        sums = self._sums
        return sums.calls - sums.priced

    @property
    def rewrite_factor(self) -> float | None:
        """Written tokens over the largest context of each conversation; 1 is a text written once."""
        with self._lock:
            return self._tally.rewrite_factor

    @property
    def waste(self) -> Mapping[str, Waste]:
        """Calls and tokens that could have been read and were not, by cause."""
        with self._lock:
            return dict(self._tally.waste)

    @property
    def keeping(self) -> Keeping:
        """What was spent on keeping entries alive while nobody called, and what that saved."""
        with self._lock:
            return self._tally.keeping

    @property
    def first_tokens(self) -> FirstTokens:
        """Median seconds to the first token of streams that read and of those that did not."""
        with self._lock:
            return self._tally.first_tokens

    @property
    def quota_tokens(self) -> int | None:
        """What a tokens-per-minute quota counted; None where no call's model is known for it."""
        with self._lock:
            return self._tally.quota_tokens

    # Not under the lock: calls would wait for it.
    @property
    def bound(self) -> Bound | None:
        """What the calls paid for their input beside what other placements of checkpoints would have.

        None where it is not known: of calls without checkpoints, and beyond 20,000 calls or 100,000 different
        blocks. It is computed when it is asked for, at most some seconds.
        """
        return self._tally.bound

    @property
    def cost_over_bound(self) -> float | None:
        """The cost of input over the least that any placement could have paid, 1 at best; None as `bound`."""
        bound = self.bound
        return None if bound is None else bound.cost_over_bound

    def as_dict(self) -> dict[str, Any]:
        """The figures for JSON. Money in US dollars."""
        bounds = self._tally.bounds.by_model
        with self._lock:
            return {"name": self.name, "strays": self.strays, **self._tally.as_dict(bounds)}

    def to_json(self) -> str:
        """The figures as JSON."""
        return json.dumps(self.as_dict(), indent=2)

    def __repr__(self) -> str:
        # Without the bound: a repr in a log or a debugger must not take seconds.
        return f"Session({self.name!r}, calls={self.calls}, usage={self.usage!r}, saved={self.saved!r})"

    def __str__(self) -> str:
        bound = self.bound
        with self._lock:
            return f"{self.name}: {as_table(self._tally, bound)}"

    def _repr_html_(self) -> str:
        """A picture for a notebook: every call of the conversations that lost most."""
        bound = self.bound
        with self._lock:
            return in_notebook(self.name, self._tally, bound)


def session(name: str = "session", *, threads: bool = True) -> Session:
    """Total every call made in a `with` or `async with` block; see `Session`.

    Args:
        name: What the table and the picture are called.
        threads: Whether calls of threads without a context count.
    """
    return Session(name, threads=threads)


def current() -> tuple[Observer, ...]:
    """What counts a call that is made here and now: the open sessions that it belongs to."""
    if not _open:
        return ()
    carried = tuple(s for s in _carried.get() if s.is_open)
    if carried:
        return carried
    here = get_ident()
    # On a session's own thread a context that lacks it is another task's: known to be outside.
    return tuple(s.stray for held in _open if (s := held()) and s.threads and s.thread != here)


def _some_of(held: tuple["ref[Session]", ...]) -> tuple["ref[Session]", ...]:
    """Those that somebody holds; of too many the later half."""
    alive = [(one, s) for one in held if (s := one()) is not None]
    if len(alive) >= _MAX_OPEN:
        logger.warning("%d sessions were never closed; the older half counts no more", len(alive))
        for _, s in alive[: _MAX_OPEN // 2]:
            s.is_open = False
        alive = alive[_MAX_OPEN // 2 :]
    return tuple(one for one, _ in alive)


listeners.add_source(current)
