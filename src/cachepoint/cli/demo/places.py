"""Where a job runs: on an emulator of its own, or on the real service."""

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
from botocore.config import Config

from cachepoint.cli.demo.script import agent_script
from cachepoint.core.accounting.usage import Usage
from cachepoint.emulator import BedrockEmulator, TextResponder

_SERVICES = ("bedrock-runtime", "bedrock")
_RESPONDERS: Mapping[str, Any] = {"agent": agent_script}


@dataclass(frozen=True, slots=True)
class Stage:
    """A client, and what the service counted of its calls so far.

    `control` is the control plane's client: LangChain makes one of its own where it is given none, and looks
    for credentials all over the machine. `usages` has None for a refused call. `began` is in seconds since
    1970.
    """

    client: Any
    control: Any
    usages: Callable[[], tuple[Usage | None, ...]]
    began: float


class Place(Protocol):
    """Opens a stage for one run of a job."""

    def open(self, job: str) -> AbstractContextManager[Stage]:
        """A stage that holds nothing of another run."""


class Local:
    """A fresh emulator per run. Nothing leaves 127.0.0.1: neither credentials nor proxies are looked up.

    `options` are those of the emulator.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options

    @contextmanager
    def open(self, job: str) -> Iterator[Stage]:
        """An emulator that plays the model of this job."""
        responder = _RESPONDERS.get(job, TextResponder())
        with BedrockEmulator(responder=responder, **self._options) as bedrock:
            client, control = (_local(service, bedrock.url) for service in _SERVICES)
            yield Stage(client, control, lambda: _read(call.usage for call in bedrock.calls), time.time())


class Aws:
    """The real service, with the region and the credentials of the environment."""

    def __init__(self) -> None:
        # boto3 reads AWS_DEFAULT_REGION alone; langchain-aws and the other SDKs know AWS_REGION.
        self._session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        if self._session.region_name is None:
            raise ValueError("no region is set: set AWS_REGION, or a region in the profile of AWS_PROFILE")
        if self._session.get_credentials() is None:
            raise ValueError("there are no AWS credentials: set AWS_PROFILE, or sign in with `aws login`")

    @property
    def region(self) -> str:
        """Where the calls go."""
        return str(self._session.region_name)

    @contextmanager
    def open(self, job: str) -> Iterator[Stage]:  # noqa: ARG002
        """A client that keeps the usage of each of its answers."""
        client, control = (self._session.client(service) for service in _SERVICES)
        seen: list[Any] = []
        client.meta.events.register(
            "after-call.bedrock-runtime", lambda parsed, **_: seen.append(parsed.get("usage"))
        )
        client.meta.events.register("provide-client-params.bedrock-runtime.Converse", _apart())
        yield Stage(client, control, lambda: _read(seen), time.time())


def _apart() -> Callable[..., dict[str, Any]]:
    """A line of this run's own in front, so that nothing is read that another framework or run wrote."""
    line = {"text": f"Run {secrets.token_hex(4)}."}
    return lambda params, **_: params | {"system": [line, *params.get("system", ())]}


def _local(service: str, url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )


def _read(wire: Iterable[Any]) -> tuple[Usage | None, ...]:
    return tuple(Usage.from_converse({"usage": usage}) for usage in wire)
