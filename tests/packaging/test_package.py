"""The wheel and the source distribution: what is in them, and that they install from a folder without a network."""

import email
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
KEPT = {"README.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml"}
FOLDERS = {"src", "tests", "examples", "benchmarks", "cassettes", "docs"}
USES = """
import cachepoint
cache = cachepoint.PromptCache()
request = {"system": [{"text": "word " * 4000}], "messages": [{"role": "user", "content": [{"text": "hi"}]}]}
call = cache.prepare(request, model_id="us.anthropic.claude-sonnet-4-6")
assert "cachePoint" in call.request["system"][-1], call.plan
print(cachepoint.__version__, cachepoint.__file__)
"""

pytestmark = pytest.mark.skipif(UV is None, reason="uv is not installed")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(source, folder, *kinds):
    """Uv has the build backend in itself: it asks nobody for it."""
    run(UV, "build", "--offline", "--quiet", *kinds, "--out-dir", folder, source)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built):
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(built):
    return next(built.glob("*.tar.gz"))


def test_the_version_is_in_one_place(wheel, sdist):
    version = PROJECT["version"]
    assert (wheel.name, sdist.name) == (
        f"cachepoint-{version}-py3-none-any.whl",
        f"cachepoint-{version}.tar.gz",
    )
    written = [p for p in (ROOT / "src").rglob("*.py") if f'"{version}"' in p.read_text("utf-8")]
    assert written == []


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = {PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}

    files = (
        p for p in (ROOT / "src" / "cachepoint").rglob("*") if p.is_file() and "__pycache__" not in p.parts
    )
    package = {PurePosixPath(p.relative_to(ROOT / "src").as_posix()) for p in files}
    assert package <= names
    assert {name.parts[0] for name in names - package} == {f"cachepoint-{PROJECT['version']}.dist-info"}
    assert PurePosixPath("cachepoint/py.typed") in names


def test_the_wheel_says_what_pyproject_does(wheel):
    inside = zipfile.ZipFile(wheel)
    info = f"cachepoint-{PROJECT['version']}.dist-info"
    metadata = email.message_from_bytes(inside.read(f"{info}/METADATA"))

    assert metadata["Version"] == PROJECT["version"]
    assert metadata["License-Expression"] == PROJECT["license"]
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    assert metadata.get_payload().startswith("# cachepoint")
    assert f"{info}/licenses/LICENSE" in inside.namelist()


def test_the_source_distribution_has_what_its_tests_need(sdist):
    with tarfile.open(sdist) as inside:
        names = {
            PurePosixPath(name).relative_to(sdist.name.removesuffix(".tar.gz")) for name in inside.getnames()
        }

    tops = {name.parts[0] for name in names if name.parts}
    assert tops >= KEPT | FOLDERS
    assert {name for name in names if {"__pycache__", ".git", ".venv"} & set(name.parts)} == set()


def test_from_the_source_distribution_comes_the_same_wheel(wheel, sdist, tmp_path):
    with tarfile.open(sdist) as inside:
        inside.extractall(tmp_path, filter="data")
    source = next(tmp_path.iterdir())

    again = next(build(source, tmp_path / "again", "--wheel").glob("*.whl"))
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


@pytest.fixture
def fresh(tmp_path):
    venv.create(tmp_path / "fresh", with_pip=False)
    return tmp_path / "fresh" / "bin" / "python"


# What it depends on is not in the folder: `make bench-installs` fetches that, and installs all of it.
@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_it_installs_from_a_folder(tool, built, fresh):
    offline = ("--no-index", "--find-links", built, "--no-deps", "cachepoint")
    if tool == "pip":
        run(sys.executable, "-m", "pip", "--python", fresh, "install", "--quiet", *offline)
    else:
        run(UV, "pip", "install", "--offline", "--quiet", "--python", fresh, *offline)

    version, home = run(fresh, "-I", "-W", "error", "-c", USES).split()
    assert version == PROJECT["version"]
    assert Path(home).is_relative_to(fresh.parents[1])
