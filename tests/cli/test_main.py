"""The frame of the command line: fast help, one-line errors, exit statuses."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from lavra import __version__
from lavra.base.errors import InputError, SavedInterrupt
from lavra.cli.main import EXIT_ERROR, EXIT_INTERRUPTED, VERBS, Verb, main


def verb_that(does: Callable[[argparse.Namespace], int], **attributes: str) -> ModuleType:
    """A verb module with one flag, in the place where `main` looks for it."""
    module = ModuleType("lavra_test_verb")
    module.HELP = "Does what the test says."
    module.EXAMPLES = "\nlavra probe --flag 3\n"
    module.add_arguments = lambda parser: parser.add_argument("--flag", type=int, default=0)
    module.run = does
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Add a verb `probe` whose action the test gives."""

    def add(does: Callable[[argparse.Namespace], int], **attributes: str) -> None:
        monkeypatch.setitem(sys.modules, "lavra_test_verb", verb_that(does, **attributes))
        monkeypatch.setitem(VERBS, "probe", Verb("lavra_test_verb", "a probe"))  # type: ignore[misc]

    return add


def test_help_answers_at_once_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); from lavra.cli.main import main; status = main(['--help']);"
        "heavy = {'torch', 'rich', 'yaml', 'numpy', 'pyarrow', 'jinja2'} & set(sys.modules);"
        "assert status == 0 and not heavy, heavy; print(time.perf_counter() - start, file=sys.stderr)"
    )
    seconds = []
    for _ in range(3):  # the best of three: the machine may be busy
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.3
    for name, verb in VERBS.items():
        assert f"  {name}" in done.stdout
        assert verb.summary in done.stdout


WRONG = (
    "finetune m --task clasify --data x",
    "finetune m --task classify --data x --method lora --rank 0",
    "finetune m --task classify --data x --method prompt --rank 4",
    "up --budget soon",
    "pretrain --family bort",
    "up --text no-such-folder",
    "doctor m --family bert",
    "compress m --to int9",
    "serve m --port x",
    "generate m p --top-p high",
    "chat m --temperature -1",
    "chat m --top-p 1.5",
    "ask q --temperature 101",
    "corpus --heldout-fraction x",
    "distill m --task tag --data d --baseline -1",
    "predict m --columns x",
    "tokenizer --vocab-size x",
)
WITHOUT_TORCH = """
import sys, time
from lavra.cli.main import VERBS, main
slowest = 0
for verb in VERBS:
    start = time.process_time()
    assert main([verb, "--no-such-flag"]) == 2
    slowest = max(slowest, time.process_time() - start)
for command in sys.argv[1:]:
    assert main(command.split()) == 2, command
assert "torch" not in sys.modules
print(slowest)
"""


def test_flags_and_values_of_every_verb_are_refused_before_torch_is_loaded() -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, *WRONG]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("lavra: error: unknown flag --no-such-flag") == len(VERBS)
    assert float(done.stdout) < 1.0  # of the processor, whose machine may be busy


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_of_the_table_has_what_a_verb_must_have(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: lavra {name}")
    examples = out.split("examples:\n")[1].strip().splitlines()
    assert examples
    assert all(f"lavra {name}" in line for line in examples)


def test_version_and_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lavra {__version__}\n"
    assert main([]) == EXIT_ERROR
    assert "usage: lavra VERB" in capsys.readouterr().err


def test_help_for_a_verb_and_its_arguments(probe: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    got: list[int] = []

    def run(args: argparse.Namespace) -> int:
        got.append(args.flag)
        return 7

    probe(run)
    assert main(["probe", "--flag", "3"]) == 7
    assert got == [3]
    assert main(["help", "probe"]) == 0
    assert "examples:\n  lavra probe --flag 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["copus"], r"unknown verb 'copus'; did you mean 'corpus'\?"),
        (["--verison"], r"unknown flag '--verison'"),
        (["probe", "--flga", "3"], r"unknown flag --flga; did you mean '--flag'\?"),
        (["probe", "--zzz=3"], r"unknown flag --zzz; `lavra probe --help` lists the flags"),
        (["probe", "--flag"], r"argument --flag: expected one argument; see `lavra probe --help`"),
        (["probe", "--fla", "3"], r"unknown flag --fla; did you mean '--flag'\?"),
        (["probe", "extra"], r"unrecognized arguments: extra; see `lavra probe --help`"),
    ],
)
def test_mistakes_are_one_line_that_says_what_to_do(
    probe: Callable[..., None], capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    probe(lambda args: 0)
    assert main(arguments) == EXIT_ERROR
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(f"lavra: error: {says}.*\n", captured.err)


def raises(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


def test_errors_are_one_line_unless_debugging(
    probe: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    probe(raises(InputError("x is 3;\n  give 4")))
    assert main(["probe"]) == EXIT_ERROR
    assert capsys.readouterr().err == "lavra: error: x is 3; give 4\n"
    monkeypatch.setenv("LAVRA_DEBUG", "1")
    with pytest.raises(InputError):
        main(["probe"])


def test_a_full_disk_is_one_line_too(probe: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    probe(raises(OSError(28, "No space left on device", "/w/models/x")))
    assert main(["probe"]) == EXIT_ERROR
    said = r"lavra: error: /w/models/x: the disk is full: more is needed, \S+ .B are free; free some space, or .*\n"
    assert re.fullmatch(said, capsys.readouterr().err)


def test_our_own_bugs_keep_their_traceback(probe: Callable[..., None]) -> None:
    probe(raises(AssertionError("ours")))
    with pytest.raises(AssertionError):
        main(["probe"])


def test_interrupting_says_how_to_go_on(probe: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    probe(raises(KeyboardInterrupt()), RESUME="the same command resumes at the last checkpoint")
    assert main(["probe"]) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "lavra: interrupted: the same command resumes at the last checkpoint\n"
    probe(raises(KeyboardInterrupt()))
    assert main(["probe"]) == EXIT_INTERRUPTED
    assert "nothing half-written is left" in capsys.readouterr().err
    probe(raises(SavedInterrupt("step 3 of 9 is saved in runs/x")), RESUME="never said")
    assert main(["probe"]) == EXIT_INTERRUPTED
    assert "step 3 of 9 is saved in runs/x; run the same command again" in capsys.readouterr().err


def test_warnings_of_modules_reach_stderr_once(probe: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    def warn(args: argparse.Namespace) -> int:
        logging.getLogger("lavra.text").warning("3 files of %d were skipped", 9)
        return 0

    probe(warn)
    for _ in range(2):
        assert main(["probe"]) == 0
        assert capsys.readouterr().err == "lavra: warning: 3 files of 9 were skipped\n"


def test_a_reader_that_leaves_is_no_error() -> None:
    code = (
        "import sys; from lavra.cli import main as m\n"
        "m.overview = lambda: 'x' * 10_000_000\n"
        "sys.exit(m.main(['--help']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 128 + signal.SIGPIPE


def test_the_installed_command_is_this(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("lavra")
    done = subprocess.run([command, "copus"], capture_output=True, text=True, timeout=60, cwd=tmp_path, env=os.environ)
    assert (done.returncode, done.stdout) == (EXIT_ERROR, "")
    assert done.stderr == "lavra: error: unknown verb 'copus'; did you mean 'corpus'?\n"
