"""What boto3 knows, and what is around its client."""

from collections.abc import Iterator

from cachepoint.cli.doctor.findings import Finding
from cachepoint.cli.doctor.service import refused
from cachepoint.cli.doctor.setup import Boto, Setup

_POINT = "CachePointBlock"
_UPGRADE = 'pip install -U "boto3>=1.40"'
# What matters to caching: what it is called, its shape and member in botocore, what is lost without it.
_KNOWN = (
    ("TTLs of checkpoints", _POINT, "ttl", "1h is put past its check all the same"),
    (
        "writes by TTL",
        "TokenUsage",
        "cacheDetails",
        "a report takes writes to be of the TTL that was planned",
    ),
    ("service tiers", "ConverseRequest", "serviceTier", "flex and priority can't be asked for"),
    ("JSON schemas of answers", "ConverseRequest", "outputConfig", "they can't be asked for"),
)
# Distributions that trace calls of boto3, by what they are called in a program (2026-11).
TRACERS = (
    "opentelemetry-instrumentation-botocore",
    "openinference-instrumentation-bedrock",
    "opentelemetry-instrumentation-bedrock",
    "ddtrace",
    "aws-xray-sdk",
)


def boto3(setup: Setup) -> Iterator[Finding]:
    """Whether it lets checkpoints pass, and what else it knows."""
    boto = setup.boto
    if boto is None:
        return
    if boto.fault is not None:
        yield refused(f"boto3 {boto.version} makes no client of bedrock-runtime", boto.fault)
    elif _POINT not in boto.shapes:
        yield Finding(
            "fault",
            f"boto3 {boto.version} knows no prompt caching: Converse calls go out without checkpoints",
            _UPGRADE,
        )
    else:
        yield _knows(boto)


def _knows(boto: Boto) -> Finding:
    lacks = [(name, cost) for name, shape, member, cost in _KNOWN if member not in boto.shapes.get(shape, ())]
    unknown = {name for name, _ in lacks}
    known = ", ".join(["checkpoints", *(name for name, *_ in _KNOWN if name not in unknown)])
    what = f"boto3 {boto.version} knows {known}"
    if not lacks:
        return Finding("ok", what)
    return Finding(
        "note", f"{what}; not {'; not '.join(f'{n} ({c})' for n, c in lacks)}", "pip install -U boto3"
    )


def instrumentation(setup: Setup) -> Iterator[Finding]:
    """Whether something that traces wraps the client."""
    boto = setup.boto
    if boto is None or boto.fault is not None:
        return
    there = [f"{name} {setup.versions[name]}" for name in TRACERS if name in setup.versions]
    if boto.wrappers:
        yield Finding(
            "note",
            f"{', '.join(boto.wrappers)} wraps the client of boto3; caching goes on as without it",
            "for the figures of each call on its spans: "
            "cachepoint.configure(observers=[cachepoint.observers.otel()])",
        )
    elif there:
        yield Finding(
            "ok",
            f"nothing wraps the client in this process; installed: {', '.join(there)}",
            "to see what wraps it in your program, start this as you start that (opentelemetry-instrument)",
        )
    else:
        yield Finding("ok", "no instrumentation wraps the client")
