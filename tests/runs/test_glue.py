"""GLUE and SuperGLUE by finetuning: the benchmarks' own files, scores against scikit-learn, the fixed recipe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from lavra.base.errors import ConfigError, InputError
from lavra.evaluation.results import TaskResult
from lavra.runs.glue.finetuning import finetune_glue
from lavra.runs.glue.job import GlueRecipe
from lavra.runs.glue.rows import GlueRow
from lavra.runs.glue.scores import (
    GluePrediction,
    count_answers,
    count_candidates,
    count_choices,
    count_labels,
    count_numbers,
)
from lavra.runs.glue.tasks import GLUE_TASKS, find_tasks
from tests.runs.glue_made import write_glue
from tests.runs.tasks import BAD, GOOD, base_folder

QUICK = GlueRecipe(least_steps=2, epochs=0.01, batch_size=8)


def quiet(*_: object) -> None:
    pass


def rows_of(name: str, data: Path, split: str = "train") -> tuple[GlueRow, ...]:
    task = GLUE_TASKS[name]
    path = data / (task.train[0] if split == "train" else next(iter(task.dev.values()))[0])
    return task.read(path if path.exists() else path.with_name(path.name + ".gz")).rows


# ---------------------------------------------------------------- rows


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_glue(tmp_path_factory.mktemp("glue"))


def test_tables_are_read_by_their_columns_and_quotation_marks_are_text(made: Path) -> None:
    first = rows_of("cola", made)[0]
    assert (first.text, first.pair, first.label) == ('The "cat 0 sat.', None, "0")
    assert rows_of("mrpc", made)[1] == GlueRow(text="One 1.", pair="Two 1.", label="1", group=1)
    assert rows_of("stsb", made)[3].label == 3.0
    assert rows_of("qnli", made)[0].label == "entailment"


def test_questions_with_several_answers_become_rows_that_share_a_group(made: Path) -> None:
    found = rows_of("multirc", made)
    assert [row.group for row in found[:6]] == [0, 0, 1, 2, 2, 3]
    assert (found[1].text, found[1].pair, found[1].label) == ("Who ate? Rui", "Ana ate 0 figs.", "0")
    query = rows_of("record", made)[:4]
    assert [row.candidate for row in query] == ["Ana Silva", "Rui", "Porto", "Ana Silva"]
    assert [row.label for row in query] == ["0", "1", "0", "0"]
    assert [row.group for row in query] == [0, 0, 0, 1]
    assert query[1].text == "Rui bakes bread."
    assert "@highlight" not in str(query[1].pair)


def test_endings_and_pronouns(made: Path) -> None:
    cause, effect = rows_of("copa", made)[:2]
    assert cause.text == "The man 0 fell. What was the cause?"
    assert effect.text == "The man 1 fell. What happened as a result?"
    assert (effect.choices, effect.label) == (("He slipped.", "He sang."), 1)
    pronoun = rows_of("wsc", made)[0]
    assert pronoun.pair == "Ana 0 saw Eva because Ana ran."
    assert rows_of("wic", made)[0].text == "bank: A bank 0."


def test_unreadable_rows_name_file_line_and_remedy(tmp_path: Path) -> None:
    table = tmp_path / "train.tsv"
    table.write_text("index\tsentence1\tsentence2\tlabels\n0\ta\tb\t1\n")
    with pytest.raises(InputError, match=r"train\.tsv:1 has no column 'label'; its columns are index, sentence1"):
        GLUE_TASKS["rte"].read(table)
    table.write_text("index\tsource1\tsource2\tsentence1\tsentence2\tscore\n0\t-\t-\ta\tb\tmuch\n")
    with pytest.raises(InputError, match=r"train\.tsv:2: 'much' is not a number"):
        GLUE_TASKS["stsb"].read(table)
    lines = tmp_path / "train.jsonl"
    lines.write_text('{"premise": "a", "hypothesis": "b", "label": "neutral"}\n{"premise": "a"}\n')
    with pytest.raises(InputError, match=r"train\.jsonl:2 is not a row of this task \(KeyError"):
        GLUE_TASKS["cb"].read(lines)


def test_a_broken_line_of_a_table_is_left_out_and_counted(tmp_path: Path) -> None:
    table = tmp_path / "train.tsv"
    table.write_text("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\ta\tb\t1\n0\t1\t2\tonly this\n")
    found = GLUE_TASKS["qqp"].read(table)
    assert (len(found.rows), found.num_broken) == (1, 1)


@pytest.mark.data
def test_real_development_sets_have_their_published_sizes(lavra_data: Path) -> None:
    sizes = {"cola": 1043, "sst2": 872, "rte": 277, "wnli": 71, "qnli": 5463}
    sizes |= {"boolq": 3270, "cb": 56, "sglue_rte": 277, "wsc": 104}
    assert {name: len(rows_of(name, lavra_data, "dev")) for name in sizes} == sizes
    answers = rows_of("multirc", lavra_data, "dev")
    assert (len(answers), answers[-1].group + 1) == (4848, 953)
    record = GLUE_TASKS["record"].read(lavra_data / "superglue/ReCoRD/dev32.jsonl").rows
    right = {row.group for row in record if row.label == "1"}
    assert right == {row.group for row in record}  # every query's answer is an entity of its passage


# ---------------------------------------------------------------- scores


def labelled(labels: np.ndarray) -> list[GlueRow]:
    return [GlueRow(text="", label=str(label), group=place) for place, label in enumerate(labels)]


def test_scores_of_labels_are_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    for _ in range(40):
        size, classes = int(draw.integers(2, 40)), int(draw.integers(2, 4))
        truth, given = draw.integers(0, classes, size), draw.integers(0, classes, size)
        truth[:2] = (0, 1)
        said = [GluePrediction(label=str(one)) for one in given]
        found = count_labels("accuracy", "f1", "macro_f1", "matthews")(labelled(truth), said).values()
        assert found["accuracy"] == pytest.approx(reference.accuracy_score(truth, given), abs=1e-12)
        assert found["matthews"] == pytest.approx(reference.matthews_corrcoef(truth, given), abs=1e-12)
        macro = reference.f1_score(truth, given, average="macro", zero_division=0)
        assert found["macro_f1"] == pytest.approx(macro, abs=1e-12)
        positive = reference.f1_score(truth == 1, given == 1, zero_division=0)
        assert found["f1"] == pytest.approx(positive, abs=1e-12)


def test_correlations_are_scipys_and_undefined_ones_are_no_score() -> None:
    draw = np.random.default_rng(1)
    truth, given = draw.uniform(0, 5, 50).round(1), draw.normal(size=50)
    rows = [GlueRow(text="", label=float(one), group=place) for place, one in enumerate(truth)]
    found = count_numbers(rows, [GluePrediction(label=float(one)) for one in given]).values()
    assert found["pearson"] == pytest.approx(stats.pearsonr(truth, given).statistic)
    assert found["spearman"] == pytest.approx(stats.spearmanr(truth, given).statistic)


def test_multirc_is_counted_over_answers_and_over_questions() -> None:
    """Three questions: all right; one of two wrong; a false alarm."""
    labels, said, groups = ["1", "0", "1", "1", "0"], ["1", "0", "1", "0", "1"], [0, 0, 1, 1, 2]
    rows = [GlueRow(text="", label=label, group=group) for label, group in zip(labels, groups, strict=True)]
    counted = count_answers(rows, [GluePrediction(label=one) for one in said])
    assert counted.num_units == 3
    truth = [label == "1" for label in labels]
    assert counted.values() == {
        "f1a": pytest.approx(reference.f1_score(truth, [one == "1" for one in said])),
        "exact_match": pytest.approx(1 / 3),
    }


def test_record_takes_the_likeliest_candidate_and_its_best_gold() -> None:
    golds = ("the Porto river", "Douro")
    rows = [
        GlueRow(text="", label="0", group=0, candidate="Porto", golds=golds),
        GlueRow(text="", label="1", group=0, candidate="Douro", golds=golds),
        GlueRow(text="", label="1", group=1, candidate="The Douro!", golds=golds),
    ]
    said = [GluePrediction(label="1", positive=p) for p in (0.9, 0.4, 0.1)]
    counted = count_candidates(rows, said)
    assert counted.num_units == 2
    # "porto" shares one of two words with "porto river"; "The Douro!" is "douro" once written alike
    assert counted.values() == {"f1": pytest.approx((2 / 3 + 1) / 2), "exact_match": 0.5}


def test_endings_are_right_or_wrong() -> None:
    rows = [GlueRow(text="", choices=("a", "b"), label=n % 2, group=n) for n in range(4)]
    assert count_choices(rows, [GluePrediction(label=1)] * 4).values() == {"accuracy": 0.5}


# ---------------------------------------------------------------- finetuning


def by_name(results: tuple[TaskResult, ...]) -> dict[str, TaskResult]:
    return {one.task: one for one in results}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "llama", "t5"])
def test_every_task_runs_on_its_own_format(tmp_path: Path, made: Path, family: str) -> None:
    tasks = find_tasks(["glue", "super_glue"])
    assert (len(tasks), len(find_tasks(["glue"]))) == (17, 9)
    found = by_name(finetune_glue(base_folder(tmp_path / "base", family), tasks, made, tmp_path / "w", QUICK, quiet))
    scores = {name: [one.name for one in result.metrics] for name, result in found.items()}
    assert scores == {
        "cola": ["matthews"],
        "sst2": ["accuracy"],
        "mrpc": ["f1", "accuracy"],
        "stsb": ["pearson", "spearman"],
        "qqp": ["f1", "accuracy"],
        "mnli": ["accuracy (matched)", "accuracy (mismatched)"],
        "qnli": ["accuracy"],
        "rte": ["accuracy"],
        "wnli": ["accuracy"],
        "boolq": ["accuracy"],
        "cb": ["accuracy", "macro_f1"],
        "copa": ["accuracy"],
        "multirc": ["f1a", "exact_match"],
        "record": ["f1", "exact_match"],
        "sglue_rte": ["accuracy"],
        "wic": ["accuracy"],
        "wsc": ["accuracy"],
    }
    assert all(one.num_items == 8 for name, one in found.items() if name not in {"mnli", "multirc"})


def test_a_learnable_task_is_learnt_once(tmp_path: Path) -> None:
    """SST-2 with two kinds of words: scored on unseen rows, and a second run trains nothing."""
    folder = tmp_path / "glue/SST-2"
    folder.mkdir(parents=True)
    for name, count in (("train", 120), ("dev", 40)):
        lines = [f"the {(GOOD, BAD)[n % 2][n // 2 % 4]} film\t{1 - n % 2}" for n in range(count)]
        (folder / f"{name}.tsv").write_text("sentence\tlabel\n" + "\n".join(lines) + "\n")
    base = base_folder(tmp_path / "base")
    recipe = GlueRecipe(most_rows=100, limit=30, least_steps=60, epochs=1, batch_size=8, learning_rate=3e-3)
    parts: list[str] = []

    def progress(part: str, *_: object) -> None:
        parts.append(part)

    (first,) = finetune_glue(base, find_tasks(["sst2"]), tmp_path, tmp_path / "work", recipe, progress)
    (score,) = first.metrics
    assert score.value is not None
    assert score.value >= 0.9
    assert (score.num_items, first.num_available, score.chance) == (30, 40, 0.5)
    assert first.warnings == ("learnt from 100 of 120 training rows",)
    assert parts.count("finetune for SST-2") == 60
    assert not list((tmp_path / "work").rglob("checkpoints"))
    parts.clear()
    (second,) = finetune_glue(base, find_tasks(["sst2"]), tmp_path, tmp_path / "work", recipe, progress)
    assert not parts
    assert (second.metrics, second.cost.from_ledger) == (first.metrics, 30)


def test_a_task_that_cannot_be_learnt_is_listed_with_the_reason(tmp_path: Path, made: Path) -> None:
    line = {"premise": "a", "hypothesis": "b", "label": "neutral"}
    folder = tmp_path / "superglue/CB"
    folder.mkdir(parents=True)
    for name in ("train", "dev32"):
        (folder / f"{name}.jsonl").write_text((json.dumps(line) + "\n") * 4)
    found = by_name(
        finetune_glue(base_folder(tmp_path / "base"), find_tasks(["cb", "wic"]), tmp_path, tmp_path / "w", QUICK, quiet)
    )
    assert found["cb"].warnings == ("not learnt: all 4 training rows are 'neutral'",)
    assert found["wic"].warnings == ("not here: superglue/WiC/train.jsonl, superglue/WiC/val.jsonl",)
    assert not found["cb"].metrics
    assert not found["wic"].metrics


def test_few_rows_other_files_and_constant_answers_are_reported(tmp_path: Path) -> None:
    folder = tmp_path / "superglue/CB"
    folder.mkdir(parents=True)
    for name in ("train", "dev32"):
        lines = [{"premise": f"a{n}", "hypothesis": "b", "label": ("neutral", "entailment")[n == 0]} for n in range(9)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recipe = GlueRecipe(least_steps=40, batch_size=8, learning_rate=3e-3)
    (found,) = finetune_glue(
        base_folder(tmp_path / "base"), find_tasks(["cb"]), tmp_path, tmp_path / "w", recipe, quiet
    )
    assert found.warnings == (
        "learnt from 9 samples: a few-shot score, not the benchmark's",
        "superglue/CB/val.jsonl is not here; scored on dev32.jsonl",
    )
    assert found.alarms == ("One constant answer: 'neutral' for all 9 rows.",)
    assert found.num_failures == 1
    (wrong,) = found.failures
    assert (wrong.prompt, wrong.expected, wrong.answer) == ("a0\nb", "entailment", "neutral")


def test_a_training_that_explodes_costs_its_task_alone(tmp_path: Path, made: Path) -> None:
    recipe = GlueRecipe(least_steps=30, batch_size=4, learning_rate=1e9)
    base, tasks = base_folder(tmp_path / "base"), find_tasks(["stsb", "wic"])
    stsb, wic = finetune_glue(base, tasks, made, tmp_path / "work", recipe, quiet)
    assert stsb.warnings[0].startswith("not learnt: step 1: the loss ")
    assert (stsb.metrics, wic.task) == ((), "wic")


def test_the_recipe_is_fixed_and_checked() -> None:
    recipe = GlueRecipe()
    assert recipe.most_rows == 2000
    assert recipe.steps(2000) == 375
    assert recipe.steps(32) == 200
    assert "at most 2,000 rows" in recipe.in_words()
    with pytest.raises(ConfigError, match="most_rows is 0; it must be at least 1"):
        GlueRecipe(most_rows=0)
    with pytest.raises(ConfigError, match="'colla' is not finetuned for; did you mean 'cola'"):
        find_tasks(["colla"])
