"""Pages of `--help`: typer's own where there is room for its tables, else one thing under the other."""

import codecs
import os
import sys
from shutil import get_terminal_size
from typing import Any

from typer.core import TyperCommand, TyperGroup

# Typer's tables of options cut names off on less.
_ROOMY = 80
# In front of what an option does, which stands under its name.
_NO_COLUMN = 2
_LEAST = 20


def is_plain() -> bool:
    """Whether a terminal shows no colours: NO_COLOR (no-color.org), or TERM says so."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in {"dumb", "unknown"}


def knows_unicode(*, err: bool = False) -> bool:
    """Whether standard output, or standard error, shows more than ASCII."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    return codecs.lookup(encoding).name != "ascii"


class _Fitting:
    """Help that fits on a narrow terminal."""

    def format_help(self: Any, ctx: Any, formatter: Any) -> None:
        columns = get_terminal_size().columns
        if columns >= _ROOMY:
            super().format_help(ctx, formatter)  # type: ignore[misc]
            return
        formatter.width = max(_LEAST, columns - 1)
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        records = [(one.param_type_name, one.get_help_record(ctx)) for one in self.get_params(ctx)]
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            _write(formatter, title, [record for named, record in records if named == kind and record])
        names = self.list_commands(ctx) if isinstance(self, TyperGroup) else ()
        _write(formatter, "Commands", [(name, _short(self.get_command(ctx, name))) for name in names])


class FittingCommand(_Fitting, TyperCommand):
    """A command whose help fits."""


class FittingGroup(_Fitting, TyperGroup):
    """The commands, with help that fits."""


def _write(formatter: Any, title: str, rows: list[Any]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows, col_max=_NO_COLUMN)


def _short(command: Any) -> str:
    text: str = command.get_short_help_str(limit=1_000)
    return text
