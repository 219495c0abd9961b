"""The benchmarks in lavra: each file is read, has a source, and covers all its rows."""

from __future__ import annotations

import random
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score

from lavra.evaluation.benchmarks.assin2 import assin2
from lavra.evaluation.benchmarks.faquad import portuguese
from lavra.evaluation.benchmarks.glue import similarity
from lavra.evaluation.benchmarks.lener_br import entities
from lavra.evaluation.benchmarks.super_glue import macro, record
from lavra.evaluation.items import OutputType
from lavra.evaluation.task_files.opening import open_tasks
from lavra.evaluation.task_files.task import EvalTask
from lavra.metrics.answers import answer_f1, exact_match

ROOT = Path(__file__).parents[3]
MADE = Path(__file__).parent / "made"
SAME = {("social_iqa", 669)}  # the right answer stands among the wrong ones too; its file says so
SAYS = ("version", "about", "source", "licence", "verified")


@pytest.fixture(scope="module")
def shipped() -> list[EvalTask]:
    """All shipped tasks; they find their data among files made here."""
    return list(open_tasks(["*"], data=MADE).tasks)


def check_every_row(task: EvalTask) -> None:
    for doc_id in range(task.num_documents):
        item = task.item(doc_id)
        assert item.gold is not None, f"{task.name}, row {doc_id} has no right answer"
        assert item.prompt if item.kind is OutputType.GENERATE_UNTIL else all(pair.continuation for pair in item.pairs)
        if isinstance(item.gold, int) and (task.name, doc_id) not in SAME:
            assert item.pairs.count(item.pairs[item.gold]) == 1 < len(item.pairs), f"{task.name}, row {doc_id}"


def test_every_file_says_what_it_is_and_where_it_comes_from(shipped: list[EvalTask]) -> None:
    assert len(shipped) > 140
    for task in shipped:
        known = task.file.metadata
        assert not [key for key in SAYS if key not in known], task.name
        assert isinstance(known["verified"], bool)
        assert known["verified"] == ("data_hash" in known) == ("rows" in known), task.name
        assert not task.file.warnings, task.name


def test_names_that_users_say_are_there() -> None:
    opened = open_tasks(["glue", "superglue", "mmlu", "truthfulqa", "bigbench", "bbh", "summarization", "portuguese"])
    assert len(opened.tasks) > 120
    assert {"mmlu", "mmlu_stem", "mmlu_other", "mmlu_social_sciences", "mmlu_humanities", "bbh"} == {
        group.name for group in opened.groups
    }
    assert len(next(group for group in opened.groups if group.name == "mmlu").tasks) == 57


def test_the_page_says_what_the_files_say(shipped: list[EvalTask]) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "benchmark_tasks.py"))
    page = (ROOT / "docs" / "benchmark-tasks.md").read_text("utf-8")
    assert script["page"](sorted(shipped, key=lambda task: task.name)) == page, "run python scripts/benchmark_tasks.py"


def test_python_beside_task_files_stands_alone() -> None:
    for path in (ROOT / "lavra" / "evaluation" / "benchmarks").glob("*/*.py"):
        assert not re.search(r"^\s*(from|import) lavra", path.read_text("utf-8"), re.MULTILINE), path


def test_made_rows_of_unverified_tasks_are_asked(shipped: list[EvalTask]) -> None:
    unverified = [task for task in shipped if not task.file.metadata["verified"]]
    assert len(unverified) == 25
    for task in unverified:
        check_every_row(task)


@pytest.mark.parametrize(
    ("name", "row", "prompt", "choices", "gold"),
    [
        ("mrpc", 2, "Sentence 1: NA\nSentence 2: None\nQuestion: Do both sentences mean the same thing?\nAnswer:",
         (" no", " yes"), 1),
        ("qqp", 1, 'Question 1: Why is the sky "blue?\nQuestion 2: Why is grass green?\n'
         "Question: Do both questions ask the same thing?\nAnswer:", (" no", " yes"), 0),
        ("mnli", 1, "He walked to the station.\nQuestion: He moved on foot. True, False or Neither?\nAnswer:",
         (" True", " Neither", " False"), 0),
        ("mnli", 2, "You and your friends are not welcome here, said Severn.\n"
         "Question: Severn said the people were welcome there. True, False or Neither?\nAnswer:",
         (" True", " Neither", " False"), 2),
        ("wic", 0, "Sentence 1: The bank of the river was steep.\nSentence 2: She keeps her money in a bank.\n"
         "Question: Is the word 'bank' used in the same way in the two sentences above?\nAnswer:", (" no", " yes"), 0),
        ("hellaswag", 0, "Roof shingle removal: A man is sitting on a roof. He", None, 3),
        ("bigbench_json_known_unknowns", 0, "\nQ: What did I dream last night?\nA:", (" Unknown", " A horse"), 0),
        ("bigbench_json_code_line_description", 0, "Give an English language description of Python code.\n"
         "Python code:\nx = 1\n  choice: sets x to one\n  choice: prints x\nEnglish language description:",
         (" sets x to one", " prints x"), 0),
    ],
)  # fmt: skip
def test_made_rows_are_asked_in_these_words(
    shipped: list[EvalTask], name: str, row: int, prompt: str, choices: tuple[str, ...] | None, gold: int
) -> None:
    item = next(task for task in shipped if task.name == name).item(row)
    assert item.pairs[0].context == prompt
    assert choices is None or tuple(pair.continuation for pair in item.pairs) == choices
    assert item.gold == gold


