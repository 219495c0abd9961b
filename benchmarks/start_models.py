"""Small models that lavra pretrains on public English text: start models for comparisons of finetuning."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from labelled_tasks import DataError, public_data, read_text

BUDGET = "4m"
CONTEXT = 384  # tokens: those of the instruction set's rows
BOOKS = ("austen-emma", "chesterton-thursday", "melville-moby_dick")


def pretrained(family: str, folder: Path, budget: str = BUDGET) -> Path:
    """Folder of a pretrained model of a family; pretrained now unless an earlier call did it.

    Args:
        family: `llama` or `t5`.
        folder: folder of such models and of their corpus and tokenizer.
        budget: time for it, including corpus and tokenizer.

    Raises:
        DataError: the public data is absent, or pretraining failed.
    """
    record = folder / f"{family}-{budget}-{CONTEXT}.json"
    if not record.exists() or not Path(json.loads(record.read_text(encoding="utf-8"))["model"]).is_dir():
        text = folder / "text"
        _write_text(text)
        command = [sys.executable, "-m", "lavra", "pretrain", "--text", str(text), "--family", family]
        command += ["--budget", budget, "--sequence-length", str(CONTEXT), "--no-serve", "--json"]
        done = subprocess.run(
            [*command, "--workspace", str(folder / "workspace")], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DataError(f"lavra pretrain --family {family} ended with {done.returncode}: {done.stderr[-2000:]}")
        record.write_text(done.stdout, encoding="utf-8")
    return Path(json.loads(record.read_text(encoding="utf-8"))["model"])


def _write_text(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _texts(public_data() / "lm"):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")


def _texts(data: Path) -> Iterator[tuple[str, str]]:
    """Encyclopaedia articles, books and speeches: 5.7 MB."""
    for part in ("valid", "test"):
        yield f"wikitext-{part}", read_text(data / "wikitext-2-raw" / f"{part}.txt")
    for book in BOOKS:
        yield book, read_text(data / "gutenberg_nltk" / f"{book}.txt")
    speeches = data / "nltk_inaugural" / "inaugural.zip"
    if not speeches.exists():
        raise DataError(f"{speeches} is not there")
    with zipfile.ZipFile(speeches) as file:
        for name in sorted(file.namelist()):
            if name.endswith(".txt"):
                yield f"inaugural-{Path(name).stem}", file.read(name).decode("utf-8", errors="replace")
