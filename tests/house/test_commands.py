"""Each `lavra …` command of the documentation is one that the verb's own parser takes."""

from __future__ import annotations

import importlib
from typing import Any, cast

import pytest

from lavra.base.errors import ConfigError
from lavra.cli.main import VERBS, verb_parser
from tests.house.pages import PAGES, lavra_commands, shell_lines

PAGES_WITH_COMMANDS = [name for name, text in PAGES.items() if lavra_commands(text)]


def check(words: list[str]) -> None:
    """Raise where a verb, a flag or a value is not there; a file of settings is not opened."""
    verb, *arguments = words
    if verb in ("--help", "--version"):
        return
    if verb not in VERBS:
        raise ConfigError(f"unknown verb {verb}")
    if "--help" in arguments:
        return
    args = verb_parser(verb, cast(Any, importlib.import_module(VERBS[verb].module))).parse_args(arguments)
    if args.settings_reader is not None and args.config is None:
        args.settings_reader(args)


@pytest.mark.parametrize("name", PAGES_WITH_COMMANDS)
def test_commands_of_a_page_parse(name: str) -> None:
    wrong = []
    for words in lavra_commands(PAGES[name]):
        try:
            check(words)
        except ConfigError as error:
            wrong.append(f"lavra {' '.join(words)}: {error}")
    assert not wrong, "\n".join(wrong)


def test_the_pages_have_commands() -> None:
    assert sum(len(lavra_commands(text)) for text in PAGES.values()) > 100


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("lavra finetuen m", "unknown verb finetuen"),
        ("lavra finetune m --task classify --data d.csv --epoch 3", "--epoch"),
        ("lavra finetune m --task clasify --data d.csv", "clasify"),
        ("echo hi | lavra generate m --max-tokens none > out.txt", "none"),
        ("A=1 lavra up --text books --budget soon && lavra list", "soon"),
    ],
)
def test_a_wrong_command_is_found(line: str, part: str) -> None:
    (words, *_) = lavra_commands(f"```sh\n{line}  # a comment's apostrophe\n```\n")
    with pytest.raises(ConfigError, match=part):
        check(words)


def test_a_command_of_several_lines_is_one() -> None:
    page = "```sh\nlavra evaluate m \\\n  --tasks a.jsonl#x\ncurl u -d '{\n  \"a\": 1}'\n```\n"
    assert list(shell_lines(page)) == ["lavra evaluate m    --tasks a.jsonl#x", "curl u -d '{\n  \"a\": 1}'"]
    assert lavra_commands(page) == [["evaluate", "m", "--tasks", "a.jsonl#x"]]
