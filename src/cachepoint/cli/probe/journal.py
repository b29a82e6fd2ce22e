"""What was answered, a line each, so that a probe is taken up again where it was left."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cachepoint.cli.probe.asking import Answer

_FORM = 1


class Journal:
    """Answers by the place of their questions; on disk where a file is named.

    The file has digests, places, sizes and times, no text. Lines are only added; one that was cut as the
    program ended is taken away.

    Args:
        path: The file; None keeps nothing.
        header: What a file must have been begun with, to be taken up again; the seed is taken from it.

    Raises:
        ValueError: The file is of something else; it says of what.
    """

    def __init__(self, path: Path | None, header: Mapping[str, Any]) -> None:
        self._path = path
        self.header = {"probe": _FORM, **header}
        self._answers: dict[str, tuple[str, Answer]] = {}
        if path is not None:
            self._open(path)

    def __len__(self) -> int:
        return len(self._answers)

    def answers(self) -> list[Answer]:
        """All of them, oldest first."""
        return [answer for _, answer in self._answers.values()]

    def get(self, place: str, digest: str) -> Answer | None:
        """The answer that was given to this question.

        Raises:
            ValueError: Another question was asked there.
        """
        known = self._answers.get(place)
        if known is None:
            return None
        if known[0] != digest:
            raise ValueError(f"{self._path}: another question was asked at {place}; begin a new file")
        return known[1]

    def add(self, place: str, digest: str, answer: Answer) -> None:
        """Keep an answer, before anything is made of it."""
        self._answers[place] = (digest, answer)
        self._append({"place": place, "digest": digest, **asdict(answer)})

    def _open(self, path: Path) -> None:
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            path.write_bytes(whole)
        lines = [_line(path, line) for line in whole.splitlines()]
        if not lines:
            self._append(self.header)
            return
        self._take(path, lines[0])
        for line in lines[1:]:
            place, digest = line.pop("place"), line.pop("digest")
            self._answers[place] = (digest, Answer(**line))

    def _take(self, path: Path, begun: dict[str, Any]) -> None:
        for name, value in self.header.items():
            if name != "seed" and begun.get(name) != value:
                raise ValueError(f"{path} was begun with {name} {begun.get(name)!r}, not {value!r}")
        self.header = begun

    def _append(self, line: Mapping[str, Any]) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def _line(path: Path, line: bytes) -> dict[str, Any]:
    try:
        read = json.loads(line)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise ValueError(f"{path} is no state of a probe")  # noqa: TRY004 -- what is wrong is the file
    return read
