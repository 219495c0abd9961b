"""`docs/settings/`: the settings of each verb in a table, and a YAML file with all of them at their defaults."""

from __future__ import annotations

import argparse
import importlib
import textwrap
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, cast, get_args, get_type_hints

from lavra.base.one_of import NAME
from lavra.cli.main import VERBS, Arguments, verb_parser
from reference.page import DOCS, table, whole_page
from reference.settings_tree import Setting, in_yaml, settings_of, variants

FOLDER: Final = DOCS / "settings"
REQUIRED: Final = {
    "task": "classify",
    "data": "reviews.csv",
    "out": "answers.jsonl",
    "to": "int4",
    "model": "latest",
}
"""A value for each setting without a default, for the files."""
_HEAD: Final = ("setting", "type", "default", "meaning")
_WIDTH: Final = 100  # columns of a comment in a file


def pages() -> dict[Path, str]:
    """The text of each page."""
    return {FOLDER / page_name(verbs[0]): page(cls, verbs) for cls, verbs in verbs_by_settings().items()}


def page_name(verb: str) -> str:
    """The file name of a verb's page; `index.md` would be the page of the folder."""
    return f"lavra-{verb}.md"


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb."""
    return {
        name: verb_parser(name, cast(Arguments, importlib.import_module(verb.module))) for name, verb in VERBS.items()
    }


def verbs_by_settings() -> dict[type, list[str]]:
    """The verbs of each settings dataclass; not those that take either of two dataclasses."""
    found: dict[type, list[str]] = {}
    for name, parser in parsers().items():
        classes = settings_classes(parser)
        if len(classes) == 1:
            found.setdefault(classes[0], []).append(name)
    return found


def settings_classes(parser: argparse.ArgumentParser) -> tuple[type, ...]:
    """The dataclasses of a verb's settings: none, one, or two for a verb that checks runs of two others."""
    reader = parser.get_default("settings_reader")
    if isinstance(reader, partial):
        return (cast(type, reader.args[0]),)
    result = None if reader is None else get_type_hints(reader)["return"]
    return (result,) if isinstance(result, type) else get_args(result)


def page(cls: type, verbs: list[str]) -> str:
    """The page of a dataclass of settings."""
    return whole_page(f"Settings of `lavra {verbs[0]}`", _lines(cls, verbs))


def _lines(cls: type, verbs: list[str]) -> Iterator[str]:
    settings, parser = settings_of(cls), parsers()[verbs[0]]
    links = [f"[`lavra {verb}`](../cli.md#lavra-{verb})" for verb in verbs]
    yield f"The settings of {', '.join(links)}. They are given [in Python, in a file or as flags](../cli.md#settings)."
    yield ""
    yield from table(_HEAD, (_row(setting, parser) for setting in _flat(settings)))
    for setting in settings:
        yield from _variant_table(setting)
    yield "\n## A file with every setting\n"
    yield f"Each setting has its default here. `--config run.yaml` reads the file{_required_note(settings)}.\n"
    yield "```yaml"
    yield f"# run.yaml: settings of lavra {verbs[0]}"
    yield from yaml_lines(settings)
    yield "```"


def _required_note(settings: tuple[Setting, ...]) -> str:
    names = [f"`{one.name}`" for one in settings if one.required]
    verb = "has" if len(names) == 1 else "have"
    return f"; {' and '.join(names)} {verb} no default, so the file has an example" if names else ""


def _flat(settings: tuple[Setting, ...]) -> Iterator[Setting]:
    for setting in settings:
        yield setting
        yield from _flat(setting.inside)


def _row(setting: Setting, parser: argparse.ArgumentParser) -> tuple[str, str, str, str]:
    default = "required" if setting.required else "" if setting.inside else f"`{setting.written(setting.default)}`"
    return f"`{setting.path}`", setting.type_in_words(), default, setting.sentence + _place(setting, parser)


def _place(setting: Setting, parser: argparse.ArgumentParser) -> str:
    """The way to give a setting in the shell, where it is not a flag of its name."""
    if setting.inside or f"--{setting.path.replace('_', '-')}" in parser._option_string_actions:
        return ""
    places = {action.dest: action.metavar or action.dest.upper() for action in parser._get_positional_actions()}
    return f" In the shell: {places[setting.path]}." if setting.path in places else " No flag."


def _variant_table(setting: Setting) -> Iterator[str]:
    """The settings inside the variants of a setting, each once."""
    found: dict[str, dict[str, Setting]] = {}
    for word, inside in variants(setting).items():
        for one in inside:
            found.setdefault(one.name, {})[word] = one
    short = {} if setting.mark is None else {one.field: one.key for one in setting.mark.short_keys}
    if found:
        yield f"\n## Settings of `{setting.path}`\n"
        word = next(iter(variants(setting)))
        yield f"`{setting.path}` is a word, or a table such as `{{{NAME}: {word}, ...}}` with these fields."
        yield f"A short key stands beside `{setting.path}`, not in the table.\n"
        rows = (_variant_row(name, by_word, short) for name, by_word in found.items())
        yield from table(("field", f"of `{setting.path}`", "type", "default", "short key", "meaning"), rows)


def _variant_row(name: str, by_word: Mapping[str, Setting], short: Mapping[str, str]) -> tuple[str, ...]:
    first, defaults = next(iter(by_word.values())), dict[str, list[str]]()
    for word, one in by_word.items():
        defaults.setdefault(one.written(one.default), []).append(word)
    shown = [f"`{text}`" + (f" ({', '.join(words)})" if len(defaults) > 1 else "") for text, words in defaults.items()]
    beside = f"`{short[name]}`" if name in short else ""
    return f"`{name}`", ", ".join(by_word), first.type_in_words(), "; ".join(shown), beside, first.sentence


def yaml_lines(settings: tuple[Setting, ...], indent: str = "") -> Iterator[str]:
    """A YAML file with each setting at its default, its sentence above it."""
    for setting in settings:
        yield from textwrap.wrap(
            ("required: " if setting.required else "") + setting.sentence,
            _WIDTH,
            initial_indent=f"{indent}# ",
            subsequent_indent=f"{indent}# ",
            break_on_hyphens=False,
        )
        if setting.inside and setting.default is not None:
            yield f"{indent}{setting.name}:"
            yield from yaml_lines(setting.inside, f"{indent}  ")
            continue
        value = REQUIRED[setting.name] if setting.required else setting.written(setting.default)
        yield f"{indent}{setting.name}: {value}"
        yield from (f"{indent}# {line}" for line in _instead(setting))


def _instead(setting: Setting) -> Iterator[str]:
    """Lines that may replace a setting's line: each variant, or the settings inside, at their defaults."""
    choices: dict[str, Any] = {word: {NAME: word, **_values(one)} for word, one in variants(setting).items()}
    if setting.inside:
        choices[""] = _values(setting.inside)
    for value in choices.values():
        yield f"{setting.name}: {in_yaml(value)}"


def _values(settings: tuple[Setting, ...]) -> dict[str, Any]:
    return {one.name: one.default for one in settings}
