"""What is installed, and whether it is what our extras want."""

import re
from collections.abc import Iterable, Iterator, Mapping

from cachepoint.cli.doctor.findings import Finding
from cachepoint.cli.doctor.setup import Requirement, Setup, Version

# What people ask about, in the order in which it is shown.
SHOWN = (
    "cachepoint",
    "boto3",
    "botocore",
    "aioboto3",
    "langchain",
    "langchain-core",
    "langchain-aws",
    "anthropic",
    "llama-index-core",
    "llama-index-llms-bedrock-converse",
    "redis",
    "opentelemetry-api",
    "genai-prices",
)
# A framework, the extra that joins us to it, and what that extra brings.
_FRAMEWORKS = (
    ("langchain-core", "langchain", "langchain-aws"),
    ("llama-index-core", "llama-index", "llama-index-llms-bedrock-converse"),
)
# Extras that calls go through. What is wrong with boto3 is said where it is asked what it knows.
_CARRIERS = frozenset({"langchain", "anthropic", "llama-index"})
_ELSEWHERE = frozenset({"aws", "all", "testing"})
_REQUIRED = re.compile(
    r"^(?P<name>[\w.-]+)(?:\[[^\]]*\])?(?P<bounds>[^;]*);.*extra == ['\"](?P<extra>[\w-]+)"
)
_LEAST, _BELOW = re.compile(r">=\s*([\d.]+)"), re.compile(r"<\s*([\d.]+)")


def requirements(lines: Iterable[str]) -> tuple[Requirement, ...]:
    """What our extras want, from the lines `Requires-Dist` of our own metadata."""
    found = (_REQUIRED.match(line) for line in lines)
    return tuple(
        Requirement(one["extra"], one["name"], _bound(_LEAST, one["bounds"]), _bound(_BELOW, one["bounds"]))
        for one in found
        if one is not None and one["name"] != "cachepoint"
    )


def _bound(which: re.Pattern[str], bounds: str) -> Version:
    found = which.search(bounds)
    return () if found is None else version(found[1])


def version(text: str) -> Version:
    """The numbers that a version begins with: of 2.1.0rc1 they are 2, 1 and 0."""
    return tuple(int(number) for number in re.findall(r"\d+", text.partition("+")[0])[:3])


def installed(setup: Setup) -> Iterator[Finding]:
    """What is there, what is too old or too new, and which extra is missing."""
    yield Finding("ok", f"installed: Python {setup.python}, {_listed(setup.versions)}")
    yield from _out_of_range(setup)
    yield from _missing(setup)


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in SHOWN if name in versions)


def _out_of_range(setup: Setup) -> Iterator[Finding]:
    for want in setup.requirements:
        have = setup.versions.get(want.name)
        if have is None or want.extra in _ELSEWHERE or fits(have, want):
            continue
        yield Finding(
            "fault" if want.extra in _CARRIERS else "note",
            f"{want.name} is {have}; cachepoint[{want.extra}] needs {_range(want)}",
            f'pip install -U "cachepoint[{want.extra}]"',
        )


def fits(have: str, want: Requirement) -> bool:
    """Whether an installed version is in the range that is wanted."""
    numbers = version(have)
    return numbers >= want.least and not (want.below and numbers >= want.below)


def _range(want: Requirement) -> str:
    bounds = ((">=", want.least), ("<", want.below))
    return ", ".join(f"{sign}{'.'.join(map(str, bound))}" for sign, bound in bounds if bound)


def _missing(setup: Setup) -> Iterator[Finding]:
    """A framework that is there without what joins us to it, and no way to Bedrock at all."""
    apart = [(framework, extra) for framework, extra, joins in _FRAMEWORKS if _lacks(setup, framework, joins)]
    carried = "boto3" in setup.versions
    for framework, extra in apart:
        yield Finding(
            "note" if carried else "fault",
            f"{framework} is installed, and what cachepoint.{extra.replace('-', '_')} needs is not",
            f'pip install "cachepoint[{extra}]"',
        )
    if not carried and not apart:
        yield Finding(
            "fault",
            "boto3 is not installed: nothing can be sent to Bedrock",
            'pip install "cachepoint[aws]"; for a framework [langchain] or [llama-index] instead of [aws]',
        )


def _lacks(setup: Setup, framework: str, joins: str) -> bool:
    return framework in setup.versions and joins not in setup.versions
