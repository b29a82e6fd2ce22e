"""Every install that README and docs name, resolved in an environment of its own, beside the stock one.

With pip and with uv, as a dry run: nothing is installed, and the registry is asked what an install asks it.
Each is resolved twice, and the second time counts, when what can be kept of the answers is kept. Then all
that the bare package needs is fetched into a folder, and it is installed from there without an index: from
the wheel, and from the source distribution.

    python benchmarks/installs.py [--only langchain] [--json]

It ends with an error where one of ours does not resolve in five minutes, or does not install from the folder.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# As written in prose and in tables, and on a line of a shell.
NAMED = re.compile(r"pip install ((?:\"[^\"\n]+\"|[\w\[\],.-]+)(?: (?:\"[^\"\n]+\"|[\w\[\],.-]+))*)")
OURS = re.compile(r"cachepoint(\[[\w,-]+\])?")
# By what we wrap, what its users have installed. Nothing of llama-index-async: upstream's [async] alone has
# pip ask for hundreds of releases of boto3 and give up (2026-11), which is no way to treat a registry.
STOCK = {
    "aws": "boto3",
    "langchain": "langchain-aws",
    "anthropic": "langchain-aws[anthropic]",
    "llama-index": "llama-index-llms-bedrock-converse",
}
SECONDS = 300
# The stock one is there to compare with: it is waited for less.
STOCK_SECONDS = 120
USES = "import cachepoint; print(cachepoint.PromptCache(), cachepoint.__version__)"


class UnresolvedError(Exception):
    """A tool finds no set of packages that fit together, or not in time."""


def named(text: str) -> set[tuple[str, ...]]:
    """The installs of ours that a page names, each as its requirements."""
    found = (tuple(shlex.split(words)) for words in NAMED.findall(text))
    return {one for one in found if any(OURS.fullmatch(word) for word in one)}


def pages() -> dict[tuple[str, ...], str]:
    """Every install that a page names, with the first page that does."""
    where = (
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").glob("*.ipynb")),
    )
    found: dict[tuple[str, ...], str] = {}
    for page in where:
        text = page.read_text("utf-8").replace('\\"', '"')
        for install in sorted(named(text)):
            found.setdefault(install, str(page.relative_to(ROOT)))
    return found


def stock(install: tuple[str, ...]) -> tuple[str, ...]:
    """What stands in the place of ours without us; nothing where the stock integration is none."""
    extras = {extra for word in install for extra in re.findall(r"[\w-]+", word.partition("[")[2])}
    theirs = [STOCK[extra] for extra in STOCK if extra in extras]
    others = [word for word in install if not OURS.fullmatch(word)]
    return (*theirs, *others) if theirs else ()


def ours(install: tuple[str, ...], wheel: Path) -> tuple[str, ...]:
    """The requirements, with this wheel in the place of our name."""
    return tuple(f"{word} @ {wheel.as_uri()}" if OURS.fullmatch(word) else word for word in install)


def resolve(tool: str, requirements: tuple[str, ...], seconds: float) -> tuple[float, int]:
    """Seconds, and how many packages would be installed; it is waited for so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=False)
        python = f"{folder}/bin/python"
        if tool == "pip":
            # The pip of this environment, for that one.
            command = [sys.executable, "-m", "pip", "--python", python, "install", "--dry-run", "--no-input"]
        else:
            command = [_uv(), "pip", "install", "--dry-run", "--python", python]
        began = time.perf_counter()
        code, said = _waited([*command, *requirements], seconds)
        took = time.perf_counter() - began
    if code != 0:
        why = f"not in {seconds} s" if code is None else f"\n{said}"
        raise UnresolvedError(f"{tool}: {' '.join(requirements)}: {why}")
    return took, _count(said)


def _waited(command: list[str], seconds: float) -> tuple[int | None, str]:
    """The exit code, and what was said; no code where it was ended, with its children, for its time."""
    asked = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said, _ = asked.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # pip runs another pip in the environment that it is asked for.
        os.killpg(asked.pid, signal.SIGKILL)
        asked.communicate()
        return None, ""
    return asked.returncode, said


def _count(said: str) -> int:
    pip = re.search(r"Would install (.+)", said)
    uv = re.search(r"Would install (\d+) package", said)
    return int(uv[1]) if uv else len(pip[1].split()) if pip else 0


def _uv() -> str:
    return shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"


def measure(requirements: tuple[str, ...], seconds: float = SECONDS) -> dict[str, Any]:
    """Both tools, the second time each.

    Raises:
        UnresolvedError: Where one of them does not resolve it.
    """
    found = {}
    for tool in ("pip", "uv"):
        resolve(tool, requirements, seconds)
        found[tool], found["packages"] = resolve(tool, requirements, seconds)
    return found


def measured(requirements: tuple[str, ...]) -> dict[str, Any] | str | None:
    """That of the stock integration; None where there is none, and why where it does not resolve."""
    if not requirements:
        return None
    try:
        return measure(requirements, STOCK_SECONDS)
    except UnresolvedError as error:
        return str(error)


def offline(dist: Path) -> list[str]:
    """Install from a folder alone, of each kind; what was said."""
    said = []
    wheel, sdist = next(dist.glob("*.whl")), next(dist.glob("*.tar.gz"))
    with tempfile.TemporaryDirectory() as folder:
        fetch = (sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder)
        _run(*fetch, str(wheel), "uv_build>=0.13,<0.14")
        shutil.copy(sdist, folder)
        for kind in ("wheel", "source distribution"):
            home = Path(folder, kind.split()[0])
            venv.create(home, with_pip=False)
            python = str(home / "bin" / "python")
            from_source = ("--no-binary", "cachepoint") if kind != "wheel" else ()
            where = ("--no-index", "--find-links", folder, *from_source, "cachepoint")
            # Not by what this machine's configuration names beside the folder.
            pip = (sys.executable, "-m", "pip", "--isolated", "--python", python)
            _run(*pip, "install", "--quiet", *where)
            _run(python, "-I", "-c", USES)
            said.append(f"installed from a folder, without an index, from the {kind}")
    return said


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr}")


def told(row: dict[str, Any]) -> str:
    """A line of the table."""
    mine, theirs = row["ours"], row["stock"]
    return f"{row['install']:<54}{_figures(mine)}{'' if theirs is None else _figures(theirs)}"


def _figures(found: dict[str, Any] | str) -> str:
    if isinstance(found, str):
        return "  does not resolve"
    return f"{found['pip']:9.1f}{found['uv']:7.1f}{found['packages']:9}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="Those that hold this.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dist = Path(folder)
        _run(_uv(), "build", "--quiet", "--out-dir", folder, str(ROOT))
        wheel = next(dist.glob("*.whl"))
        stocks, heads = cache(measured), f"{'pip':>9}{'uv':>7}{'packages':>9}"
        rows = []
        if not options.json:
            print(f"{'':<54}{'ours':>25}{'stock':>25}")
            print(f"{'seconds to resolve, and packages':<54}{heads}{heads}")
        for install, page in pages().items():
            written = shlex.join(install)
            if options.only in written:
                mine = measure(ours(install, wheel))
                row = {"install": written, "page": page, "ours": mine, "stock": stocks(stock(install))}
                rows.append(row)
                if not options.json:
                    print(told(row), flush=True)
        said = offline(dist)
    print(json.dumps({"installs": rows, "offline": said}, indent=2) if options.json else "\n".join(said))


if __name__ == "__main__":
    main()
