"""A folder is replaced whole or not at all, wherever a kill falls."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lavra.base.files import atomic_folder

KILLED_BEFORE_RENAME = """
import os, signal, sys
from pathlib import Path
from lavra.base.files import atomic_folder
rename, left = os.rename, [int(sys.argv[2])]
def rename_or_die(*names):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*names)
os.rename = rename_or_die
with atomic_folder(Path(sys.argv[1])) as work:
    (work / "text").write_text("new")
"""


def write(target: Path, text: str, *, fail: bool = False) -> None:
    with atomic_folder(target) as work:
        (work / "text").write_text(text)
        if fail:
            raise RuntimeError("the power went out")


@pytest.mark.parametrize("rename", [1, 2])  # the old folder aside, the new one into its place
def test_a_kill_at_either_rename_loses_nothing(tmp_path: Path, rename: int) -> None:
    target = tmp_path / "model"
    write(target, "old")
    done = subprocess.run([sys.executable, "-c", KILLED_BEFORE_RENAME, str(target), str(rename)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.exists() == (rename == 1)
    with pytest.raises(RuntimeError, match="power"):
        write(target, "new", fail=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (target / "text").read_text() == "old"
    write(target, "new")
    assert (target / "text").read_text() == "new"


def test_a_kill_after_both_renames_keeps_the_new_folder(tmp_path: Path) -> None:
    """The old folder is still beside the new one: it must not replace it."""
    target = tmp_path / "model"
    write(target, "new")
    write(tmp_path / ".old-model", "old")
    with pytest.raises(RuntimeError, match="power"):
        write(target, "newer", fail=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (target / "text").read_text() == "new"
