"""The adapters on which the contract runs."""

import gc
import importlib
import warnings

import pytest

from cachepoint import PromptCache
from tests.adapters.contract import CLAUDE

# Module of the harness, its class, and the framework without which it is left out.
ADAPTERS = (
    ("tests.adapters.langchain_adapter", "LangChainAdapter", "langchain_aws"),
    ("tests.adapters.invoke_adapter", "InvokeAdapter", "langchain_aws"),
    ("tests.adapters.anthropic_adapter", "AnthropicAdapter", "langchain_anthropic"),
    ("tests.adapters.llama_index_adapter", "LlamaIndexAdapter", "llama_index.llms.bedrock_converse"),
)


def _present():
    for module, name, framework in ADAPTERS:
        try:
            importlib.import_module(framework)
            harness = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not (framework.startswith(error.name) or error.name == module):
                raise
            continue
        yield getattr(harness, name)()


PRESENT = tuple(_present())


def pytest_generate_tests(metafunc):
    wanted = [name for name in ("adapter", "mode", "shape", "attempt") if name in metafunc.fixturenames]
    if "adapter" not in wanted:
        return
    rows = [(adapter, extra) for adapter in PRESENT for extra in _extras(adapter, wanted)]
    ids = ["-".join((a.name, *_label(n, extra))) for n, (a, extra) in enumerate(rows)]
    metafunc.parametrize(
        ",".join(wanted), [row[: len(wanted)] if len(wanted) > 1 else row[0] for row in rows], ids=ids
    )


def _label(number, extra):
    if extra is None:
        return ()
    return (extra if isinstance(extra, str) else getattr(extra, "name", str(number)),)


def _extras(adapter, wanted):
    source = {"mode": "modes", "shape": "shapes", "attempt": "misspelt"}
    return getattr(adapter, source[wanted[1]]) if len(wanted) > 1 else (None,)


@pytest.fixture
def cache(bedrock):
    """A PromptCache that knows nothing yet and tells the time as the emulator does."""
    return PromptCache(clock=bedrock.now)


@pytest.fixture
def build(bedrock, cache, request):
    """Makes models of LangChain; the test's module names in BUILT the class that is made where none is."""
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}
    built = request.module.BUILT

    def build(cls=built, model=CLAUDE, **options):
        ours = {"prompt_cache": cache} if cls is built else {}
        return cls(**{**clients, **ours, "model": model, **options})

    return build


@pytest.fixture
def llm(build):
    return build()


@pytest.fixture
def collected():
    """Nothing is left of a test: the warning of it would fail one of another module."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
