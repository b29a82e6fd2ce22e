"""The licence of every package that an install of cachepoint brings, from what is installed.

    python benchmarks/licences.py [--extra langchain] [--json]

Without `--extra` those of all extras that are installed. It ends with an error where a package names no
licence, or one that asks more of who uses it than a notice (GPL, AGPL).
"""

import argparse
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, metadata
from typing import NamedTuple

from packaging.requirements import Requirement

ROOT = "cachepoint"
# Not the LGPL, and not "GPL" as one of several to choose from.
STRICT = re.compile(r"(?<!L)(?<!Lesser )\b(A?GPL|GNU (Affero )?General Public License)", re.IGNORECASE)
_LONGEST = 60


class Package(NamedTuple):
    """A package that is brought: its name, version and licence, and who asks for it."""

    name: str
    version: str
    licence: str
    wanted_by: str

    @property
    def wrong(self) -> str:
        """What is wrong with its licence; empty where nothing is."""
        if self.licence == "unknown":
            return "names no licence"
        choices = re.split(r"\bOR\b", self.licence)
        return "asks more than a notice" if all(STRICT.search(choice) for choice in choices) else ""


def licence(found: Distribution) -> str:
    """What a package says of its licence: as an expression, else by its classifiers, else in a line."""
    about = found.metadata
    expression = about.get("License-Expression")
    kinds = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or () if c.startswith("License :: ")]
    named = [kind for kind in kinds if kind != "OSI Approved"]
    line = (about.get("License") or "").strip().splitlines()
    short = line[0] if line and len(line[0]) <= _LONGEST and line[0].upper() != "UNKNOWN" else ""
    return expression or ", ".join(named) or short or _in_file(found) or "unknown"


def _in_file(found: Distribution) -> str:
    """By the first lines of a licence that lies beside it."""
    for file in found.files or ():
        if re.fullmatch(r"(LICEN[CS]E|COPYING)(\.\w+)?", file.name, re.IGNORECASE) and file.locate().exists():
            head = " ".join(file.read_text("utf-8").split()[:30])
            for name in ("MIT", "Apache License", "BSD", "Mozilla Public License"):
                if name in head or (name == "MIT" and "Permission is hereby granted, free of charge" in head):
                    return f"{name}, by its file"
    return ""


def packages(extras: Iterable[str]) -> Iterator[Package]:
    """What these extras of ours bring, and what that brings, as far as it is installed; by name."""
    seen: dict[tuple[str, str], None] = {}
    found: dict[str, Package] = {}
    left = deque([(ROOT, "", ROOT), *((ROOT, extra, f"{ROOT}[{extra}]") for extra in extras)])
    while left:
        name, extra, asking = left.popleft()
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue
        if (name, extra) in seen:
            continue
        seen[name, extra] = None
        if name != ROOT:
            found.setdefault(name, Package(name, one.version, licence(one), asking))
        for requirement in map(Requirement, one.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                named = re.sub(r"[-_.]+", "-", requirement.name).lower()
                told = asking if ROOT in {named, name} else name
                left.extend((named, e, told) for e in ("", *sorted(requirement.extras)))
    return iter(sorted(found.values()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extra", action="append", help="One of ours; may be given more than once.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ours = metadata(ROOT).get_all("Provides-Extra") or []
    if unknown := set(options.extra or ()) - set(ours):
        raise SystemExit(f"cachepoint has no extra {', '.join(sorted(unknown))}; it has {', '.join(ours)}")
    rows = list(packages(options.extra or ours))
    if options.json:
        print(json.dumps([{**row._asdict(), "wrong": row.wrong} for row in rows], indent=2))
    else:
        for row in rows:
            print(f"{row.name:<40}{row.version:<16} {row.licence:<50} {row.wanted_by}")
        print(f"\n{len(rows)} packages")
    if wrong := [f"{row.name} {row.wrong}: {row.licence}" for row in rows if row.wrong]:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
