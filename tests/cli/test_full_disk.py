"""Every verb that writes, on a disk that fills up: one line with path, need and free space, and no partial file."""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lavra.cli.main import EXIT_ERROR, main
from tests.runs.tasks import base_folder, rows, write
from tests.tasks.heads import head_folder

pytestmark = pytest.mark.slow

SIZE = 400_000  # of the disk, in bytes
SAID = r"lavra: error: {place}\S*: the disk is full: .*(needs|needed).*, \S+ k?B are free; .*"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Inputs of the verbs, on another disk."""
    folder, draw = tmp_path_factory.mktemp("made"), random.Random(0)
    (folder / "texts").mkdir()
    for number in range(40):
        words = (draw.choice(("the", "of", "mill", "river")) + str(draw.randrange(3000)) for _ in range(2000))
        (folder / "texts" / f"{number}.txt").write_text(" ".join(words) + ".\n")
    assert main(["corpus", str(folder / "texts"), "--no-filters", "--out", str(folder / "corpus")]) == 0
    return {
        "texts": folder / "texts",
        "corpus": folder / "corpus",
        "bert": base_folder(folder / "bert"),
        "llama": base_folder(folder / "llama", "llama"),
        "head": head_folder("classify", folder / "head"),
        "labelled": write(folder / "labelled.jsonl", rows("classify")),
        "known": write(folder / "known.jsonl", [{"text": f"a day {n}", "label": "yes"} for n in range(300)]),
        "prompts": write(folder / "prompts.jsonl", [{"prompt": f"the film {number}"} for number in range(40)]),
    }


VERBS = {
    "corpus": "corpus {texts} --no-filters --out {disk}/made",
    "tokenizer": "tokenizer {corpus} --vocab-size 8192 --out {disk}/made",
    "finetune": "finetune {bert} --task classify --data {labelled} --epochs 1 --out {disk}/made",
    "adapter": "finetune {bert} --task classify --data {labelled} --epochs 1 --method lora --out {disk}/made",
    "distill": "distill {head} --task classify --data {known} --epochs 1 --out {disk}/made",
    "onnx": "compress {bert} --to onnx --out {disk}/made",
    "gguf": "compress {llama} --to gguf:f32 --text {texts} --heldout-tokens 400 --out {disk}/made",
    "answers": "answers {llama} --data {prompts} --max-tokens 8 --out {disk}/made",
    "predict": "predict {head} --input {known} --out {disk}/made",
    "up": "up --text {texts} --budget 30s --workspace {disk}/made",
    "index": "index {texts} --encoder none --index {disk}/made",
    "inspect-batch": "inspect-batch --text {texts} --workspace {disk}/made",
}


@pytest.mark.parametrize("free", [0, 8_192, 40_000], ids=lambda free: f"{free} free")
@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    made: dict[str, Path], small_disk: Path, capsys: pytest.CaptureFixture[str], verb: str, free: int
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096 - free))
    status = main(VERBS[verb].format(disk=small_disk, **made).split())
    told = capsys.readouterr().err.splitlines()
    if status == 0:  # what is written is smaller than the room
        assert free >= 8_192
        assert verb in ("adapter", "predict", "answers")
        return
    assert status == EXIT_ERROR
    assert re.fullmatch(SAID.format(place=small_disk), told[-1]), told[-1]
    assert not any("Traceback" in line for line in told)
    half = [path for path in small_disk.rglob("*") if ".tmp-" in path.name]
    assert not half
    assert not (small_disk / "made" / "config.json").exists()
    if verb not in ("up", "inspect-batch", "index"):  # a workspace keeps finished stages, an index finished documents
        assert not (small_disk / "made").exists()
