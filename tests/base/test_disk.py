"""A full disk is one error for every library, and the previous files stay."""

from __future__ import annotations

import errno
import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models

from lavra.base.disk import free_bytes, full_disk_reason, naming_full_disk, require_room
from lavra.base.errors import DiskFullError, LavraError
from lavra.base.files import atomic_folder, write_text

BYTES = 200_000
WRITERS: dict[str, Callable[[Path], object]] = {
    "python": lambda folder: (folder / "a").write_bytes(b"x" * BYTES),
    "json": lambda folder: write_text(folder / "a.json", "x" * BYTES),
    "numpy": lambda folder: np.save(folder / "a.npy", np.zeros(BYTES, dtype=np.uint8)),
    "arrow": lambda folder: pq.write_table(pa.table({"a": os.urandom(BYTES).hex().split("0")}), folder / "a.parquet"),
    "safetensors": lambda folder: save_file({"a": torch.zeros(BYTES)}, folder / "a.safetensors"),
    "tokenizers": lambda folder: Tokenizer(
        models.WordLevel({f"word-{number}": number for number in range(BYTES // 10)}, unk_token="word-0")
    ).save(str(folder / "tokenizer.json")),
}


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory):
    """A real file system of 64 kB; only root may mount one."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("writer", WRITERS)
def test_every_library_that_writes_meets_the_same_end(small_disk: Path, writer: str) -> None:
    target = small_disk / "model"
    with atomic_folder(target) as work:
        (work / "text").write_text("old")
    with (
        pytest.raises(DiskFullError, match=rf"^{target}: the disk is full: more.* needed, .*kB are free; free some"),
        atomic_folder(target) as work,
    ):
        WRITERS[writer](work)
    assert [path.name for path in small_disk.iterdir()] == ["model"]
    assert (target / "text").read_text() == "old"


def test_a_limit_on_the_size_of_files_is_named(tmp_path: Path) -> None:
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "from pathlib import Path; from lavra.base.files import write_text; import sys\n"
        "write_text(Path(sys.argv[1]), 'x' * 5000)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], capture_output=True, text=True)
    assert f"DiskFullError: {tmp_path / 'a'}: a file may not be as large here" in done.stderr
    assert not list(tmp_path.iterdir())


def test_quotas_are_named_and_other_errors_are_left_alone(tmp_path: Path) -> None:
    def fails(error: Exception) -> None:
        with naming_full_disk(tmp_path):
            raise error

    with pytest.raises(DiskFullError, match="the disk quota is used up"):
        fails(OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)))
    with pytest.raises(PermissionError):
        fails(PermissionError(errno.EACCES, "no"))
    with pytest.raises(LavraError, match="own words"):
        fails(LavraError("own words: the disk is full"))
    assert full_disk_reason(io.UnsupportedOperation("not writable")) is None


def test_room_is_asked_for_where_the_path_will_be(tmp_path: Path) -> None:
    there = tmp_path / "not" / "yet"
    assert free_bytes(there) > 0
    require_room(there, 1, "a note")
    with pytest.raises(DiskFullError, match=r"yet: the disk is full: the weights needs 1000 TB, .* are free"):
        require_room(there, 10**15, "the weights")
    with (
        pytest.raises(DiskFullError, match=r"^\S*model: the disk is full: a checkpoint needs 1000 TB"),
        atomic_folder(tmp_path / "model") as work,
    ):
        require_room(work, 10**15, "a checkpoint")  # the folder has another name while it is made
