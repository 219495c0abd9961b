"""After writing, no temporary file remains beside the folder, and others may read the files."""

from __future__ import annotations

import stat
from pathlib import Path

from lavra.base.files import atomic_folder, recover_folder, write_json


def replace(target: Path, text: str) -> None:
    with atomic_folder(target) as work:
        (work / "out.txt").write_text(text)


def test_replaced_files_are_gone(tmp_path: Path) -> None:
    for text in ("old", "new"):
        replace(tmp_path / "model", text)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "out.txt").read_text() == "new"


def test_recovery_sweeps_what_was_half_written_of_this_folder_and_of_no_other(tmp_path: Path) -> None:
    for name in (".tmp-model-x1", ".old-model", "model", ".tmp-other-x2", ".old-other"):
        (tmp_path / name).mkdir()
    recover_folder(tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".old-other", ".tmp-other-x2", "model"]


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    replace(tmp_path / "model", "text")
    write_json(tmp_path / "model" / "facts.json", {"a": 1})
    for path, least in ((tmp_path / "model", 0o055), (tmp_path / "model" / "facts.json", 0o044)):
        assert stat.S_IMODE(path.stat().st_mode) & least == least
