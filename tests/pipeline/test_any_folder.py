"""`lavra up` on users' folders: it works, or names at once what is missing and which flags help."""

from __future__ import annotations

import io
import re
import time
from dataclasses import fields
from pathlib import Path

import pytest

from lavra.base.errors import InputError, LavraError
from lavra.base.workspace import Workspace
from lavra.pipeline.fit import DoesNotFitError, to_text
from lavra.pipeline.plan import Plan
from lavra.pipeline.results import Skipped
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import StageOutcome, run_stages
from lavra.pipeline.stages.evaluate import EvaluateResult
from lavra.pipeline.stages.planning import PlanResult
from lavra.pipeline.stages.prepare import (
    CorpusFiles,
    CorpusResult,
    UnusedFile,
    corpus_stage,
    fitting_vocabulary,
    prepare_stages,
    unused_note,
)
from lavra.pipeline.stages.pretrain import PretrainResult
from lavra.pipeline.up import run_up
from lavra.text.corpus import Corpus
from lavra.train.config import TrainConfig
from lavra.verbs.meter import stages_shown
from tests.pipeline.folders import FOLDERS, make_folder, prose
from tests.pipeline.taught import silent

QUICK = 6.0  # seconds for all training


def made(config: UpConfig, workspace: Path) -> Corpus:
    (corpus,) = run_stages([corpus_stage(config, silent)], Workspace.open(workspace))
    return Corpus.open(corpus.folder)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_corpus_of_it_has_two_sides_in_bytes_and_every_text_once(name: str, tmp_path: Path) -> None:
    folder = make_folder(name, tmp_path / "text")
    corpus = made(UpConfig(text=folder), tmp_path / "w")
    train, heldout = corpus.num_bytes("train"), corpus.num_bytes("heldout")
    once = sum(path.stat().st_size for path in folder.iterdir())
    if name == "mostly copies":
        once = 45_000
    assert 0.9 * once <= train + heldout <= 1.06 * once
    wanted = corpus.counts["split"]["wanted"]
    assert heldout / (train + heldout) == pytest.approx(wanted, rel=0.35)
    assert heldout >= 1000
    if name == "ten notes":
        assert corpus.counts["split"]["divided"] == 0  # there are enough whole ones


@pytest.mark.parametrize("name", ["one book", "ten notes"])
def test_documents_that_are_added_leave_the_others_where_they_were(name: str, tmp_path: Path) -> None:
    folder = make_folder(name, tmp_path / "text")
    before = {document.text for document in made(UpConfig(text=folder), tmp_path / "w").documents("train")}
    (folder / "zz.txt").write_text(prose(77, 3000))
    after = {document.text for document in made(UpConfig(text=folder), tmp_path / "w").documents("heldout")}
    words = [" ".join(text.split()) for text in before]
    moved = sum(len(text) for text in after if any(" ".join(text.split()) in one for one in words))
    assert moved <= 0.5 * sum(map(len, after))


def settings_in(message: str) -> list[str]:
    """Settings that a remedy names; the command line turns them into flags."""
    return re.findall(r"`([a-z][a-z_]+)", message)


def settings_of_up() -> set[str]:
    return {field.name for field in fields(UpConfig)}


def refusal(tmp_path: Path, config: UpConfig) -> str:
    """The error of `up`, raised at once."""
    began = time.monotonic()
    with pytest.raises(LavraError) as refused:
        run_up(config, Workspace.open(tmp_path / "w"), silent)
    assert time.monotonic() - began < 10
    message = str(refused.value)
    assert settings_in(message)
    assert set(settings_in(message)) <= settings_of_up()
    return message


def test_a_few_hundred_bytes_are_refused_with_the_number_the_bound_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text(prose(1, 700))
    message = refusal(tmp_path, UpConfig(text=tmp_path / "note.txt"))
    assert re.search(r"the text has 70\d bytes after cleaning, of 700 that were read", message)
    assert "needs 1,024 or more: give more text with `text`" in message


def test_text_that_is_dropped_is_named_in_the_refusal(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "note.txt").write_text(prose(1, 700))
    (tmp_path / "t" / "table.txt").write_text("1 2 3\n" * 400)
    message = refusal(tmp_path, UpConfig(text=tmp_path / "t"))
    assert re.search(r"lines too short on average: 2,400 bytes dropped", message)


