"""The pytest plugin: the fixtures `bedrock` and `cache_calls`, and the marker `moves_prefix`.

It is loaded in every run of pytest of whoever installs the package: what a fixture needs is imported in it.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cachepoint.core.accounting.report import CallReport
    from cachepoint.emulator import BedrockEmulator
    from cachepoint.testing.cache_calls import CacheCalls

_STABLE = "cachepoint_prefix_stable"
_MOVES = "moves_prefix"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Have tests looked at that do not ask for it."""
    said = (
        "every test that uses `bedrock` ends with assert_prefix_stable(), but those marked with moves_prefix"
    )
    parser.addini(_STABLE, said, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Let `--strict-markers` know the marker."""
    config.addinivalue_line(
        "markers", f"{_MOVES}: the test means to change tools, system prompt or history between calls"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """With `cachepoint_prefix_stable`, a test that moves a prefix fails."""
    result = yield
    bedrock = (getattr(item, "funcargs", None) or {}).get("bedrock")
    if bedrock is not None and item.config.getini(_STABLE) and item.get_closest_marker(_MOVES) is None:
        _stay(bedrock)
    return result


def _stay(bedrock: "BedrockEmulator") -> None:
    from cachepoint.testing.cache_calls import CacheCalls
    from cachepoint.testing.calls import collected

    calls = CacheCalls(lambda: collected(bedrock.calls, ()))
    try:
        if calls:
            calls.assert_prefix_stable()
    except AssertionError as moved:
        pytest.fail(str(moved), pytrace=False)


@pytest.fixture
def bedrock_options() -> dict[str, Any]:
    """What `BedrockEmulator` is given: write a fixture of this name to have it behave otherwise."""
    return {}


@pytest.fixture
def bedrock(bedrock_options: dict[str, Any]) -> "Iterator[BedrockEmulator]":
    """A local Bedrock, which every client in the test calls. Its clock is that of every `PromptCache`, too.

    `bedrock.advance(301)` moves it, `bedrock.calls` are the requests it answered or refused.
    """
    from cachepoint.testing.local import local_bedrock

    with local_bedrock(**bedrock_options) as emulator:
        yield emulator


@pytest.fixture
def _cache_reports() -> "Iterator[list[CallReport]]":
    """What our caches say of the calls of this test."""
    from cachepoint.testing.calls import listening

    with listening() as reports:
        yield reports


@pytest.fixture
def cache_calls(bedrock: "BedrockEmulator", _cache_reports: "list[CallReport]") -> "CacheCalls":
    """Every call that `bedrock` answered in this test, and what can be asserted of them.

    `assert_cached()`, `assert_prefix_stable()`, and `layout()` for snapshots.
    """
    from cachepoint.testing.cache_calls import CacheCalls
    from cachepoint.testing.calls import collected

    return CacheCalls(lambda: collected(bedrock.calls, _cache_reports))
