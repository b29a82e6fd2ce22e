"""The shell: asks Python, boto3, the memory and, where it is told to, AWS, and decides nothing."""

import logging
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from cachepoint.cli.doctor.boto import TRACERS
from cachepoint.cli.doctor.hiding import hidden, place, shown
from cachepoint.cli.doctor.installed import SHOWN, requirements
from cachepoint.cli.doctor.setup import Asked, Boto, Refusal, Remembering, Service, Setup
from cachepoint.cli.doctor.wrapping import wrappers
from cachepoint.core.models.rules import base_model, is_hidden
from cachepoint.core.policy import resolved, variables

# Seconds that the memory may take to answer.
_PATIENCE = 2.0
_BRACKETED = re.compile(r"\((.+)\)")


def gathered(asked: Asked | None, *, ask_aws: bool, region: str | None, endpoint_url: str | None) -> Setup:
    """What is so here and now.

    Args:
        asked: The model that is asked about.
        ask_aws: Whether AWS is asked; nothing else here leaves the machine but what the memory takes.
        region: The Region that is asked; None: as boto3 finds it.
        endpoint_url: Another endpoint than AWS's.
    """
    with _heard() as said:
        wants = requirements(_own_requirements())
        return Setup(
            python=platform.python_version(),
            versions=_versions({*SHOWN, *TRACERS, *(want.name for want in wants)}),
            requirements=wants,
            variables=shown(os.environ, variables()),
            policy=resolved(),
            boto=_boto(),
            asked=asked,
            memory=_memory(os.environ, said),
            service=_service(asked, region, endpoint_url) if ask_aws else None,
            at=time.time(),
        )


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What our logger says meanwhile: the findings say it, and standard error need not."""
    said: list[str] = []
    logger, handler = logging.getLogger("cachepoint"), _Ear(said)
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


class _Ear(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


def _own_requirements() -> list[str]:
    try:
        return metadata.requires("cachepoint") or []
    except metadata.PackageNotFoundError:
        return []


def _versions(names: set[str]) -> dict[str, str]:
    found = {}
    for name in sorted(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _boto() -> Boto | None:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        return None
    try:
        # Nothing is sent with these; without them boto3 would look for its own, on the network too.
        client = boto3.Session().client(
            "bedrock-runtime",
            region_name="us-east-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106
            config=Config(defaults_mode="legacy"),
        )
        model = client.meta.service_model
        shapes = {name: frozenset(_members(model.shape_for(name))) for name in model.shape_names}
        return Boto(boto3.__version__, shapes, wrappers(client))
    except Exception as error:
        return Boto(boto3.__version__, fault=_refusal(error))


def _members(shape: Any) -> Any:
    return getattr(shape, "members", ())


def _memory(environ: Mapping[str, str], said: list[str]) -> Remembering:
    url = environ.get("CACHEPOINT_MEMORY")
    if not url:
        return Remembering()
    where = place(url) or "CACHEPOINT_MEMORY"
    import cachepoint.memory as memories

    connect = getattr(memories, "connect", None)
    if connect is None:
        return Remembering("unknown", where)
    try:
        made = connect(url)
    except Exception as error:
        return Remembering("refused", where, _words(error))
    try:
        return _asked(made, where, said)
    except Exception as error:
        return Remembering("gone", where, _words(error))
    finally:
        made.close()


def _asked(made: Any, where: str, said: list[str]) -> Remembering:
    """Twice: the first answer takes as long as a connection does."""
    if not made.open(_PATIENCE):
        return Remembering("gone", where, hidden(_reason(said), os.environ))
    began = time.perf_counter()
    answers = made.open(_PATIENCE)
    return Remembering("answers" if answers else "gone", where, "", time.perf_counter() - began)


def _reason(said: list[str]) -> str:
    """Why the memory is not used, of what our logger said of it: that stands in brackets."""
    found = _BRACKETED.search(said[-1]) if said else None
    return said[-1] if said and found is None else "" if found is None else found[1]


def _service(asked: Asked | None, region: str | None, endpoint_url: str | None) -> Service:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        return Service()
    try:
        session = boto3.Session(region_name=region)
        credentials, named = _credentials(session), session.region_name or ""
    except Exception as error:
        return Service(refusal=_refusal(error))
    if asked is None or not credentials or not named:
        return Service(credentials, named)
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60)
    given = {"region_name": named, "endpoint_url": endpoint_url, "config": config}
    return _called(session, given, asked, Service(credentials, named))


def _credentials(session: Any) -> str:
    """Where they are from: botocore's word for it."""
    if os.environ.get("AWS_BEARER_TOKEN_BEDROCK"):
        return "AWS_BEARER_TOKEN_BEDROCK"
    found = session.get_credentials()
    return "" if found is None else str(found.method)


def _called(session: Any, given: Mapping[str, Any], asked: Asked, so_far: Service) -> Service:
    """One call with one token of output, and what is behind a profile that hides it."""
    behind, why = _profile(session, given, asked)
    endpoint, refusal = "", None
    try:
        client = session.client("bedrock-runtime", **given)
        endpoint = place(client.meta.endpoint_url) or ""
        client.converse(
            modelId=asked.model,
            messages=[{"role": "user", "content": [{"text": "Hello."}]}],
            inferenceConfig={"maxTokens": 1},
        )
    except Exception as error:
        refusal = _refusal(error)
    return Service(
        so_far.credentials, so_far.region, endpoint, called=True, refusal=refusal, behind=behind, hidden=why
    )


def _profile(session: Any, given: Mapping[str, Any], asked: Asked) -> tuple[str | None, Refusal | None]:
    if asked.base is not None or not is_hidden(asked.model):
        return None, None
    try:
        control = session.client("bedrock", **given)
        profile = control.get_inference_profile(inferenceProfileIdentifier=asked.model)
        return next(filter(None, (base_model(one["modelArn"]) for one in profile["models"])), None), None
    except Exception as error:
        return None, _refusal(error)


def _refusal(error: Exception) -> Refusal:
    response = getattr(error, "response", None)
    if isinstance(response, Mapping) and "Error" in response:
        said = response["Error"]
        return Refusal(str(said.get("Code")), hidden(str(said.get("Message")), os.environ))
    return Refusal(type(error).__name__, hidden(str(error), os.environ))


def _words(error: Exception) -> str:
    return hidden(str(error) or type(error).__name__, os.environ)
