"""The benchmarks stage: questions about held-out text, sized to the time, and their part of the report."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from lavra.base.convert import to_mapping
from lavra.evaluation.task_files.opening import open_tasks
from lavra.model.build import build_model
from lavra.model.checkpoint import save_checkpoint
from lavra.model.config import Kind
from lavra.model.families.table import preset
from lavra.pipeline.results import Skipped, from_plain, read_result, write_result
from lavra.pipeline.sections.benchmarks import up_benchmarks_section
from lavra.pipeline.settings import UpConfig, planned_shares, shares
from lavra.pipeline.stage import StageContext
from lavra.pipeline.stages import benchmarks
from lavra.pipeline.stages.benchmarks import BenchmarksFigures, BenchmarksResult, benchmarks_stage
from lavra.pipeline.up import up_stages
from lavra.report.page import Report
from lavra.text.config import CorpusConfig
from lavra.text.corpus import build_corpus
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
from tests.pipeline.taught import silent

SOUNDS = ("ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "zo")


def story(number: int) -> str:
    """Sentences of invented words."""
    draw = random.Random(number)

    def word() -> str:
        return "".join(draw.choice(SOUNDS) for _ in range(draw.randint(1, 4)))

    sentences = [" ".join(word() for _ in range(draw.randint(7, 14))).capitalize() + "ndo." for _ in range(30)]
    return "\n\n".join(" ".join(sentences[place : place + 6]) for place in range(0, 30, 6))


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("benchmarks")
    (folder / "text").mkdir()
    for number in range(60):
        (folder / "text" / f"{number}.txt").write_text(story(number))
    build_corpus([folder / "text"], folder / "corpus", CorpusConfig(heldout_fraction=0.3))
    tokenizer = train_tokenizer([story(number) for number in range(60)], TokenizerConfig(kind="bpe", vocab_size=400))
    torch.manual_seed(0)
    config = preset("llama", vocab_size=400, hidden_size=64, num_layers=1, num_heads=2, max_positions=128)
    save_checkpoint(build_model(config), folder / "pretrain")
    tokenizer.save(folder / "pretrain")
    return {"corpus": folder / "corpus", "pretrain": folder / "pretrain"}


@pytest.fixture(autouse=True)
def no_public_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAVRA_DATA", raising=False)


def run(parents: dict[str, Path], folder: Path, budget: float = 30.0) -> BenchmarksResult | Skipped:
    folder.mkdir(exist_ok=True)
    return benchmarks_stage(UpConfig(budget=budget), silent).run(
        StageContext(folder=folder, scratch=None, parents=parents)
    )


@pytest.fixture(scope="module")
def made(parents: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BenchmarksResult]:
    folder = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LAVRA_DATA", raising=False)
        patch.setattr(benchmarks, "_SECONDS_ALWAYS", 1.0)
        result = run(parents, folder)
    assert isinstance(result, BenchmarksResult)
    return folder, result


def test_an_untrained_model_is_recognised_and_named(made: tuple[Path, BenchmarksResult]) -> None:
    _, result = made
    assert set(result.scores) == set(result.items) == {"heldout_next", "heldout_word"}
    assert min(result.items.values()) >= 20
    assert "above guessing" not in result.verdict
    following = result.evaluation.tasks[0]
    assert following.metrics[0].chance == 0.25
    assert following.num_items == result.items["heldout_next"]


def test_the_questions_are_kept_as_task_files(made: tuple[Path, BenchmarksResult]) -> None:
    folder, result = made
    (task,) = open_tasks([str(folder / "heldout_next.yaml")], data=folder, with_shipped=False).tasks
    assert task.task_hash == result.evaluation.tasks[0].task_hash
    assert task.num_documents >= result.items["heldout_next"]


def test_the_result_is_kept_and_shown(made: tuple[Path, BenchmarksResult], tmp_path: Path) -> None:
    _, result = made
    write_result(tmp_path, result)
    assert read_result(tmp_path, {}, BenchmarksResult, BenchmarksFigures) == result
    figures = {name: to_mapping(result)[name] for name in ("scores", "items", "verdict")}
    assert from_plain(BenchmarksFigures, figures).scores == result.scores
    section = up_benchmarks_section(result)
    assert section.title == "What it can do"
    assert "which passage goes on" in Report(title="t", summary="s", sections=(section,)).render()


def test_without_time_it_says_so_and_tries_again(
    parents: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarks, "_SECONDS_MOST", 0.0)
    found = run(parents, tmp_path / "out", budget=10.0)
    if isinstance(found, BenchmarksResult):  # a fast machine has the time
        pytest.skip("20 items took less than the share")
    assert found.again
    assert found.why.startswith("20 items of each task take about ")
    assert up_benchmarks_section(found).summary.startswith("Skipped: 20 items")


@pytest.mark.slow
def test_more_time_asks_more_items(parents: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks, "_MOST", 33)
    found = run(parents, tmp_path / "out", budget=36_000.0)
    assert isinstance(found, BenchmarksResult)
    assert set(found.items.values()) == {33}


@pytest.mark.slow
def test_public_tasks_are_asked_where_their_files_are(
    parents: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without the files: nothing is dropped silently."""
    monkeypatch.setenv("LAVRA_DATA", str(tmp_path))
    monkeypatch.setattr(benchmarks, "_MOST", 20)
    found = run(parents, tmp_path / "out")
    assert isinstance(found, BenchmarksResult)
    said = [one.split(" was not asked")[0] for one in found.evaluation.warnings]
    assert said == ["arc_easy", "piqa"]


def test_plans_keep_their_names_and_only_decoders_are_asked(tmp_path: Path) -> None:
    assert planned_shares() == {"pretrain": 0.85, "adapt": 0.06, "encoder": 0.04, "compress": 0.05}
    for kind in Kind:
        given = shares(kind, teaches_answers=True, teaches_vectors=True)
        assert ("benchmarks" in given) == (kind is Kind.DECODER)
        assert sum(given.values()) == pytest.approx(1.0)
    for family, asked in (("llama", True), ("bert", False), ("t5", False)):
        names = [stage.name for stage in up_stages(UpConfig(text=tmp_path, family=family), silent)]
        assert ("benchmarks" in names) is asked
