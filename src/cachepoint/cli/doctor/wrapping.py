"""Who wraps a client of boto3: tracers put themselves around its methods or around what makes it."""

from collections.abc import Iterator
from typing import Any

# A chain of wrappers is not longer than this.
_MOST = 10


def wrappers(client: Any) -> tuple[str, ...]:
    """The modules whose functions are around a client, each once.

    OpenTelemetry's instrumentation of botocore wraps `BaseClient._make_api_call`;
    OpenInference and OpenLLMetry wrap what makes clients, and the methods of the client that is made.
    Seen so with opentelemetry-instrumentation-botocore 0.66b2, openinference-instrumentation-bedrock 0.1.61,
    and opentelemetry-instrumentation-bedrock 0.62.4 (2026-11).
    """
    from botocore.client import BaseClient, ClientCreator

    around = [getattr(client, name, None) for name in ("converse", "converse_stream", "invoke_model")]
    around += [vars(BaseClient).get("_make_api_call"), vars(ClientCreator).get("create_client")]
    modules = (module for function in around for module in _around(function))
    return tuple(dict.fromkeys(module for module in modules if not module.startswith("botocore")))


def _around(function: Any) -> Iterator[str]:
    """The modules of a function and of what it wraps, from the outside."""
    for _ in range(_MOST):
        if function is None:
            return
        yield _module(function)
        function = getattr(function, "__wrapped__", None)


def _module(function: Any) -> str:
    """Where the code is that runs first: `functools.wraps` and wrapt pose as what they wrap."""
    code = getattr(function, "_self_wrapper", None) or getattr(function, "__func__", function)
    code = getattr(code, "__func__", code)
    found = getattr(code, "__globals__", {}).get("__name__") or getattr(type(code), "__module__", "")
    return str(found)
