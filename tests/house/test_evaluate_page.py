"""`docs/evaluate.md` and `docs/evaluate-options.md` are true: their files are written unchanged, their commands run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.house.pages import PAGES
from tests.model.smollm2 import FILE, needs_smollm2
from tests.runs.tasks import base_folder

TEXT = PAGES["evaluate.md"] + PAGES["evaluate-options.md"]
FILES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', TEXT, re.MULTILINE | re.DOTALL))
COMMANDS = [
    line for body in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) for line in body.splitlines()
]
# Few items and steps show the way as well.
SHORTER = {"--limit 200": "--limit 5", "--limit 50": "--limit 5 --finetune-rows 16", "--finetune-rows 100": ""}


def shortened(command: str, port: int) -> list[str]:
    for long, short in SHORTER.items():
        command = command.replace(long, short)
    verb, *rest = shlex.split(command.replace("8000", str(port)))
    python = {"lavra": ["-m", "lavra"], "lm_eval": ["-m", "lm_eval"], "python": []}
    return [sys.executable, *python[verb], *rest]


@contextmanager
def serving(command: list[str], folder: Path, port: int) -> Iterator[None]:
    """A server that is ready."""
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, "the server ended"
                time.sleep(0.2)
        yield
    finally:
        server.terminate()
        server.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_every_number_of_items_is_shortened() -> None:
    told = {found for line in COMMANDS for found in re.findall(r"--(?:limit|finetune-rows) \S+", line)}
    assert told == set(SHORTER)


@pytest.mark.slow
@pytest.mark.data
@needs_smollm2
def test_the_commands_of_the_pages_run(lavra_data: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "benchmarks").symlink_to(lavra_data)
    (tmp_path / "SmolLM2-135M-Instruct.gguf").symlink_to(str(FILE))
    shutil.copytree(lavra_data / "weights" / "stories260K" / "hf", tmp_path / "models" / "mine")
    base_folder(tmp_path / "models" / "other", "llama")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    for name, text in (("out.txt", "um gato preto\n"), ("ref.txt", "um gato pardo\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    port, said = free_port(), {}
    with ExitStack() as servers:
        for command in COMMANDS:
            words = shortened(command, port)
            if command.startswith("lavra serve"):
                servers.enter_context(serving(words, tmp_path, port))
                continue
            done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            said[command] = done.stdout
    assert "arc_easy" in said["lavra evaluate --list"]
    assert json.loads((tmp_path / "out.json").read_text())["results"]["piqa"]["acc,none"] is not None
    assert "cannot tell with 5 items" in next(text for command, text in said.items() if "--compare" in command)
    assert "matthews" in (tmp_path / "glue.md").read_text()
    ours = json.loads((tmp_path / "capitals.json").read_text())["results"]["capitals"]["acc,none"]
    harness = [text for command, text in said.items() if "lm_eval" in command]
    assert len(harness) == 2
    assert all(re.search(rf"\|acc +\|↑ +\|{ours:.4f}\|", text) for text in harness), harness
