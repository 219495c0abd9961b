"""Errors name flags in the shell and arguments in Python."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lavra.base.errors import ConfigError, LavraError
from lavra.cli.flag_names import in_flags, setting_names
from lavra.cli.main import VERBS, main, verb_parser
from lavra.text.config import CorpusConfig

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {
    "finetune": "m --task classify --data d",
    "distill": "m --task classify --data d",
    "compress": "m --to int8",
    "answers": "m --data d --out o",
    "generate": "m p",
    "chat": "m",
    "serve": "m",
    "predict": "m t",
    "prompt": "render f",
}
WITHOUT_SETTINGS = ("completion", "list", "rm")
WRONG = ("-1", "0", "7", "1e9", "-0.5", "nope", "")


def refused(verb: str) -> Iterator[tuple[str, str, str]]:
    """(flag, Python's message, shell's message) of each value of each flag that a verb's settings refuse."""
    parser = verb_parser(verb, importlib.import_module(VERBS[verb].module))
    names = setting_names(parser)
    for flag, action in parser._option_string_actions.items():
        is_setting = flag.startswith("--") and flag[2:].replace("-", "_") == action.dest != "config"
        if not is_setting or action.nargs == 0:
            continue
        for value in WRONG:
            try:
                args = parser.parse_args([*GIVEN.get(verb, "").split(), f"{flag}={value}"])
                args.settings_reader(args)
            except ConfigError as error:
                yield flag, str(error), in_flags(str(error), names)


@pytest.mark.parametrize("verb", [name for name in VERBS if name not in WITHOUT_SETTINGS])
def test_every_refused_value_is_named_by_a_flag(verb: str) -> None:
    parser = verb_parser(verb, importlib.import_module(VERBS[verb].module))
    names, number = setting_names(parser), 0
    for flag, _, said in refused(verb):
        number += 1
        assert re.search(r"(?<![\w-])--[a-z]", said), f"{flag}: {said}"
        bare = [name for name in names if "_" in name and re.search(rf"(?<![\w.-]){name}(?![\w.-])", said)]
        assert not bare, f"{flag}: {said}"
    assert number >= 2


def test_python_hears_of_arguments() -> None:
    with pytest.raises(ConfigError, match=r"^heldout_fraction is 7"):
        CorpusConfig(heldout_fraction=7)


def test_the_shell_hears_of_flags_and_a_file_of_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "--heldout-fraction", "7"]) == 2
    assert capsys.readouterr().err.startswith("lavra: error: --heldout-fraction is 7")
    path = tmp_path / "run.yaml"
    path.write_text("heldout_fraction: much")
    assert main(["corpus", "--config", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"lavra: error: {path}: heldout_fraction: 'much' is not a number")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_tokens is 0; give `n` or more", "--max-tokens is 0; give --n or more"),
        ("give `tune_steps 200`, or less", "give --tune-steps 200, or less"),
        ("a/max_tokens.txt and 'max_tokens' and my_max_tokens stay", None),
        ("`unknown` stays, and so does max_tokensx", None),
        ("n has no model", "--n has no model"),
        ("the n is not a setting here", None),
        ("max_tokens=3 is too much", "--max-tokens=3 is too much"),
    ],
)
def test_names_become_flags_where_they_are_names(text: str, said: str | None) -> None:
    names = {"max_tokens": "--max-tokens", "n": "--n", "tune_steps": "--tune-steps"}
    assert in_flags(text, names) == (said or text)


def texts_of_errors(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise):
            both = {id(part) for one in ast.walk(node) if says_both(one) for part in ast.walk(one)}
            for one in ast.walk(node):
                if isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in both:
                    yield one.lineno, one.value


def says_both(node: ast.AST) -> bool:
    """Whether it is a call `setting(flag, argument)`, which words a remedy for the shell and for Python."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setting"


def test_no_error_below_the_command_line_speaks_of_flags() -> None:
    """Whole commands are allowed in Python too: `lavra finetune --task rerank`."""
    for path in ROOT.glob("lavra/**/*.py"):
        if (
            path.relative_to(ROOT).parts[1] in ("cli", "doctor") or path == ROOT / "lavra/base/config.py"
        ):  # flags themselves
            continue
        for line, text in texts_of_errors(path):
            alone = re.sub(r"(lavra \w+|torchrun|pip install|llama-gguf-split|pretrain with) [^;]*", "", text)
            assert not re.search(r"(?<![\w-])--[a-z]", alone), f"{path}:{line}: {text}"


def test_errors_of_every_kind_are_translated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise LavraError("the card misses; keep it with `allow_miss`, or give `calibration`")

    monkeypatch.setattr("lavra.cli.compress.find_folder", fails)
    assert main(["compress", "m", "--to", "int8"]) == 2
    assert (
        capsys.readouterr().err == "lavra: error: the card misses; keep it with --allow-miss, or give --calibration\n"
    )
