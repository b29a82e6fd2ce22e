"""A Bedrock on 127.0.0.1 that everything in this process calls, with one clock for it and for the library."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from cachepoint.aws import carrier
from cachepoint.core.cache import PromptCache
from cachepoint.core.config import going_by
from cachepoint.core.prompt.documents import changing, retrieved
from cachepoint.emulator import BedrockEmulator

_REGION = "us-east-1"
_DUMMIES = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
# What would lead elsewhere than the variables above say, or is refused beside an endpoint.
_LEADS_AWAY = (
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
)
_BEDROCK = re.compile(
    r"(?:^|\.)bedrock(?:-runtime)?(?:-fips)?\..*\b(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws)$"
)


@contextmanager
def local_bedrock(**options: Any) -> Iterator[BedrockEmulator]:
    """What the fixture `bedrock` gives, for tests that are none of pytest's fixtures.

    Inside, clients that name no endpoint call the emulator, and so does what was built before and would
    call AWS. Every `PromptCache` without a clock of its own goes by the emulator's. The cache that the
    process shares is a new one, and what is announced as a document is forgotten at the end.

    Args:
        options: Those of `BedrockEmulator`.

    Raises:
        ValueError: Where an option is not valid.
    """
    with ExitStack() as stack:
        bedrock = stack.enter_context(BedrockEmulator(**options))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        _point(patch, bedrock.url)
        _turn_back(patch, bedrock.url)
        stack.enter_context(going_by(bedrock.now))
        patch.setattr(carrier, "_SHARED", PromptCache())
        for announced in (retrieved, changing):
            stack.enter_context(announced.for_a_while())
        yield bedrock


def _point(patch: pytest.MonkeyPatch, url: str) -> None:
    """Have clients that are built from now on call `url`, in the Region that is set or else in us-east-1."""
    for name in _LEADS_AWAY:
        patch.delenv(name, raising=False)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or _REGION
    regions = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    urls = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url, "AWS_ENDPOINT_URL_BEDROCK": url}
    for name, value in {**_DUMMIES, **regions, **urls}.items():
        patch.setenv(name, value)
    # A proxy is not on this machine.
    for name in ("NO_PROXY", "no_proxy"):
        patch.setenv(name, ",".join(filter(None, (os.environ.get(name), "127.0.0.1"))))


def _turn_back(patch: pytest.MonkeyPatch, url: str) -> None:
    """Have clients that were built before, such as those of a module, call `url` instead of Bedrock."""
    for module, session in (
        ("botocore.httpsession", "URLLib3Session"),
        ("aiobotocore.httpsession", "AIOHTTPSession"),
    ):
        try:
            kind = getattr(__import__(module, fromlist=[session]), session)
        except (ImportError, AttributeError):
            continue
        # One of botocore's is ready as it is made; this one knows no proxy.
        direct = kind() if session == "URLLib3Session" else None
        patch.setattr(kind, "send", _turned(kind.send, url, direct))
    with suppress(ImportError):
        from botocore.signers import RequestSigner  # noqa: PLC0415 -- it may not be there

        patch.setattr(RequestSigner, "sign", _signed(RequestSigner.sign))


def _signed(sign: Callable[..., Any]) -> Callable[..., Any]:
    """What was built where there were no credentials signs with made-up ones."""
    from botocore.credentials import Credentials  # noqa: PLC0415

    def signed(signer: Any, *args: Any, **kwargs: Any) -> Any:
        given = signer._credentials  # noqa: SLF001
        signer._credentials = given or Credentials("local", "local")  # noqa: SLF001
        try:
            return sign(signer, *args, **kwargs)
        finally:
            signer._credentials = given  # noqa: SLF001

    return signed


def _turned(send: Callable[[Any, Any], Any], url: str, direct: Any = None) -> Callable[[Any, Any], Any]:
    def sent(session: Any, request: Any) -> Any:
        asked = urlsplit(request.url)
        if _BEDROCK.search(asked.hostname or ""):
            request.url = url + asked._replace(scheme="", netloc="").geturl()
            return send(direct or session, request)
        return send(session, request)

    return sent
