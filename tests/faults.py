"""A fault of ours never fails a call: every function that a call reaches is made to raise, one by one.

    def test_a_fault_of_ours_never_fails_an_invoke():
        check(lambda model: model.invoke(ASK).content, plain="ok", make=build, entries=ENTRIES)

Found by introspection: a place is any function, method, property, lambda or nested function whose code
stands in `modules`, so that what is written later is included. It raises in whatever way it is reached,
as its code is replaced, not its name. Caches of ours (`functools.cache`) are emptied before each run.
"""

import ast
import gc
import importlib
import inspect
import logging
import sys
import textwrap
import threading
from collections import defaultdict
from contextlib import contextmanager
from functools import _lru_cache_wrapper, cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple
from weakref import WeakSet

import cachepoint
from cachepoint.core.guard import guard

HOME = Path(cachepoint.__file__).parent
# What a call of a user's process reaches; not what stands in for Bedrock, nor commands.
NOT_OURS = ("cachepoint.emulator", "cachepoint.cli", "cachepoint.testing")
MODULES = ("cachepoint",)
# They hold a guard, or nothing but what Python or botocore calls.
CLIENTS = (
    "cachepoint.aws.client:CachingClient.converse",
    "cachepoint.aws.client:CachingClient.converse_stream",
    "cachepoint.aws.client:CachingClient.invoke_model",
    "cachepoint.aws.client:CachingClient.invoke_model_with_response_stream",
    "cachepoint.aws.client:CachingClient._send",
    "cachepoint.aws.async_client:AsyncCachingClient.converse",
    "cachepoint.aws.async_client:AsyncCachingClient.converse_stream",
    "cachepoint.aws.async_client:AsyncCachingClient.invoke_model",
    "cachepoint.aws.async_client:AsyncCachingClient.invoke_model_with_response_stream",
    "cachepoint.aws.async_client:AsyncCachingClient._send",
    "cachepoint.aws.answers:SettlingBody.read",
    "cachepoint.aws.answers:SettlingBody.readinto",
    "cachepoint.aws.answers:SettlingBody.readlines",
    "cachepoint.aws.answers:SettlingBody.__iter__",
    "cachepoint.aws.answers:SettlingBody.__enter__",
    "cachepoint.aws.answers:SettlingBody.__exit__",
    "cachepoint.aws.answers:SettlingBody.close",
    "cachepoint.aws.answers:AsyncSettlingBody.read",
    "cachepoint.aws.answers:AsyncSettlingBody.__aenter__",
    "cachepoint.aws.answers:AsyncSettlingBody.__aexit__",
    "cachepoint.aws.answers:SettlingSource.__getattr__",
    "cachepoint.aws.streams:SettlingStream.__iter__",
    "cachepoint.aws.streams:AsyncSettlingStream.__aiter__",
    "cachepoint.aws.streams:Settling.close",
    "cachepoint.aws.inside:heard",
    "cachepoint.aws.inside:_after_call",
    "cachepoint.aws.inside:_parsed",
    "cachepoint.aws.ttl:_put_right",
    "cachepoint.aws.carrier:Carrier.__getattr__",
    # Run by the collector, who tells nobody but stderr.
    "cachepoint.core.flights:Flight.__del__",
    "cachepoint.core.guard:Guard.__call__",
    "cachepoint.core.guard:Guard.awaited",
)


class Place(NamedTuple):
    """A function by where it stands. `str()` is `module:qualified name`."""

    module: str
    name: str
    line: int

    def __str__(self):
        return f"{self.module}:{self.name}"


def reached(run, modules=MODULES):
    """The places in `modules` that `run()` reaches, in all threads that it begins."""
    places, inside = {}, _inside(modules)

    def see(frame, event, _):
        if event == "call" and (place := _place(frame.f_code)) and inside(place):
            places[place] = None

    before = sys.getprofile()
    threading.setprofile(see)
    sys.setprofile(see)
    try:
        run()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return list(places)


@contextmanager
def made_to_raise(place, functions=None):
    """Whoever calls `place` in the block gets a RuntimeError: at the call, or at its first step or `await`."""
    there = [f for f in functions or ours() if _module(f.__code__.co_filename) == place.module]
    hit = [(f, f.__code__) for f in there]
    for function, code in hit:
        function.__code__ = _without(code, place)
    try:
        yield
    finally:
        for function, code in hit:
            function.__code__ = code


