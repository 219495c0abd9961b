"""`lavra evaluate --predictions`, and what `lavra evaluate` knows about a model's training text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sacrebleu

from lavra.base.card import write_card
from lavra.base.errors import InputError
from lavra.base.workspace import Workspace
from lavra.cli.main import main
from lavra.text.corpus import build_corpus
from lavra.verbs.contamination import known_corpora


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    out, ref = tmp_path / "out.txt", tmp_path / "ref.txt"
    out.write_text("the cat sat on the mat\na dog ran home\n\n")
    ref.write_text("the cat sat on a mat\nthe dog ran home quickly\nnothing\n")
    return str(out), str(ref)


def test_files_are_compared_and_written(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, ref = files
    json_file, table = tmp_path / "out.json", tmp_path / "out.md"
    command = ["evaluate", "--predictions", out, "--references", ref, "--metrics", "bleu,chrf", "--resamples", "20"]
    assert main([*command, "--json", str(json_file), "--markdown", str(table)]) == 0
    written = json.loads(json_file.read_text())
    lines = [Path(name).read_text().removesuffix("\n").split("\n") for name in files]
    assert written["scores"]["bleu"]["value"] == pytest.approx(sacrebleu.corpus_bleu(lines[0], [lines[1]]).score)
    assert (written["num_segments"], written["num_empty"]) == (3, 1)
    assert len(written["scores"]["chrf"]["by_segment"]) == 3
    assert table.read_text().count("\n") == 4
    assert "3 segments, 1 of them with an empty prediction" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--predictions", "OUT"], "has no references; name the files of right texts with --references"),
        (["--references", "REF"], "given without predictions"),
        (["--predictions", "OUT", "--references", "REF", "--tasks", "piqa"], "scored without a model"),
        (["model", "--predictions", "OUT", "--references", "REF"], "model is named beside --predictions"),
        (["--predictions", "OUT", "--references", "REF", "--metrics", "blue"], "did you mean 'bleu'"),
        (["--predictions", "OUT", "--references", "none.txt"], "none.txt is not a file"),
    ],
)
def test_contradictory_settings_are_refused(
    files: tuple[str, str], flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"OUT": files[0], "REF": files[1]}
    assert main(["evaluate", *(places.get(flag, flag) for flag in flags)]) != 0
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_corpora_are_indexed_once_in_the_workspace_of_the_model(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    for at in range(6):
        (tmp_path / f"{at}.txt").write_text(" ".join(f"word{at}x{number}" for number in range(200)))
    corpus = build_corpus([tmp_path / f"{at}.txt" for at in range(6)], workspace / "corpora" / "text")
    own = Workspace(tmp_path / "own")
    for name, parents in (("known", {"corpus": corpus.id}), ("part", {"corpus": corpus.id, "teacher": "0" * 16})):
        (workspace / "models" / name).mkdir(parents=True)
        write_card(workspace / "models" / name, kind="model", parents=parents, config={"name": name})
    known = known_corpora(workspace / "models" / "known", (), own)
    assert known.check is not None
    assert known.notes == ()
    assert [path.name for path in (workspace / "indexes").iterdir()] == [f"ngrams-{corpus.id}"]
    part = known_corpora(workspace / "models" / "part", (), own)
    assert part.check is not None
    assert "of a part of the training text only: the teacher" in part.notes[0]
    named = known_corpora(None, (corpus.path,), own)
    assert named.check is not None
    assert (tmp_path / "own" / "indexes" / f"ngrams-{corpus.id}").is_dir()


def test_an_unknown_corpus_is_never_called_clean(tmp_path: Path) -> None:
    own = Workspace(tmp_path)
    for folder, said in ((tmp_path, "has no lavra.json"), (None, "a URL does not name its model's texts")):
        found = known_corpora(folder, (), own)
        assert found.check is None
        assert "contamination is unknown" in found.notes[0]
        assert said in found.notes[0]
    with pytest.raises(InputError, match=r"no lavra\.json"):
        known_corpora(None, (tmp_path,), own)
