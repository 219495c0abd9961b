"""Prompts and labelled examples as files: a YAML file for each prompt, a line of JSON for each example.

Reading is strict, and errors name the line: unknown keys (with the nearest known one), keys written
twice, names that no variable has, values of the wrong type.  YAML goes through `safe_load` alone; anchors and aliases,
which can make a small file a huge value, are refused.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lavra.base.config import from_mapping
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.prompts.example import Example
from lavra.prompts.prompt import Generation, MessageTemplate, Prompt
from lavra.prompts.template import PromptError
from lavra.prompts.variables import Variable

logger = logging.getLogger(__name__)

T = TypeVar("T")
_LISTS: Mapping[str, type] = {
    "variables": Variable,
    "messages": MessageTemplate,
    "example_messages": MessageTemplate,
    "examples": Example,
}
_EXPECTED_KEYS = ("expected", "label")


@dataclass(frozen=True)
class _Source:
    """A file, and the line on which each setting stands.

    Attributes:
        name: path as the user wrote it.
        lines: line of each key, by its path (`variables[0].default`); for a text in a block, also the line where the
            text begins.
    """

    name: str
    lines: Mapping[str, int]

    def error(self, path: str, reason: str, line: int | None = None) -> ConfigError:
        """Make an error that names file, line and setting; `line` counts within a template."""
        begins = self.lines.get(f"{path}|")
        if line is not None and begins is not None:
            return ConfigError(f"{self.name}:{begins + line - 1}: {path}: {reason}")
        known = path
        while known and known not in self.lines:
            known = re.sub(r"(\.\w+|\[\d+\]|^\w+)$", "", known)
        place = f"{self.name}:{self.lines[known]}" if known else self.name
        return ConfigError(f"{place}: {path}: {reason}" if path else f"{place}: {reason}")

    def build(self, cls: type[T], value: Any, path: str) -> T:
        """Build a settings dataclass from plain data; errors name the line."""
        try:
            return from_mapping(cls, value, where=f"{self.name}: {path}" if path else self.name)
        except PromptError as error:
            raise self.error(error.path, error.reason, error.line) from error
        except ConfigError as error:
            text = str(error).removeprefix(f"{self.name}: ")
            found = re.match(r"([a-z_]\w*(?:\[\d+\]|\.\w+)*): ", text)
            if found and found[1].startswith(path):
                raise self.error(found[1], text[found.end() :]) from error
            raise self.error(path, text.removeprefix(f"{self.name}: ")) from error


def read_prompt(path: str | Path) -> Prompt:
    """Read a prompt; variables that no template names are logged as a warning.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or is not a prompt; with the line.
    """
    name = str(path)
    source, value = _read_yaml(Path(path), name)
    mapping = dict(value)
    for key, cls in _LISTS.items():
        if isinstance(mapping.get(key), list):
            mapping[key] = [source.build(cls, item, f"{key}[{index}]") for index, item in enumerate(mapping[key])]
    if isinstance(mapping.get("generation"), Mapping):
        mapping["generation"] = source.build(Generation, mapping["generation"], "generation")
    prompt = source.build(Prompt, mapping, "")
    if prompt.unused:
        logger.warning("%s: no template names %s; name it, or drop it", name, ", ".join(map(repr, prompt.unused)))
    return prompt


def _read_yaml(path: Path, name: str) -> tuple[_Source, Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ConfigError(f"{name}: *{event.anchor} is an alias; write it out in a prompt file")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: cannot be read ({error}); name a YAML file that holds a prompt") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: is nested too deeply for a prompt; write it flatter") from error
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}: holds no prompt; write `name: value` lines")
    lines: dict[str, int] = {}
    _note_lines(node, "", name, lines)
    return _Source(name, lines), value


def _note_lines(node: yaml.Node | None, path: str, name: str, lines: dict[str, int]) -> None:
    """Note the line of every key and item; refuse a key written twice, since the loader would keep only the last."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line, inner = key.start_mark.line + 1, f"{path}.{key.value}" if path else str(key.value)
            if inner in lines:
                raise ConfigError(f"{name}:{line}: {inner} is written a second time; keep one of the two")
            lines[inner] = line
            _note_lines(value, inner, name, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[f"{path}[{index}]"] = item.start_mark.line + 1
            _note_lines(item, f"{path}[{index}]", name, lines)
    elif isinstance(node, yaml.ScalarNode):
        lines[f"{path}|"] = node.start_mark.line + (2 if node.style in ("|", ">") else 1)


# ---------------------------------------------------------------- labelled examples


def read_examples(path: str | Path, known: Collection[str]) -> tuple[Example, ...]:
    """Read labelled examples: a JSON object on each line.

    A line has `input`, `expected`, `expect` and `answer` as in a prompt file; or, without `input`, the variables by
    name beside `expected` (or `label`).

    Args:
        path: the file.
        known: names of the variables; a line with an unknown variable is refused.

    Raises:
        InputError: the file cannot be read or is empty, or a line is not an example; with its number.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")  # JSON may hold other line breaks
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); name a file of JSON lines") from error
    if lines == [""]:
        raise InputError(f"{path}: is empty; write one JSON object a line")
    return tuple(_read_line(line, f"{path}:{number}", known) for number, line in enumerate(lines, start=1))


def _read_line(line: str, place: str, known: Collection[str]) -> Example:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{place}: is not JSON ({error}); write one JSON object a line, and no empty lines") from error
    if not isinstance(row, dict):
        raise InputError(f"{place}: is a {type(row).__name__}; write one JSON object a line")
    if not isinstance(row.get("input"), dict):
        row = _nested(row, place)
    for name in row["input"]:
        if name not in known:
            raise InputError(f"{place}: there is no variable {name!r}{nearest(name, [*known, *_EXPECTED_KEYS])}")
    try:
        return from_mapping(Example, row, where=place)
    except ConfigError as error:
        raise InputError(f"{place}: {str(error).removeprefix(f'{place}: ')}") from error


def _nested(row: dict[str, Any], place: str) -> dict[str, Any]:
    """Bring a flat line into the form of a prompt file."""
    answers = [key for key in _EXPECTED_KEYS if key in row]
    if len(answers) != 1:
        what = "has neither 'expected' nor 'label'" if not answers else "has both 'expected' and 'label'"
        raise InputError(f"{place}: {what}; write one of the two")
    own: dict[str, Any] = {key: row[key] for key in ("expect", "answer") if key in row}
    taken = {*answers, *own}
    return {"input": {key: item for key, item in row.items() if key not in taken}, "expected": row[answers[0]], **own}
