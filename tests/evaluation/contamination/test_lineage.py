"""From a model to its corpora through a workspace's cards, and the message where a card is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lavra.base.card import write_card
from lavra.evaluation.contamination.lineage import training_text


class Made:
    """A workspace of cards."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, folder: str, kind: str, parents: Mapping[str, str], **config: Any) -> str:
        target = self.path / folder
        target.mkdir(parents=True)
        return write_card(target, kind=kind, parents=parents, config={"name": folder, **config}).id


@pytest.fixture
def made(tmp_path: Path) -> Made:
    workspace = Made(tmp_path / "workspace")
    corpus = workspace.add("corpora/text", "corpus", {})
    tokenizer = workspace.add("tokenizers/t", "tokenizer", {"corpus": corpus})
    tokens = workspace.add("corpora/tokens", "tokens", {"corpus": corpus, "tokenizer": tokenizer})
    plan = workspace.add("runs/plan", "plan", {"tokens": tokens})
    pretrained = {"tokenizer": tokenizer, "tokens": tokens, "plan": plan}
    model = workspace.add("models/pretrain", "model", pretrained)
    workspace.add("models/small", "model", {"model": model})
    workspace.add("models/tuned", "model", {"model": model}, data="support.jsonl")
    workspace.add("models/begun", "model", pretrained, stage={"inputs": {"start": "0123"}})
    workspace.add("models/found", "model", {})
    return workspace


@pytest.mark.parametrize("name", ["pretrain", "small"])
def test_corpora_are_found_through_every_parent(made: Made, name: str) -> None:
    found = training_text(made.path / "models" / name)
    assert [path.name for path in found.corpora] == ["text"]
    assert found.unknown == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tuned", "was trained on support.jsonl, which is not a corpus"),
        ("begun", "went on from a model whose training text is unknown"),
        ("found", "names nothing that it was made from"),
    ],
)
def test_unknown_lineage_is_named(made: Made, name: str, said: str) -> None:
    found = training_text(made.path / "models" / name)
    assert any(said in one for one in found.unknown)


def test_a_parent_that_is_gone_is_said(made: Made) -> None:
    shutil.rmtree(made.path / "models" / "pretrain")
    found = training_text(made.path / "models" / "small")
    assert found.corpora == ()
    assert "that the model" in found.unknown[0]
    assert "is not in the workspace" in found.unknown[0]


def test_a_model_outside_its_workspace_is_never_known(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.path / "models" / "pretrain", tmp_path / "elsewhere" / "models" / "pretrain")
    found = training_text(tmp_path / "elsewhere" / "models" / "pretrain")
    assert found.corpora == ()
    assert len(found.unknown) == 3
    bare = tmp_path / "bare"
    bare.mkdir()
    assert "has no lavra.json" in training_text(bare).unknown[0]


def test_an_edited_card_is_not_believed(made: Made) -> None:
    path = made.path / "models" / "pretrain" / "lavra.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "parents": {}}))
    assert "it was edited" in training_text(path.parent).unknown[0]
    assert "is not in the workspace" in training_text(made.path / "models" / "small").unknown[0]
