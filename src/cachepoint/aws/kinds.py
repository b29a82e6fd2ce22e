"""What kind of client it is that was given. Stubs may be anything, and are let alone."""

import sys
from inspect import iscoroutinefunction
from typing import Any


def service_model(client: Any) -> Any:
    """The model by which a client's botocore checks; None where it is no botocore client, but a stub."""
    model = getattr(getattr(client, "meta", None), "service_model", None)
    # What nobody has imported made no client.
    botocore = sys.modules.get("botocore.model")
    return model if botocore is not None and isinstance(model, botocore.ServiceModel) else None


def is_botocores(client: Any) -> bool:
    """Whether botocore or aiobotocore made the client, and nobody wrapped it."""
    botocore = sys.modules.get("botocore.client")
    return botocore is not None and isinstance(client, botocore.BaseClient)


def is_awaited(client: Any, operation: str) -> bool | None:
    """Whether what `client.operation(...)` gives is to be awaited; None where that can't be seen."""
    if iscoroutinefunction(getattr(client, operation, None)):
        return True
    if is_botocores(client):
        # The methods of aiobotocore are plain functions that give coroutines.
        return hasattr(client, "__aenter__")
    ours: bool | None = getattr(type(client), "awaited", None)
    return ours


# By the module whose StreamingBody it is, where a body keeps what it reads from.
_SOURCES = {"botocore.response": "_raw_stream", "aiobotocore.response": "content"}


def reads_from(body: Any) -> str | None:
    """The attribute of an answer's body that holds what it reads from; None where the body is a stub's."""
    for name, source in _SOURCES.items():
        kind = getattr(sys.modules.get(name), "StreamingBody", None)
        # An object proxy lies about its class, not about its type.
        if kind is not None and issubclass(type(body), kind) and hasattr(body, source):
            return source
    return None
