"""`docs/troubleshooting.md` quotes messages as lavra prints them: each stands in the source, and some are provoked."""

from __future__ import annotations

import ast
import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from lavra.cli.main import main
from tests.house.syntax import read
from tests.runs.tasks import base_folder

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
LEAST = 4  # characters of a piece between two values that has to be found


def quoted() -> list[str]:
    """The messages: the code in the first column of the tables."""
    cells = [row.split(" | ")[0].lstrip("| ") for row in PAGE.splitlines() if re.match(r"\| [^-]", row)]
    return [message for cell in cells for message in re.findall(r"`([^`]+)`", cell) if " " in message]


def plain(text: str) -> str:
    """A text without the marks by which a setting becomes a flag in the shell, and in one line."""
    text = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda found: found[1].replace("-", "_"), text)
    return re.sub(r"\s+", " ", text.replace("`", ""))


@cache
def source() -> str:
    """Every text of lavra's modules and of the script that installs it; a value that is filled in is `…`."""
    texts = [(ROOT / "scripts" / "setup.sh").read_text(encoding="utf-8"), (ROOT / "run").read_text(encoding="utf-8")]
    for module in read("lavra").values():
        docstrings = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
        for node in ast.walk(module):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                texts.append(node.value)
    return plain("\n".join(texts))


def test_the_page_quotes_many_messages() -> None:
    assert len(quoted()) >= 50
    assert len(set(quoted())) == len(quoted())


@pytest.mark.parametrize("message", quoted())
def test_each_message_stands_in_the_source(message: str) -> None:
    pieces = [piece.strip() for piece in plain(message).split("…")]
    missing = [piece for piece in pieces if len(piece) >= LEAST and piece not in source()]
    assert not missing, f"lavra prints no {missing}"


PROVOKED = [
    "up --text nowhere",
    "up --text short",
    "up --budgt 4m",
    "up --config run.yaml",
    "finetune model --task classify --data missing.csv",
    "finetune model --task classify --data columns.csv",
    "finetune model --task classify --data few.csv",
    "finetune model --task classify --data few.csv --columns label=stars",
    "finetune model --task chat --data broken.jsonl",
    "finetune model --task chat --data chats.jsonl --max-tokens 99999",
    "generate nomodel x",
    "generate ./short x",
    "generate ./cut x",
    "generate ./other x",
    "predict model hello",
    "ask When?",
    "ask When? --index nothing",
    "compress model --to int8 --out small",
    "compress model --to int8 --text short --out small",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands are about: a model, one that is cut, one of another family, and too little of everything."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("model", "cut", "other"):
        base_folder(folder / name, "llama")
    weights = folder / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    settings = folder / "other" / "config.json"
    settings.write_text(settings.read_text().replace('"llama"', '"mamba"'))
    (folder / "short").mkdir()
    (folder / "short" / "a.txt").write_text("hi")
    (folder / "run.yaml").write_text("bugdet: 4m")
    (folder / "columns.csv").write_text("a,b,c\n1,2,3\n4,5,6\n")
    (folder / "few.csv").write_text("text,label\ngood,yes\nbad,no\n")
    (folder / "broken.jsonl").write_text('{"messages": [}\n')
    turns = '{"messages": [{"role": "user", "content": "a%d"}, {"role": "assistant", "content": "b"}]}\n'
    (folder / "chats.jsonl").write_text("".join(turns % number for number in range(9)))
    return folder


@pytest.mark.parametrize("command", PROVOKED)
def test_a_provoked_message_is_on_the_page(
    command: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.delenv("LAVRA_WORKSPACE", raising=False)
    shutil.rmtree(place / "lavra-workspace", ignore_errors=True)
    assert main(command.split()) == 2
    printed = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("lavra: error: "))
    fitting = [message for message in quoted() if re.search(pattern(message), printed)]
    assert fitting, f"the page does not have {printed}"


def pattern(message: str) -> str:
    return ".*".join(map(re.escape, message.split("…")))
