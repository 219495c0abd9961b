"""`lavra corpus` and `lavra tokenizer`, from text on disk to a tokenizer that another library opens."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
import tokenizers

from lavra.base.card import read_card
from lavra.base.lock import locked
from lavra.cli.main import main
from lavra.text.corpus import Corpus
from lavra.tokens.tokenizer import Tokenizer

SENTENCE = "the model reads clean text and writes more of it than anyone would care to read on a rainy day in May"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """120 different documents and one copy."""
    folder = tmp_path / "texts"
    folder.mkdir()
    noise = random.Random(0)
    for number in range(120):
        sentences = (
            " ".join(noise.choices(SENTENCE.split(), k=9)).capitalize() + f" {noise.random():.6f}." for _ in range(30)
        )
        (folder / f"{number:03d}.txt").write_text("\n".join(sentences))
    (folder / "copy.txt").write_text((folder / "000.txt").read_text())
    return folder


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAVRA_WORKSPACE", str(tmp_path / "w"))
    return tmp_path / "w"


def test_from_text_to_tokenizer(texts: Path, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", str(texts), "--heldout-fraction", "0.2"]) == 0
    out = capsys.readouterr().out
    assert "saved" in out
    assert f"next: lavra tokenizer {workspace / 'corpora' / 'texts'}" in out
    corpus = Corpus.open(workspace / "corpora" / "texts")
    assert corpus.num_documents("train") + corpus.num_documents("heldout") == 120
    assert corpus.card.config["heldout_fraction"] == 0.2

    assert main(["tokenizer", "--vocab-size", "400", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    folder = workspace / "tokenizers" / "texts-bpe"
    assert told["path"] == str(folder)
    assert told["vocab_size"] == Tokenizer.load(folder).vocab_size
    assert told["texts_changed"] == 0
    held_out = [document.text for document in corpus.documents("heldout")]
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert told["heldout_bytes"] == sum(len(text.encode()) for text in held_out)
    assert told["heldout_tokens"] == sum(len(backend.encode(text, add_special_tokens=False).ids) for text in held_out)
    card = read_card(folder)
    assert card.parents == {"corpus": corpus.id}
    assert card.config["vocab_size"] == 400


def test_json_counts_what_was_dropped(texts: Path, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", str(texts), "--json", "--name", "../odd name"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["path"]) == workspace / "corpora" / "odd-name"  # a name cannot leave the workspace
    dropped = told["counts"]["dropped"]
    assert sum(reason["documents"] for reason in dropped.values()) == 1
    assert "exact duplicate" in dropped


def test_settings_come_from_a_file_and_flags_win(texts: Path, workspace: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("seed: 5\nheldout_fraction: 0.3\nfilters: null\n")
    assert main(["corpus", str(texts), "--config", str(file), "--seed", "6"]) == 0
    config = read_card(workspace / "corpora" / "texts").config
    assert (config["seed"], config["heldout_fraction"], config["filters"]) == (6, 0.3, None)


def test_nothing_is_replaced_unasked(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", str(texts)]) == 0
    first = read_card(tmp_path / "w" / "corpora" / "texts").id
    assert main(["corpus", str(texts), "--seed", "1"]) == 2
    assert "exists; choose another --name, or set --replace" in capsys.readouterr().err
    assert main(["corpus", str(texts), "--seed", "1", "--replace"]) == 0
    assert read_card(tmp_path / "w" / "corpora" / "texts").id != first
    # a folder of the user's own is not replaced even when asked
    assert main(["corpus", str(texts), "--out", str(texts), "--replace"]) == 2
    assert "is not an artifact of lavra" in capsys.readouterr().err
    assert len(list(texts.iterdir())) == 121


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["corpus", "absent"], "absent does not exist"),
        (["corpus", ".", "--heldout-fraction", "2"], "--heldout-fraction is 2"),
        (["corpus", ".", "--dedup.remove", "al"], "did you mean 'all'"),
        (["tokenizer"], "there is no corpus in"),
        (["tokenizer", "."], "has no lavra.json"),
        (["tokenizer", "--kind", "wordpeice"], "--kind: unknown value 'wordpeice'; did you mean 'wordpiece'?"),
        (["tokenizer", "--vocab-size", "10"], "--vocab-size is 10"),
    ],
)
def test_mistakes_are_named(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.startswith("lavra: error: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_two_commands_never_write_to_one_place(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "out" / "made"
    command = ["corpus", str(texts), "--out", str(made)]
    with locked(made):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert f"(process {os.getpid()}) is writing to {made}; wait for it to end (--wait does that)" in said
        assert not made.exists()
    assert main(command) == 0
    assert [path.name for path in made.parent.iterdir()] == ["made"]