@pytest.mark.data
@pytest.mark.slow
def test_real_rows_of_verified_tasks_are_asked(lavra_data: Path) -> None:
    verified = [task for task in open_tasks(["*"], data=lavra_data).tasks if task.file.metadata["verified"]]
    assert len(verified) > 120
    for task in verified:
        assert task.num_documents == task.file.metadata["rows"], task.name
        assert not task.warnings, task.name  # the rows' hash among them
        check_every_row(task)


# ---------------------------------------------------------------- scores beside task files, beside peers


def random_texts(drawn: random.Random) -> tuple[str, str]:
    words = ["a", "The", "an", "o", "Uma", "gato,", "são-paulo", "«cão»", "x", "1.5", "--", "do"]
    return tuple(" ".join(drawn.choices(words, k=drawn.randrange(5))) for _ in range(2))  # type: ignore[return-value]


def test_answers_are_compared_as_in_squad() -> None:
    drawn = random.Random(0)
    for _ in range(2000):
        answer, right = random_texts(drawn)
        ours = portuguese.process_results({"answers": [right]}, [answer])
        assert ours == {
            "exact_match": exact_match(answer, right, "pt"),
            "f1": pytest.approx(answer_f1(answer, right, "pt")),
        }
        found = record.process_results({"entities": ["?", answer], "answers": [right]}, [(-2.0, False), (-1.0, True)])
        assert found == {"em": exact_match(answer, right), "f1": pytest.approx(answer_f1(answer, right))}


@pytest.mark.parametrize("num_labels", [2, 3])
def test_macro_f1_is_that_of_scikit_learn(num_labels: int) -> None:
    drawn = random.Random(num_labels)
    for _ in range(30):
        pairs = [(drawn.randrange(num_labels), drawn.randrange(num_labels)) for _ in range(drawn.randrange(1, 12))]
        gold, answered = zip(*pairs, strict=True)
        wanted = f1_score(gold, answered, average="macro", zero_division=0.0)
        assert assin2.macro_f1(pairs) == pytest.approx(wanted, abs=1e-12)
        wanted = f1_score(gold, answered, average="macro", zero_division=0.0, labels=[0, 1, 2])
        assert macro.cb_multi_fi(pairs) == pytest.approx(wanted, abs=1e-12)
        there = [
            (right, np.int64(label)) for right, label in pairs
        ]  # as the harness has them; NumPy's truths add up to 1
        assert assin2.macro_f1(there) == assin2.macro_f1(pairs)
        assert macro.cb_multi_fi(there) == macro.cb_multi_fi(pairs)


def test_correlations_are_those_of_scipy() -> None:
    drawn = random.Random(1)
    for _ in range(100):
        pairs = [(float(drawn.randrange(6)), drawn.random() * 5) for _ in range(20)]
        answered, right = zip(*pairs, strict=True)
        assert (
            similarity.pearson_corr(pairs) == assin2.pearson_corr(pairs) == pytest.approx(pearsonr(answered, right)[0])
        )
        assert similarity.spearman_corr(pairs) == pytest.approx(spearmanr(answered, right)[0])
    assert (
        similarity.pearson_corr([(1.0, 2.0), (1.0, 3.0)]) == similarity.spearman_corr([(1.0, 2.0), (1.0, 3.0)]) == 0.0
    )


@pytest.mark.parametrize(
    ("text", "score"),
    [(" 4,5.", 4.5), ("about 3 of 5", 3.0), ("none", None), ("7", None), ("[invalid]", None), ("42", None)],
)
def test_a_similarity_is_read_out_of_an_answer(text: str, score: float | None) -> None:
    assert similarity.parse_score(text) == assin2.parse_score(text) == score


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        ("pessoa: Ana Sá; local: Rio", (2, 2, 2)),
        (" local: Rio; Pessoa:  Ana  Sá.", (2, 2, 2)),
        ("pessoa: Ana Sá; pessoa: Ana Sá", (1, 2, 2)),
        ("pessoa: Ana", (0, 1, 2)),
        ("nenhuma", (0, 0, 2)),
        ("", (0, 0, 2)),
    ],
)
def test_entities_of_an_answer_are_counted(answer: str, counts: tuple[int, int, int]) -> None:
    assert entities.process_results({"entities": "pessoa: Ana Sá; local: Rio"}, [answer]) == {"entity_f1": counts}


def test_entities_are_read_from_tags() -> None:
    text = "Ana B-PESSOA\nSá I-PESSOA\nno O\nRio I-LOCAL\nVara B-LOCAL\n\nNada O\n. O\n\n"
    rows = entities.sentence_rows([{"text": text}])
    assert [row["entities"] for row in rows] == ["pessoa: Ana Sá; local: Rio; local: Vara", "nenhuma"]
    assert entities.micro_f1([(1, 2, 3), (0, 0, 1)]) == pytest.approx(2 / 6)
    assert entities.micro_f1([(0, 0, 0)]) == 0.0


def test_parallel_files_of_different_length_are_refused() -> None:
    tasks: Any = open_tasks(["flores_en-pt", "piqa"]).tasks
    for task in tasks:
        with pytest.raises(ValueError, match=r"shorter|longer"):
            task.file.process_docs([{"text": '{"goal": "a", "sol1": "b", "sol2": "c"}\n' * 2}, {"text": "0\n"}])
