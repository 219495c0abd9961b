"""`docs/own-text.md` is true: its commands run over such a folder, with shorter budgets."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import docx
import pytest

from tests.model.smollm2 import FILE, needs_smollm2
from tests.text.made import make_epub, make_pdf

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-text.md"
COMMANDS = [
    line
    for body in re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in body.splitlines()
]
# A real model takes seconds a step; a step of few tokens shows the way as well.
SHORTER = {
    "--budget 10m": "--budget 12s",
    "--budget 30m": "--budget 60s --sequence-length 64 --step-tokens 128 --num-samples 1 --heldout-fraction 0.01",
}


def books(folder: Path, data: Path) -> None:
    """Two novels, a Word file, an EPUB, a PDF, notes as rows, and a photograph."""
    folder.mkdir()
    for name in ("dom_casmurro.txt", "os_lusiadas.txt"):
        (folder / name).write_bytes((data / "lm" / "books_pt" / name).read_bytes())
    word = docx.Document()
    for number in range(1, 20):
        word.add_paragraph(f"Capítulo {number}: do que se conta nele, e de quem o conta a quem o quiser ouvir.")
    word.save(str(folder / "sumario.docx"))
    make_epub(folder / "conto.epub", {"conto": "<p>Era uma vez um rei que tinha três filhas e nenhum reino.</p>"})
    make_pdf(folder / "ata.pdf", [["Aos dez dias do mes de marco reuniu-se a junta da freguesia para deliberar."]])
    rows = [{"text": f"Nota {number}: lembrar de comprar tinta, papel e o que faltar na casa."} for number in range(60)]
    (folder / "notas.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "praia.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40)


def shortened(command: str) -> list[str]:
    for long, short in SHORTER.items():
        command = command.replace(long, short)
    verb, *rest = shlex.split(command)
    assert verb == "lavra"
    return [sys.executable, "-m", "lavra", *rest]


def test_every_budget_of_the_page_is_shortened() -> None:
    assert {found for line in COMMANDS for found in re.findall(r"--budget \S+", line)} == set(SHORTER)


@pytest.mark.slow
@pytest.mark.data
@needs_smollm2
def test_the_story_happens(lavra_data: Path, tmp_path: Path) -> None:
    books(tmp_path / "books", lavra_data)
    (tmp_path / "SmolLM2-135M-Instruct.gguf").symlink_to(str(FILE))
    said: dict[str, str] = {}
    for command in COMMANDS:
        done = subprocess.run(
            shortened(command), cwd=tmp_path, input="Olá!\n", capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        said[command] = done.stdout
    corpus, listed = said["lavra corpus books --name books"], said["lavra list"]
    assert "praia.jpg" in corpus
    assert "an image" in corpus
    assert re.search(r"^books ", listed, re.MULTILINE)
    workspace = tmp_path / "lavra-workspace"
    assert "praia.jpg" in (workspace / "report.html").read_text(encoding="utf-8")
    started = next(path for path in workspace.glob("report-start-*.html"))
    assert "Training goes on" in started.read_text(encoding="utf-8")
    assert not (workspace / "models" / "books-small").exists()