def check(run, plain, *, make=lambda: None, modules=MODULES, entries=()):
    """Make each place that `run(make())` reaches raise, and compare.

    Args:
        run: Makes a call and returns what is compared. Called with what `make` made.
        plain: What `run` returns with the base class in the place of ours.
        make: Builds what is called; nothing raises while it does.
        modules: Names of the modules or packages whose functions are made to raise.
        entries: `module:qualified name` of the entry points that hold a guard, and of the guard: left out.

    Returns:
        The places that were tried.
    """
    cold()
    subject = make()
    assert run(subject) == plain
    cold()
    subject = make()
    places = [p for p in reached(lambda: run(subject), modules) if str(p) not in entries]
    with _aside() as functions:
        failed = [f"{p} {why}" for p in places if (why := _failure(run, plain, make, p, functions))]
    assert not failed, f"{len(failed)} of {len(places)} fail the call:\n" + "\n".join(failed)
    return places


def are_short(entries, most=10):
    """Whether the entry points that hold a guard have at most `most` lines, docstrings aside."""
    long = {entry: lines for entry in entries if (lines := _lines(entry)) > most}
    assert not long, long


def cold(within="cachepoint"):
    """Empty what our functions in a module or package remember, and let the next fault be the first."""
    inside = f"{within}."
    for module in [m for name, m in sys.modules.items() if name == within or name.startswith(inside)]:
        for wrapper in [o for o in vars(module).values() if isinstance(o, _lru_cache_wrapper)]:
            wrapper.cache_clear()
    guard.faults = 0


def ours():
    """All functions of ours that are alive."""
    gc.unfreeze()
    found = _unfrozen()
    gc.freeze()
    return found


def _unfrozen():
    return [o for o in gc.get_objects() if isinstance(o, FunctionType) and _place(o.__code__)]


@contextmanager
def _aside():
    """Gives all functions of ours that are alive in a module; each time only what is new is looked through."""
    known = defaultdict(WeakSet)

    def functions(module):
        for function in _unfrozen():
            known[_module(function.__code__.co_filename)].add(function)
        gc.freeze()
        return list(known[module])

    gc.unfreeze()
    functions("")
    try:
        yield functions
    finally:
        gc.unfreeze()


def _failure(run, plain, make, place, functions):
    # What a function of another module remembers stands in nobody's way.
    cold(place.module)
    subject = make()
    with made_to_raise(place, functions(place.module)), _warnings() as said:
        try:
            answer = run(subject)
        except Exception as error:
            return f"raises {type(error).__name__}: {error}"
    if answer != plain:
        return f"answers {answer!r}, not {plain!r}"
    return f"warns {len(said)} times: {said}" if len(said) > 1 else None


@contextmanager
def _warnings():
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("cachepoint")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


def _place(code):
    """None for what is not ours, and for bodies of modules and classes."""
    module = _module(code.co_filename)
    if not code.co_flags & inspect.CO_OPTIMIZED or module is None:
        return None
    return Place(module, code.co_qualname, code.co_firstlineno)


@cache
def _module(filename):
    if not filename.startswith(f"{HOME}/"):
        return None
    parts = Path(filename).relative_to(HOME.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _inside(modules):
    def under(place, names):
        return any(f"{place.module}.".startswith(f"{name}.") for name in names)

    return lambda place: under(place, modules) and not under(place, NOT_OURS)


def _without(code, place):
    """The code with that of `place`, itself or within, replaced by one that raises."""
    if code.co_firstlineno == place.line and _place(code) == place:
        return _raising(code)
    within = tuple(_without(c, place) if isinstance(c, CodeType) else c for c in code.co_consts)
    if all(a is b for a, b in zip(within, code.co_consts, strict=True)):
        return code
    return code.replace(co_consts=within)


def _raising(code):
    kinds = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
    return _RAISING[code.co_flags & kinds].replace(
        co_freevars=code.co_freevars,
        co_name=code.co_name,
        co_qualname=code.co_qualname,
        co_filename=code.co_filename,
        co_firstlineno=code.co_firstlineno,
    )


# Their globals are those of the function whose code they become: no name but a builtin is there.
def _function(*_, **__):
    raise RuntimeError("made to raise")


def _generator(*_, **__):
    raise RuntimeError("made to raise")
    yield


async def _coroutine(*_, **__):
    raise RuntimeError("made to raise")


async def _async_generator(*_, **__):
    raise RuntimeError("made to raise")
    yield


_RAISING = {
    0: _function.__code__,
    inspect.CO_GENERATOR: _generator.__code__,
    inspect.CO_COROUTINE: _coroutine.__code__,
    inspect.CO_ASYNC_GENERATOR: _async_generator.__code__,
}


def _lines(entry):
    module, name = entry.split(":")
    function = importlib.import_module(module)
    for part in name.split("."):
        function = inspect.getattr_static(function, part)
    function = getattr(function, "fget", None) or inspect.unwrap(getattr(function, "__func__", function))
    body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0].body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0
