"""The commands and the Python of the guide on a CSV, a real model and documents run over tiny models."""

from __future__ import annotations

import csv
import io
import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lavra.cli.main import main
from tests.house.pages import PAGES, blocks, lavra_commands
from tests.runs.tasks import BAD, GOOD, WORDS, base_folder

SHORTER = {
    "SmolLM2-135M-Instruct.gguf": "tiny",
    "--epochs 10": "--epochs 1",
    "epochs=10": "epochs=1",
    '", "office")': '", "office", model="none")',
}
"""A tiny model and few steps show the way as well; another test runs the real model and `lavra up`."""
LONG = ("lavra.up(", "lavra.serve(")
DOCUMENTS = {
    "lease.md": "# Lease\n\nThe lease began on 1 March 2024 and ends on 28 February 2029.\n",
    "handbook.txt": "Travel by train is paid in second class.\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a user: models, tables and documents; it is the current folder."""
    made = tmp_path_factory.mktemp("guide")
    base_folder(made / "MiniLM", "bert")
    base_folder(made / "tiny", "llama")
    write_reviews(made / "reviews.csv")
    shutil.copy(made / "reviews.csv", made / "new.csv")
    write_questions(made / "questions.csv")
    (made / "documents").mkdir()
    for name, text in DOCUMENTS.items():
        (made / "documents" / name).write_text(text, encoding="utf-8")
    (made / "documents" / "workshop.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.setenv("LAVRA_WORKSPACE", str(made / "lavra-workspace"))
        yield made


def write_reviews(path: Path) -> None:
    """Reviews with a date; one row has no text."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("date", "review", "sentiment"))
        for number in range(80):
            words = [*(draw.choice(WORDS) for _ in range(4)), draw.choice(GOOD if number % 2 else BAD)]
            text = "" if number == 20 else " ".join(words)
            table.writerow(("2026-01-01", text, "positive" if number % 2 else "negative"))


def write_questions(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("prompt", "completion"))
        table.writerows((f"who saw film {number}", "ana saw the film") for number in range(20))


def shortened(text: str) -> str:
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    return text


def run_commands(page: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Run the commands of a page and return the output of each; a command that trains long or serves is left out."""
    printed = {}
    for words in lavra_commands(PAGES[page]):
        command = " ".join(words)
        if words[0] in ("up", "serve") or "novels" in words:
            continue
        monkeypatch.setattr(sys, "stdin", io.StringIO("who saw film 3\n/exit\n"))
        status = main([*map(shortened, words), *(["--model", "none"] if words[0] == "ask" else [])])
        said = capsys.readouterr()
        assert status == (1 if "--check" in words else 0), f"lavra {command}: {said.err}"
        printed[command] = said.out
    return printed


def run_python(page: str) -> None:
    code = [body for language, body in blocks(PAGES[page]) if language == "python"]
    kept = [shortened(body) for body in code if not any(call in body for call in LONG)]
    exec(compile("".join(kept), page, "exec"), {"__name__": "__main__"})


@pytest.mark.slow
def test_a_csv_becomes_a_model_that_predicts(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = run_commands("finetune-csv.md", capsys, monkeypatch)
    check = next(text for command, text in printed.items() if "--check" in command)
    assert "reviews.csv:22: 'review' is empty" in check
    assert "unused: date" in check
    trained = next(text for command, text in printed.items() if command.endswith("--name reviews"))
    assert re.search(r"accuracy +\d\.\d{4} +\d\.\d{4}", trained)
    assert len((folder / "predicted.jsonl").read_text(encoding="utf-8").splitlines()) == 79
    run_python("finetune-csv.md")
    assert "79 rows" in capsys.readouterr().out


@pytest.mark.slow
def test_a_model_learns_answers(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = run_commands("real-model.md", capsys, monkeypatch)
    assert "nats_per_token" in next(text for command, text in printed.items() if command.startswith("finetune"))
    assert (folder / "lavra-workspace" / "models" / "shop" / "adapter_config.json").exists()
    run_python("real-model.md")
    assert (folder / "lavra-workspace" / "models" / "shop-2" / "adapter_config.json").exists()


@pytest.mark.slow
def test_documents_answer(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    printed = run_commands("retrieval.md", capsys, monkeypatch)
    assert "workshop.jpg" in printed["index documents"]
    assert "28 February 2029. [1]" in printed["ask When does the lease end?"]
    assert "do not say" in printed["ask Who painted the ceiling of the Sistine Chapel?"]
    run_python("retrieval.md")
    assert "documents/lease.md" in capsys.readouterr().out
