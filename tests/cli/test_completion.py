"""Real shells complete commands with the printed scripts."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from pathlib import Path

import pytest

from lavra.cli.main import VERBS, main

COMPLETE = """
source "$1"
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
COMP_LINE="${{COMP_WORDS[*]}}"; COMP_POINT=${{#COMP_LINE}}
_shtab_lavra
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["completion", "bash"]) == 0
    path = tmp_path_factory.mktemp("completion") / "lavra"
    path.write_text(out.getvalue())
    return path


def completed(script: Path, words: str, folder: Path) -> set[str]:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash is installed")
    command = [bash, "-c", COMPLETE.format(words=words), "bash", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, check=True)
    return set(done.stdout.split())


def test_bash_completes_verbs_flags_values_and_files(script: Path, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("x")
    assert completed(script, "lavra fin", tmp_path) == {"finetune"}
    assert {"--learning-rate", "--task"} <= completed(script, "lavra finetune --", tmp_path)
    assert completed(script, "lavra compress m --to int", tmp_path) == {"int4", "int8", "int8-dynamic"}
    assert "reviews.csv" in completed(script, "lavra finetune m --data rev", tmp_path)


def test_every_verb_is_in_every_script(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("bash", "zsh", "tcsh", "fish"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert all(verb in script for verb in VERBS)
    assert main(["completion", "ksh"]) == 2
    assert "invalid choice: 'ksh'" in capsys.readouterr().err
