"""Standard streams in any encoding, closed, full or abandoned by their reader: never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lavra.cli.console import print_json
from lavra.cli.main import EXIT_ERROR, main

TEXT = "Olá \U0001f600 日本"
PROBE = """
import sys, types
from lavra.cli import main as frame
from lavra.cli.console import print_json
verb = types.ModuleType("probe")
verb.HELP, verb.EXAMPLES = "A probe.", "lavra probe"
verb.add_arguments = lambda parser: parser.add_argument("--json", action="store_true")
verb.run = lambda args: (print_json({"text": TEXT}) if args.json else print(TEXT)) or 0
sys.modules["probe"] = verb
frame.VERBS["probe"] = frame.Verb("probe", "a probe")
sys.exit(frame.main(sys.argv[1:]))
"""


def lavra(
    arguments: str, encoding: str = "utf-8", redirected: str = "", errors: str = ""
) -> subprocess.CompletedProcess[bytes]:
    code = PROBE.replace("TEXT", repr(TEXT))
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:{errors}" if errors else encoding, "CODE": code}
    command = f'"{sys.executable}" -c "$CODE" {arguments} {redirected}'
    return subprocess.run(["sh", "-c", command], capture_output=True, env=environment, timeout=60)


@pytest.mark.parametrize(("encoding", "errors"), [("iso8859-1", ""), ("cp1252", "strict"), ("ascii", "")])
def test_characters_outside_an_encoding_are_replaced_with_one_warning(encoding: str, errors: str) -> None:
    done = lavra("probe", encoding, errors=errors)
    assert done.returncode == 0
    assert done.stdout.decode(encoding) == TEXT.encode(encoding, "replace").decode(encoding) + "\n"
    lost = sum(not character.encode(encoding, "ignore") for character in TEXT)
    (said,) = done.stderr.decode(encoding).splitlines()
    assert said.startswith(f"note: {lost} characters that {encoding} cannot hold were written as '?'")


def test_a_replacement_that_the_user_chose_is_kept() -> None:
    done = lavra("probe", "ascii", errors="backslashreplace")
    assert done.stdout.decode() == TEXT.encode("ascii", "backslashreplace").decode() + "\n"
    assert done.stderr == b""


def test_json_keeps_every_character_in_every_encoding() -> None:
    for encoding in ("cp1252", "ascii", "utf-8"):
        done = lavra("probe --json", encoding)
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout.decode(encoding)) == {"text": TEXT}
    assert TEXT in done.stdout.decode()  # readable where it can be


@pytest.mark.parametrize(
    ("redirected", "status", "says"),
    [
        (">&-", 0, b"note: standard output is closed; results are not shown\n"),
        ("2>&-", 0, b""),
        ("<&- >&- 2>&-", 0, b""),
        (">/dev/full", EXIT_ERROR, b"lavra: error: standard output: No space left on device\n"),
        ("| true; sleep 0.1", 0, b""),
    ],
)
def test_streams_that_are_closed_full_or_left(redirected: str, status: int, says: bytes) -> None:
    if "/dev/full" in redirected and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = lavra("probe --json", redirected=redirected)
    assert (done.returncode, done.stderr) == (status, says)


def test_a_closed_stream_is_not_the_next_file_that_is_opened() -> None:
    code = "import os, sys; from lavra.cli.main import main; main(['--help']); print(os.dup(0), file=sys.stderr)"
    done = subprocess.run(["sh", "-c", f'"{sys.executable}" -c "{code}" >&-'], capture_output=True, timeout=60)
    assert int(done.stderr.split()[-1]) > 2


def test_streams_are_as_they_were_afterwards() -> None:
    before = sys.stdout.errors
    assert main(["--version"]) == 0
    assert sys.stdout.errors == before


def test_an_argument_that_is_no_text_is_refused_and_a_file_of_that_name_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = os.fsdecode(b"caf\xe9")
    assert main(["generate", "model", broken]) == EXIT_ERROR
    assert "argument 'caf\\\\udce9' is not text in utf-8" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    Path(broken).write_text("x")
    assert main(["generate", broken, "--nonsense"]) == EXIT_ERROR
    assert "unknown flag --nonsense" in capsys.readouterr().err


def test_json_of_a_stream_without_an_encoding(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": TEXT})
    assert json.loads(capsys.readouterr().out) == {"a": TEXT}
