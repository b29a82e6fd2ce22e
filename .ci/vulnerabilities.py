"""Whether anything that is installed here has a known vulnerability, where the data can be had.

    python .ci/vulnerabilities.py

It asks for one package first: behind a mirror that has packages and no data on them, or without a network, it
says so and ends with 0. It ends with 1 where a vulnerability is known that is not among `ACCEPTED`.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

# By id: why it concerns nobody here.
ACCEPTED: Mapping[str, str] = {}
ASKED_FIRST = "pip"
_SECONDS = 300
_ONE = ("--no-deps", "--disable-pip", "--timeout", "10")


class Found(NamedTuple):
    """A vulnerability of an installed package."""

    package: str
    version: str
    ident: str
    fixed: tuple[str, ...]

    def __str__(self) -> str:
        better = f"; fixed in {', '.join(self.fixed)}" if self.fixed else "; no fix is known"
        return f"{self.package} {self.version}: {self.ident}{better}"


class NotHadError(Exception):
    """The data cannot be had here; why."""


def read(output: str) -> list[Found]:
    """What pip-audit found, from its JSON.

    Raises:
        NotHadError: Where it knew nothing of any package, or printed something else.
    """
    try:
        asked = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise NotHadError("the service did not answer") from None
    known = [one for one in asked if "skip_reason" not in one]
    if not known:
        raise NotHadError("the service knows none of the packages")
    return [found for one in known for found in _found(one)]


def _found(one: Mapping[str, Any]) -> Iterator[Found]:
    for told in one.get("vulns", ()):
        ids = {told["id"], *told.get("aliases", ())}
        if ids.isdisjoint(ACCEPTED):
            yield Found(one["name"], one["version"], told["id"], tuple(told.get("fix_versions", ())))


def audit(*options: str) -> list[Found]:
    """What pip-audit says.

    Raises:
        NotHadError: Where it can say nothing.
    """
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", *options]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise NotHadError("the service did not answer in time") from None
    return read(ended.stdout)


def all_found() -> list[Found]:
    """Those of everything that is installed; one package is asked for before all the others are.

    Raises:
        NotHadError: Where the data cannot be had.
    """
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder, "one.txt")
        one.write_text(f"{ASKED_FIRST}=={version(ASKED_FIRST)}\n", "utf-8")
        audit("--requirement", str(one), *_ONE)
    return audit("--skip-editable")


def main() -> None:
    """Say what was found."""
    try:
        found = all_found()
    except NotHadError as why:
        print(f"vulnerabilities: not looked for, their data cannot be had here ({why})")  # noqa: T201
        return
    if found:
        sys.exit("\n".join(["vulnerabilities:", *map(str, found)]))
    print("vulnerabilities: none is known of what is installed")  # noqa: T201


if __name__ == "__main__":
    main()
