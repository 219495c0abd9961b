"""The part of `docs/cli.md` with every verb, its arguments, flags and examples, from its parser."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lavra.cli.main import VERBS
from reference.page import DOCS, table, with_reference
from reference.verb_settings import page_name, parsers, settings_classes, verbs_by_settings

PAGE: Final = DOCS / "cli.md"
_HEAD: Final = ("argument or flag", "meaning")
_SETTINGS: Final = "settings"  # how the titles of groups of flags for settings begin


def pages() -> dict[Path, str]:
    """The page of the command line."""
    return {PAGE: with_reference(PAGE.read_text(encoding="utf-8"), command_lines())}


def command_lines() -> Iterator[str]:
    """The lines about all verbs."""
    found = parsers()
    page_of = {cls: page_name(verbs[0]) for cls, verbs in verbs_by_settings().items()}
    for name, parser in found.items():
        module = importlib.import_module(VERBS[name].module)
        yield f"### lavra {name}\n"
        yield f"    {parser.format_usage().removeprefix('usage: ').strip()}\n"
        yield from _paragraphs(module.HELP)
        yield ""
        yield from table(_HEAD, (_row(action) for action in _own_actions(parser)))
        yield from _settings_flags(parser, [page_of[cls] for cls in settings_classes(parser)])
        yield f"\n```sh\n{module.EXAMPLES.strip()}\n```\n"


def _paragraphs(text: str) -> Iterator[str]:
    """A help text, whose indented lines of a word and its meaning become a list."""
    before = ""
    for line in text.strip().splitlines():
        if before and line.startswith("  ") != before.startswith("  "):
            yield ""
        yield "- " + re.sub(r"\s{2,}", ": ", line.strip()) if line.startswith("  ") else line
        before = line


def _own_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments and flags that are no settings."""
    for group in parser._action_groups:
        if not (group.title or "").startswith(_SETTINGS):
            yield from (one for one in group._group_actions if one.dest != "help")


def _settings_flags(parser: argparse.ArgumentParser, pages_of: list[str]) -> Iterator[str]:
    """The flags of settings, whose meaning stands on a page of settings; a verb with two pages has two lists."""
    found: dict[str, list[str]] = {}
    for group in parser._action_groups:
        title = group.title or ""
        if title.startswith(_SETTINGS):
            found.setdefault(title.partition(", ")[2], []).extend(map(_written, group._group_actions))
    for (condition, flags), page in zip(found.items(), pages_of, strict=True):
        yield f"\n[Settings](settings/{page}){', ' + condition if condition else ''}: {', '.join(flags)}."


def _row(action: argparse.Action) -> tuple[str, str]:
    return _written(action), (action.help or "").replace("%%", "%")


def _written(action: argparse.Action) -> str:
    """An argument as the shell has it."""
    if not action.option_strings:
        return f"`{_value(action)}`"
    flag = action.option_strings[0]
    if isinstance(action, argparse.BooleanOptionalAction):
        return f"`--[no-]{flag.removeprefix('--')}`"
    return f"`{flag}`" if action.nargs == 0 else f"`{flag} {_value(action)}`"


def _value(action: argparse.Action) -> str:
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest)
