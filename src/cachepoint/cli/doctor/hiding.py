"""What is never shown, also not where an error quotes it."""

from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

# Values that tell nothing and may be shown; of a URL the host alone. All others are named, and no more.
_OPEN = (
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
)
CLOSED = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "CACHEPOINT_KEY",
)
_MEMORY = "CACHEPOINT_MEMORY"
_HIDDEN = "***"
# A shorter one would be found in words.
_LEAST = 4


def shown(environ: Mapping[str, str], ours: Mapping[str, object]) -> dict[str, str | None]:
    """The variables that matter, with the values that may be shown.

    Args:
        environ: The environment.
        ours: The variables of options: their values may be shown.
    """
    names = [name for name in environ if name.startswith("CACHEPOINT_") or name in {*_OPEN, *CLOSED}]
    return {name: _value(name, environ[name], ours) for name in sorted(names)}


def _value(name: str, value: str, ours: Mapping[str, object]) -> str | None:
    if name == _MEMORY or name.startswith("AWS_ENDPOINT_URL"):
        return place(value)
    return value if name in ours or name in _OPEN else None


def place(url: str) -> str | None:
    """A URL without user, password and query; None where it can't be read."""
    try:
        split = urlsplit(url)
        where = f"{split.hostname or ''}{f':{split.port}' if split.port else ''}"
    except ValueError:
        return None
    return f"{split.scheme}://{where}{split.path}" if split.scheme and (where or split.path) else None


def hidden(text: str, environ: Mapping[str, str]) -> str:
    """A text in which every secret of the environment is blotted out."""
    for secret in sorted(_secrets(environ), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    held = [part for name in CLOSED for part in (environ.get(name, ""), *environ.get(name, "").split(","))]
    held += _of_url(environ.get(_MEMORY, ""))
    yield from {one for part in held for one in (part, unquote(part)) if len(one) >= _LEAST}


def _of_url(url: str) -> list[str]:
    """What a URL may hold of secrets: the password, what stands in front of the host, its options."""
    rest, _, query = url.partition("://")[2].partition("?")
    login = rest.rpartition("@")[0]
    inside = [login, login.partition(":")[2], *(option.partition("=")[2] for option in query.split("&"))]
    return [url, *inside] if any(inside) else []
