"""What the site has that is not written twice: files of the repository's root, the options, the command line.

mkdocs calls `on_files`, `on_page_markdown` and `on_page_content`; the tables are printed by themselves, too:

    python docs/hooks.py options
    python docs/hooks.py cli
    python docs/hooks.py remedies
    python docs/hooks.py names cachepoint.langchain
"""

import posixpath
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# By its name on the site, where it stands in the repository.
FROM_ROOT: Mapping[str, str] = {
    "index.md": "README.md",
    "project/changes.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/security.md": "SECURITY.md",
    "project/LICENSE": "LICENSE",
}
_HOMES = {source: name for name, source in FROM_ROOT.items()}
_PICTURE = re.compile(
    r'<picture>.*?alt="(?P<alt>[^"]*)" src="(?P<path>[^"]*)-light\.svg">\s*</picture>', re.DOTALL
)
_CELL = re.compile(r"<td.*?</td>", re.DOTALL)
_NAME = re.compile(r"(?<=<code>)[^<]+")
_WORD = re.compile(r'(?<=[\w)\]][_./=(])(?=[\w&"(])|(?<=[a-z])(?=[A-Z])')
_CUT = re.compile(r"^(\* `(\w+)`): .*\.\.\.$", re.MULTILINE)
_LINK = re.compile(r"""(\]\(|src="|srcset=")([^)"\s#:]+)(?=[#)"])""")


def on_files(files: Any, config: Any) -> Any:
    """Put the files of the root beside those of `docs/`."""
    from mkdocs.structure.files import File  # noqa: PLC0415 -- the tests load this file without mkdocs

    for name, source in FROM_ROOT.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put tables where a comment asks for one, and lead links to where their targets are on the site."""
    if not page.parent:
        # It would list this page alone, in a third of the room.
        page.meta["hide"] = ["navigation"]
    return led(filled(_PICTURE.sub(_one_picture, markdown)), page.file.src_uri)


def on_page_content(html: str, **_: Any) -> str:
    """Let long names in tables break where their words end, so that they are read on a phone, too."""
    return _CELL.sub(lambda cell: _NAME.sub(lambda name: _WORD.sub("<wbr>", name[0]), cell[0]), html)


def _one_picture(found: re.Match[str]) -> str:
    """On the site a picture goes by the reader's choice there, so one file has both colours."""
    return f"![{found['alt']}]({found['path']}.svg)"


def filled(markdown: str) -> str:
    """With what its comments ask for."""
    return _FILLED.sub(lambda found: TABLES[found[1]](*filter(None, [found[2]])), markdown)


def led(markdown: str, page: str) -> str:
    """A page's links as they hold on the site.

    Args:
        markdown: The page, with links as they hold in the repository.
        page: Its path on the site.
    """
    here = posixpath.dirname(_source(page))
    return _LINK.sub(lambda link: link[1] + _target(link[2], here, posixpath.dirname(page)), markdown)


def _source(page: str) -> str:
    return FROM_ROOT.get(page, f"docs/{page}")


def _target(link: str, here: str, there: str) -> str:
    path = posixpath.normpath(posixpath.join(here, link))
    if path not in _HOMES and not path.startswith("docs/"):
        return link
    return posixpath.relpath(_HOMES.get(path, path.removeprefix("docs/")), there or ".")


def options() -> str:
    """The options of a `CachePolicy` as one table, from its docstring and its fields."""
    rows = "\n".join(_rows())
    return f"| option, environment, choices | |\n|---|---|\n{rows}"


def _rows() -> Iterator[str]:
    from cachepoint.core.policy import _CHOICES, ENV_PREFIX, CachePolicy  # noqa: PLC0415

    said = arguments(CachePolicy.__doc__ or "")
    for field in fields(CachePolicy):
        name = field.name
        choices = " · ".join(
            f"**`{_shown(c)}`**" if c == field.default else f"`{_shown(c)}`" for c in _CHOICES[name]
        )
        yield f"| **{name}**<br>`{ENV_PREFIX}{name.upper()}`<br>{choices} | {said[name].replace('|', '/')} |"


def _shown(choice: str | None) -> str:
    return "None" if choice is None else choice


def arguments(docstring: str) -> dict[str, str]:
    """What a docstring in Google's form says of each argument, in one line."""
    section = docstring.partition("Args:\n")[2].partition("\n    Attributes:")[0]
    found = re.split(r"^ {8}(\w+): ", section, flags=re.MULTILINE)[1:]
    return {name: " ".join(text.split()) for name, text in zip(found[::2], found[1::2], strict=True)}


def command_line() -> str:
    """What `cachepoint` and each of its commands take, from typer."""
    import typer  # noqa: PLC0415
    from typer.cli import get_docs_for_click  # noqa: PLC0415

    from cachepoint.cli import build  # noqa: PLC0415

    app = typer.main.get_command(build())
    told = get_docs_for_click(obj=app, ctx=typer.Context(app), name="cachepoint")
    # typer cuts what a command does after some words.
    told = _CUT.sub(lambda cut: f"{cut[1]}: {app.commands[cut[2]].get_short_help_str(200)}", told)
    # The page has its title already, and options of a table's width stay in one line.
    return told.partition("\n")[2].replace("**Usage**:\n\n", "")


def remedies() -> str:
    """What to do about each cause, by what moved: the sentences that reports have."""
    from cachepoint.core.accounting.diagnosis.remedies import _REMEDIES  # noqa: PLC0415

    rows = [
        f"| `{cause}` | {kind or 'all else'} | {said} |"
        for cause, known in _REMEDIES.items()
        for kind, said in sorted(known.items(), key=lambda one: not one[0])
    ]
    return "\n".join(["| cause | what moved | remedy |", "|---|---|---|", *rows])


def names(module: str) -> str:
    """What a module exports, for mkdocstrings."""
    exported = import_module(module).__all__
    return "\n\n".join(f"::: {module}.{name}" for name in exported if name not in ROOMS)


# Modules that `cachepoint` exports; they have pages of their own.
ROOMS = frozenset({"core", "observers"})
TABLES: Mapping[str, Callable[..., str]] = {
    "options": options,
    "cli": command_line,
    "remedies": remedies,
    "names": names,
}
_FILLED = re.compile(rf"^<!-- generated: ({'|'.join(TABLES)})(?: ([\w.]+))? -->$", re.MULTILINE)

if __name__ == "__main__":
    sys.stdout.write(TABLES[sys.argv[1]](*sys.argv[2:]) + "\n")
