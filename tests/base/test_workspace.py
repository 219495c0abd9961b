"""The workspace: its place, its content, and who may write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lavra.base.card import write_card
from lavra.base.errors import ConfigError, InputError
from lavra.base.workspace import FOLDERS, Workspace


def test_flag_beats_environment_beats_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAVRA_WORKSPACE", raising=False)
    assert Workspace.open().path == Path("lavra-workspace")
    monkeypatch.setenv("LAVRA_WORKSPACE", str(tmp_path / "env"))
    assert Workspace.open().path == tmp_path / "env"
    assert Workspace.open(tmp_path / "flag").path == tmp_path / "flag"
    assert list(tmp_path.iterdir()) == []  # opening creates nothing


def test_folders(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "w")
    for name in FOLDERS:
        assert workspace.folder(name) == getattr(workspace, name)
        assert getattr(workspace, name).is_dir()
    with pytest.raises(ConfigError, match="did you mean 'corpora'"):
        workspace.folder("corpora1")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, not a workspace"):
        Workspace.open(tmp_path / "file")


def test_artifacts_are_newest_first_and_half_made_ones_unseen(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    for age, name in enumerate(["new", "old", ".tmp-x"]):
        folder = workspace.folder("models") / name
        folder.mkdir()
        write_card(folder, kind="model", parents={}, config={})
        os.utime(folder / "lavra.json", (1000 - age, 1000 - age))
    (workspace.models / "no-card").mkdir()
    assert [path.name for path in workspace.artifacts("models")] == ["new", "old"]
    assert workspace.artifacts("indexes") == []


def test_the_lock_names_its_holder_alone(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("123456789012")  # of a process with a longer number, long gone
    with (
        Workspace.open(tmp_path).lock(),
        pytest.raises(InputError, match=rf"process {os.getpid()}\) is writing to"),
        Workspace.open(tmp_path).lock(),
    ):
        pass


def test_a_second_writer_is_refused_and_a_dead_one_is_not_in_the_way(tmp_path: Path) -> None:
    holder = (
        "import sys, time; from lavra.base.workspace import Workspace\n"
        "with Workspace.open(sys.argv[1]).lock(): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holder, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError, match=rf"process {process.pid}\) is writing to"),
            Workspace.open(tmp_path).lock(),
        ):
            pass
    finally:
        process.kill()
        process.wait()
    with Workspace.open(tmp_path).lock():
        pass