def test_the_users_choices_stay_and_the_remedy_fits(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text(prose(1, 3000))
    message = refusal(tmp_path, UpConfig(text=tmp_path / "note.txt", sequence_length=2048))
    assert "fills 0 rows of 2048 tokens, and 1 is needed" in message
    assert "`sequence_length`" in message
    message = refusal(tmp_path, UpConfig(text=tmp_path / "note.txt", sequence_length=64, step_tokens=65536))
    remedy = re.search(r"`step_tokens (\d+)` or less", message)
    assert remedy
    assert int(remedy[1]) % 64 == 0
    assert 0 < int(remedy[1]) < 3000


def plan(length: int, batch: int) -> Plan:
    return Plan(
        family="llama",
        hidden_size=64,
        num_layers=2,
        num_heads=1,
        sequence_length=length,
        batch_size=batch,
        train=TrainConfig(num_steps=4),
        seed=0,
    )


@pytest.mark.parametrize(
    ("tokens", "length", "batch"), [(1_000_000, 256, 8), (2048, 128, 16), (1500, 64, 23), (200, 64, 3), (64, 64, 1)]
)
def test_rows_and_batches_shrink_to_the_text(tokens: int, length: int, batch: int) -> None:
    fitted, notes = to_text(plan(256, 8), UpConfig(), lambda each: tokens // each)
    assert (fitted.sequence_length, fitted.batch_size) == (length, batch)
    assert batch * length <= min(tokens, 2048)
    assert bool(notes) == (tokens < 4096)


def test_hopeless_rows_are_refused() -> None:
    with pytest.raises(
        DoesNotFitError, match=r"fills 0 rows of 64 tokens, and 1 is needed; give more text with `text`$"
    ):
        to_text(plan(256, 8), UpConfig(), lambda each: 50 // each)


def test_a_vocabulary_is_met_often_enough_to_be_learnt() -> None:
    assert fitting_vocabulary(4096, 10_000_000, 512) == 4096
    assert fitting_vocabulary(4096, 100_000, 512) == 1024
    assert fitting_vocabulary(4096, 5_000, 512) == 512
    assert fitting_vocabulary(300, 5_000, 512) == 300  # no more than asked for


def test_settings_of_the_tokenizer_are_kept(tmp_path: Path) -> None:
    folder = make_folder("ten notes", tmp_path / "text")
    sizes = []
    for config in (UpConfig(text=folder), UpConfig(text=folder, vocab_size=300)):
        outcomes = run_stages(prepare_stages(config, silent), Workspace.open(tmp_path / "w"))
        sizes.append(outcomes[1].result.vocab_size)
    assert 300 == sizes[1] < sizes[0] <= 514  # 4,096 are usual


def up(folder: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> dict[str, StageOutcome]:
    monkeypatch.setattr("lavra.pipeline.settings._LEAST_BUDGET", QUICK)
    monkeypatch.setattr("lavra.compression.folder._WRITTEN", 4)
    config = UpConfig(**{"text": folder, "budget": QUICK, "compile": "off", "num_samples": 1, **changes})
    result = run_up(config, Workspace.open(workspace), silent)
    assert result.report.exists()
    assert result.verdict
    return {outcome.stage: outcome for outcome in result.stages}


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_up_goes_through_and_its_figures_agree(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = up(make_folder(name, tmp_path / "text"), tmp_path / "w", monkeypatch)
    final = stages["evaluate"].result_as(EvaluateResult).bits_per_byte
    last = stages["pretrain"].result_as(PretrainResult).glances[-1].scores
    # The figures during training and at the end are equal, or within the error of sampling.
    assert last["bits_per_byte"] == pytest.approx(final, abs=4 * last.get("bits_per_byte_error", 0) + 1e-3)
    assert final < 8


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "bert", "t5"])
@pytest.mark.parametrize("num_bytes", [1100, 4000])
def test_hardly_any_text_makes_something_small(
    family: str, num_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later stages do what they can and give reasons for the rest; none ends the run."""
    (tmp_path / "note.txt").write_text(prose(1, num_bytes))
    stages = up(tmp_path / "note.txt", tmp_path / "w", monkeypatch, family=family)
    assert stages["plan"].result_as(PlanResult).notes
    for name in ("evaluate", "compress", "adapt", "encoder"):
        result = stages[name].result
        assert not isinstance(result, Skipped) or result.why


def test_the_corpus_says_how_it_was_split(tmp_path: Path) -> None:
    folder = make_folder("one book", tmp_path / "text")
    (outcome,) = run_stages([corpus_stage(UpConfig(text=folder), silent)], Workspace.open(tmp_path / "w"))
    result = outcome.result_as(CorpusResult)
    assert result.split.endswith(
        "sections of 1 document too long to be held out whole; its other sections are trained on, these never"
    )
    assert result.files.num_used == 1


def test_a_folder_without_text_says_what_it_found(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match="no document is left of 0 read"):
        made(UpConfig(text=tmp_path / "t"), tmp_path / "w")


def shown(folder: Path, workspace: Path) -> str:
    """The line that says the corpus is there."""
    stream = io.StringIO()
    with stages_shown(stream):
        made(UpConfig(text=folder), workspace)
    return stream.getvalue().splitlines()[-1]


def test_the_line_of_the_corpus_counts_the_files_that_were_not_used(tmp_path: Path) -> None:
    folder = make_folder("ten notes", tmp_path / "text")
    assert "not used" not in shown(folder, tmp_path / "all")
    (folder / "none.txt").touch()
    line = shown(folder, tmp_path / "one")
    assert line.endswith("; 1 of 11 files was not used: the report lists each with its reason")
    (folder / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for became in ("done in", "unchanged, reused"):
        line = shown(folder, tmp_path / "two")
        assert became in line
        assert line.endswith("; 2 of 12 files were not used: the report lists each with its reason")
    for number in range(20):
        (folder / f"none{number}.txt").touch()
    assert shown(folder, tmp_path / "many").endswith(
        "; 22 of 32 files were not used: the report lists 12, with reasons"
    )


def test_a_file_that_was_read_in_part_is_counted_once() -> None:
    one = UnusedFile(name="t/a.csv", reason="damaged csv", detail="after 3 documents")
    files = CorpusFiles(used=(), unused=(one,), num_used=3, num_unused=1, num_found=3)
    assert unused_note(files) == ("1 of 3 files was not used or only in part: the report lists each with its reason")
