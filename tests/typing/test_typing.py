"""pyright flags what mypy does: the lines of this folder that ignore an error, and no others.

mypy itself runs in `make check`, where an ignore that ignores nothing is an error.
"""

import inspect
import json
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from llama_index.llms.bedrock_converse import BedrockConverse

import cachepoint
import cachepoint.langchain
import cachepoint.llama_index
import cachepoint.testing
from cachepoint.core.policy import CachePolicy, PolicyOptions
from cachepoint.langchain import CachedChatAnthropicBedrock

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHECKED = ("api.py", "old.py", "wrong.py")
# pyright itself would load its checker from npm; basedpyright is the same checker, in a wheel.
PYRIGHT = shutil.which("basedpyright", path=str(Path(sys.executable).parent)) or shutil.which("basedpyright")
SETTINGS = {
    "include": [str(HERE / name) for name in CHECKED],
    "extraPaths": [str(ROOT / "src")],
    "typeCheckingMode": "standard",
    "enableTypeIgnoreComments": False,
    "reportDeprecated": "error",
}


def ignored():
    """The lines that ignore an error of mypy's."""
    lines = {name: (HERE / name).read_text("utf-8").splitlines() for name in CHECKED}
    return {
        (name, n) for name in CHECKED for n, text in enumerate(lines[name], 1) if "# type: ignore[" in text
    }


@pytest.mark.skipif(PYRIGHT is None, reason="basedpyright is not installed")
def test_pyright_flags_the_wrong_uses_and_no_right_ones(tmp_path):
    settings = tmp_path / "pyrightconfig.json"
    settings.write_text(json.dumps(SETTINGS))
    command = [PYRIGHT, "--outputjson", "-p", settings, "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    told = json.loads(done.stdout)["generalDiagnostics"]
    assert {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in told} == ignored()


def test_there_are_wrong_uses_of_every_class():
    wrong = (HERE / "wrong.py").read_text("utf-8")
    classes = (
        "CachedChatBedrockConverse(model=",
        "CachedChatBedrock(model=",
        "CachedChatAnthropicBedrock(model=",
        "CachedBedrockConverse(model=",
        "CachingClient(",
        "AsyncCachingClient(",
        "PromptCache(",
        "CachePolicy(",
        "CachepointMiddleware(",
    )
    assert [name for name in classes if f"\n{name}" not in wrong] == []
    assert len([where for where in ignored() if where[0] == "wrong.py"]) >= 30


def test_the_typed_constructor_of_llama_index_names_upstream_s_arguments():
    """It is written out for type checkers: another release of upstream may have others."""
    source = inspect.getsource(sys.modules[cachepoint.llama_index.CachedBedrockConverse.__module__])
    typed = source.split("if TYPE_CHECKING:", 1)[1].split(") -> None: ...", 1)[0]
    named = [
        line.split(":")[0].strip()
        for line in typed.splitlines()
        if (": " in line and "=" in line) or "model: " in line
    ]
    upstream = [name for name in inspect.signature(BedrockConverse.__init__).parameters if name != "self"]
    ours = ["cache_policy", "prompt_cache"]
    assert [name for name in named if name not in ours] == upstream


def test_what_is_typed_anew_of_anthropic_s_is_there_by_that_name():
    fields_of = CachedChatAnthropicBedrock.model_fields
    assert [fields_of[name].alias for name in ("default_request_timeout", "stop_sequences")] == [
        "timeout",
        "stop",
    ]
    assert {"model", "max_tokens"} <= fields_of.keys()
    assert CachedChatAnthropicBedrock.model_config["populate_by_name"]


def test_the_options_of_a_policy_are_typed_as_its_fields():
    assert list(PolicyOptions.__annotations__) == [f.name for f in fields(CachePolicy)]
    assert list(PolicyOptions.__annotations__.values()) == [f.type for f in fields(CachePolicy)]


@pytest.mark.parametrize("module", [cachepoint, cachepoint.langchain, cachepoint.testing])
def test_every_public_name_completes_and_is_there(module):
    named = set(module.__all__)
    assert named <= set(dir(module))
    assert [name for name in named if getattr(module, name, None) is None] == []


def test_help_names_the_options():
    assert "cache_policy" in str(inspect.signature(cachepoint.langchain.CachedChatBedrockConverse))
    assert "cache_policy" in str(inspect.signature(cachepoint.llama_index.CachedBedrockConverse))
    assert "memory" in str(inspect.signature(cachepoint.PromptCache))
