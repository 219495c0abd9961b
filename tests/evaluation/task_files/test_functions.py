"""Functions of benchmarks against lm-evaluation-harness' own, and which functions of a file are known."""

from __future__ import annotations

import importlib.util
import json
import random
import re
import shutil
import string
import sys
import types
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavra.base.errors import ConfigError
from lavra.evaluation.task_files.filters import build_pipeline
from lavra.evaluation.task_files.functions import drop
from lavra.evaluation.task_files.functions.source import fingerprint
from lavra.evaluation.task_files.functions.table import BENCHMARKS, KNOWN_FUNCTIONS, resolve
from lavra.evaluation.task_files.rows import DocumentRows
from lavra.evaluation.task_files.task_file import FilterSetting, PipelineSetting
from lavra.evaluation.task_files.yaml_file import FunctionReference

HARNESS = Path(str(importlib.util.find_spec("lm_eval").submodule_search_locations[0])) / "tasks"  # type: ignore[union-attr,index]
WORDS = [
    "The", "cat's", "3", "hats,", "a", "U.S.", "(blue)", "moon", "1,000", "and", "an",
    "egg", "-", "is", "not", "'here'", ".",
]  # fmt: skip
PROBLEMS = [
    {"question": "Why?", "answer": "B", "options": ["a", "b", "c", "d"]},
    {"question": "It is  _  .", "answer": "D", "options": ["a", "b", "c", "d"]},
    {"question": "Who?", "answer": "C", "options": ["w", "x", "y", "z"]},
]


def text(drawn: random.Random, most: int = 8) -> str:
    return " ".join(drawn.choices(WORDS, k=drawn.randint(1, most)))


def race(drawn: random.Random) -> dict[str, Any]:
    problems = drawn.sample(PROBLEMS, drawn.randint(1, 3))
    return {"article": text(drawn), "problems": str(problems)}


def coqa(drawn: random.Random) -> dict[str, Any]:
    turns = drawn.randint(1, 3)

    def said() -> dict[str, list[str]]:
        return {"input_text": [text(drawn, 2) for _ in range(turns)]}

    return {
        "story": text(drawn),
        "questions": said(),
        "answers": said(),
        "additional_answers": {str(number): said() for number in range(drawn.randint(0, 3))},
    }


def drop_row(drawn: random.Random) -> dict[str, Any]:
    def answer() -> dict[str, Any]:
        spans = [text(drawn, 3) for _ in range(drawn.choice([0, 1, 2, 4]))]
        date = {"day": drawn.choice(["", "3"]), "month": drawn.choice(["", "May"]), "year": ""}
        return {"number": drawn.choice(["", "", "7", "1000"]), "date": date, "spans": spans}

    more = [answer() for _ in range(drawn.randint(0, 3))]
    validated = {key: [one[key] for one in more] for key in ("number", "date", "spans")}
    return {
        "query_id": "q", "passage": text(drawn), "question": text(drawn), "answer": answer(),
        "validated_answers": validated,
    }  # fmt: skip


def winogrande(drawn: random.Random) -> dict[str, Any]:
    sentence = f"{text(drawn)} _ {text(drawn)}"
    return {"sentence": sentence, "option1": text(drawn, 2), "option2": text(drawn, 2), "answer": drawn.choice("12")}


def copa(drawn: random.Random) -> dict[str, Any]:
    return {
        "premise": f" {text(drawn)}. ", "question": drawn.choice(["cause", "effect"]), "choice1": text(drawn),
        "choice2": text(drawn), "label": drawn.randint(0, 1),
    }  # fmt: skip


def record(drawn: random.Random) -> dict[str, Any]:
    entities = [text(drawn, 2) for _ in range(drawn.randint(2, 5))]
    return {
        "passage": f"{text(drawn)}\n@highlight\n{text(drawn)}\n@highlight\n{text(drawn)} ",
        "query": f"{text(drawn)} @placeholder {text(drawn)}", "entities": entities,
        "answers": drawn.sample(entities, drawn.randint(1, 2)),
    }  # fmt: skip


def wsc(drawn: random.Random) -> dict[str, Any]:
    words = [*text(drawn, 12).split(), "his", "hat"]
    place = drawn.randrange(len(words))
    return {"text": " ".join(words), "span2_index": place, "span2_text": words[place], "span1_text": words[0]}


def wsc273(drawn: random.Random) -> dict[str, Any]:
    options = [f"{drawn.choice(['The', 'My', 'Ann'])} {text(drawn, 2)}" for _ in range(2)]
    whole = f"{text(drawn)}  {text(drawn)}. and more of it"
    return {
        "text": whole, "options": options, "pronoun": drawn.choice(["her", "it"]),
        "pronoun_loc": drawn.randrange(2, len(whole) - 4),
    }  # fmt: skip


def truthful(drawn: random.Random) -> dict[str, Any]:
    right = [drawn.choice(["", " x ", "I have no comment", "It is."]) for _ in range(3)] + [text(drawn)]
    wrong = [text(drawn), " no "]
    labels = [drawn.randint(0, 1) for _ in range(3)]
    return {
        "question": f" {text(drawn)} ", "correct_answers": right, "incorrect_answers": wrong,
        "mc2_targets": {"labels": labels},
    }  # fmt: skip


def hellaswag(drawn: random.Random) -> dict[str, Any]:
    return {
        "activity_label": text(drawn, 2), "ctx_a": f"{text(drawn)} [title] x", "ctx_b": f"THEN {text(drawn)}",
        "endings": [f"{text(drawn)} [step] it  is" for _ in range(4)], "label": str(drawn.randint(0, 3)),
    }  # fmt: skip


def page(drawn: random.Random) -> dict[str, Any]:
    signs = [" @-@ ", " @,@ ", " , ", " . ", " = = ", " ( ", " ) ", ' " ', " ' ", "s ' ", " N ", " 's", " \n ", " ; "]
    return {"page": "".join(drawn.choice(signs) + text(drawn, 2) for _ in range(20))}


def mnli(drawn: random.Random) -> dict[str, Any]:
    return {"premise": text(drawn), "hypothesis": f" {text(drawn)}{drawn.choice(['', '.', ' .'])} "}


def sts(drawn: random.Random) -> dict[str, Any]:
    return {"relatedness_score": drawn.uniform(1, 5)}


ROWS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "race": race, "coqa": coqa, "drop": drop_row, "winogrande": winogrande, "xwinograd": winogrande, "copa": copa,
    "record": record, "wsc": wsc, "wsc273": wsc273, "truthfulqa": truthful, "hellaswag": hellaswag, "wikitext": page,
    "mnli": mnli, "portuguese_bench": sts,
}  # fmt: skip
OF_ROWS = [known for known in KNOWN_FUNCTIONS if "process_doc" in known.name]
OF_ANSWERS = [known for known in KNOWN_FUNCTIONS if "process_results" in known.name]
OF_A_ROW = [known for known in KNOWN_FUNCTIONS if ".doc_to_" in known.name or "detokenizer" in known.name
            or "default_doc" in known.name]  # fmt: skip


def folder(known: Any) -> Path:
    module = known.name.rpartition(".")[0]
    (found,) = [path.parent for path in HARNESS.glob(f"**/{known.folder}/{module}.py")
                if fingerprint(path, known.name.rpartition(".")[2]) in known.fingerprints]  # fmt: skip
    return found


def ours(known: Any) -> Callable[..., Any]:
    return resolve(FunctionReference(name=known.name, path=folder(known) / "some.yaml", line=1))


def squad_words(answer: str) -> list[str]:
    bare = "".join(letter for letter in answer.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def squad_f1(right: str, answer: str) -> float:
    wanted, words = squad_words(right), squad_words(answer)
    common = sum((Counter(wanted) & Counter(words)).values())
    if not wanted or not words:
        return float(wanted == words)
    return 2 * common / (len(wanted) + len(words))


def stand_in() -> None:
    """SQuAD's own script, under its name in transformers before version 5."""
    module = types.ModuleType("transformers.data.metrics.squad_metrics")
    module.__dict__["compute_f1"] = squad_f1
    module.__dict__["compute_exact"] = lambda right, answer: int(squad_words(right) == squad_words(answer))
    for name in ("transformers.data", "transformers.data.metrics"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["transformers.data.metrics"].__dict__["squad_metrics"] = module
    sys.modules[module.__name__] = module


def theirs(known: Any) -> Callable[..., Any]:
    stand_in()
    module, _, name = known.name.rpartition(".")
    spec = importlib.util.spec_from_file_location(f"harness_{known.folder}_{module}", folder(known) / f"{module}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return getattr(loaded, name)  # type: ignore[no-any-return]


def key(known: Any) -> str:
    return str(known.key)


@pytest.mark.slow
@pytest.mark.parametrize("known", OF_A_ROW, ids=key)
def test_fields_of_random_rows_are_alike(known: Any) -> None:
    drawn, other, function = random.Random(1), theirs(known), ours(known)
    for _ in range(300):
        row = ROWS[known.folder](drawn)
        assert function(json.loads(json.dumps(row))) == other(json.loads(json.dumps(row)))


@pytest.mark.slow
@pytest.mark.parametrize("known", OF_ROWS, ids=key)
def test_rows_are_changed_alike(known: Any) -> None:
    import datasets

    datasets.disable_progress_bars()
    drawn = random.Random(2)
    rows = [ROWS[known.folder](drawn) for _ in range(100)]
    for changed, wanted in zip(
        ours(known)(DocumentRows(json.loads(json.dumps(rows)))),
        theirs(known)(datasets.Dataset.from_list(rows)),
        strict=True,
    ):
        assert changed == {name: wanted[name] for name in changed}
        assert set(changed) == set(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("known", OF_ANSWERS, ids=key)
def test_random_answers_score_alike(known: Any) -> None:
    drawn, other, function = random.Random(3), theirs(known), ours(known)
    for _ in range(3 if known.name.endswith("_gen") else 300):  # the harness draws each of its ROUGE scores 1,000 times
        row = ROWS[known.folder](drawn)
        if known.folder == "drop":
            row = drop.process_docs(DocumentRows([row]))[0]
        for name, value in function(row, results(drawn, known, row)).items():
            wanted = other(row, list(_LAST))[name]
            assert value == pytest.approx(wanted, abs=1e-9), (name, row)


_LAST: list[Any] = []


def results(drawn: random.Random, known: Any, row: dict[str, Any]) -> list[Any]:
    """A random answer, kept for the other side."""
    if known.folder == "wikitext":
        made: list[Any] = [-drawn.random()]
    elif known.folder in ("record", "truthfulqa") and not known.name.endswith("_gen"):
        number = len(row["entities"]) if "entities" in row else len(row["mc2_targets"]["labels"])
        made = [(-9 * drawn.random(), False) for _ in range(number)]
    else:
        right = row.get("answers")
        made = [drawn.choice([text(drawn), str(right[0][0]) if isinstance(right, list) else "4,5 of 5"])]
    _LAST[:] = made
    return list(made)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cb_multi_fi", "macro_f1", "pearson_corr"])
def test_random_values_are_put_together_alike(name: str) -> None:
    (known,) = [known for known in KNOWN_FUNCTIONS if known.name.endswith(f".{name}")]
    drawn, other, function = random.Random(4), theirs(known), ours(known)
    for _ in range(50):
        values = [(drawn.randint(0, 2), drawn.randint(0, 2)) for _ in range(drawn.randint(5, 20))]
        if len({value for value, _ in values}) > 1 and len({value for _, value in values}) > 1:
            assert function(values) == pytest.approx(other(values), abs=1e-12)


FILTERS = [
    ("cot_zeroshot", "utils.MultiChoiceRegexFilter",
     {"group_select": -1, "ignore_case": True, "ignore_punctuation": True, "regex_pattern": r"(\([A-Z]\))"}),
    ("zeroshot", "utils.MultiChoiceRegexFilter", {"ignore_case": True, "regexes_to_ignore": ["the "]}),
    ("cot_zeroshot", "utils.MapRegexFilter",
     {"group_select": -1, "ignore_case": True, "regex_pattern_to_value": {r"\b(no|not plausible)\b": "no",
                                                                          r"\b(yes|plausible)\b": "yes"}}),
    ("zeroshot", "utils.WordSortFilter", {}),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("where", "name", "options"), FILTERS)
def test_answers_are_found_alike(where: str, name: str, options: dict[str, Any]) -> None:
    (known,) = [known for known in KNOWN_FUNCTIONS if known.folder == where and known.name == name]
    drawn, other = random.Random(5), theirs(known)(**options)
    pipeline = build_pipeline(
        PipelineSetting(name="x", steps=(FilterSetting(function=ours(known), options=options),)), "made"
    )
    row = {"input": "Which?\nOptions:\n(A) The egg\n(B) the egg white\n(C) Moon.\nList: syndrome egg moon hat"}
    pieces = ["(A)", "(C)", "egg white", "Moon", ": B", "the", "yes", "not plausible", "no", "plausible", "hat", "egg"]
    found = []
    for _ in range(500):
        answer = " ".join(drawn.choices(pieces, k=drawn.randint(1, 4)))
        made = pipeline.apply([answer], row)
        assert made.value == next(iter(other.apply([[answer]], [row])))
        found.append(made.found)
    assert any(found)


def test_matching_of_spans_is_the_best() -> None:
    drawn = np.random.default_rng(0)
    for _ in range(15):
        rows = int(drawn.integers(2, 6))
        scores = np.round(drawn.random((rows, 7)), 1) * (drawn.random((rows, 7)) < 0.6)
        best = max(
            sum(scores[row, column] for row, column in enumerate(order)) for order in permutations(range(7), rows)
        )
        assert drop.best_sum(scores) == pytest.approx(best)
        assert drop.best_sum(scores.T) == pytest.approx(best)


def test_a_function_is_known_by_its_file_in_any_folder(tmp_path: Path) -> None:
    source = HARNESS / "race" / "preprocess_race.py"
    (tmp_path / "preprocess_race.py").write_text(source.read_text() + "\n# a comment\n")
    reference = FunctionReference(name="preprocess_race.doc_to_target", path=tmp_path / "mine.yaml", line=3)
    assert resolve(reference)({"problems": str(PROBLEMS)}) == 2


def test_a_function_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "race"
    folder.mkdir()
    source = (HARNESS / "race" / "preprocess_race.py").read_text()
    (folder / "preprocess_race.py").write_text(source.replace('"A": 0, "B": 1', '"A": 1, "B": 0'))
    for name in ("doc_to_target", "doc_to_text"):  # the second uses what was changed
        with pytest.raises(
            ConfigError, match=rf"mine.yaml:3: !function preprocess_race.{name} is Python .* none of it"
        ):
            resolve(FunctionReference(name=f"preprocess_race.{name}", path=folder / "mine.yaml", line=3))


def test_no_file_of_a_folder_is_run(tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef process_docs(rows): return rows\n")
    with pytest.raises(ConfigError, match=r"it has hellaswag/utils.process_docs"):
        resolve(FunctionReference(name="utils.process_docs", path=tmp_path / "mine.yaml", line=3))
    assert not (tmp_path / "ran").exists()


def test_without_a_file_the_folder_decides(tmp_path: Path) -> None:
    reference = FunctionReference(name="preprocess_race.doc_to_target", path=tmp_path / "race" / "mine.yaml", line=3)
    assert resolve(reference)({"problems": str(PROBLEMS)}) == 2


def test_functions_of_shipped_tasks_and_of_copies_of_them_are_ours(tmp_path: Path) -> None:
    shutil.copytree(BENCHMARKS / "truthfulqa", tmp_path / "truthfulqa")
    for root in (BENCHMARKS, tmp_path):
        reference = FunctionReference(name="answers.process_results_mc2", path=root / "truthfulqa" / "x.yaml", line=1)
        assert resolve(reference).__module__ == "lavra.evaluation.benchmarks.truthfulqa.answers"
    changed = (tmp_path / "truthfulqa" / "answers.py").read_text().replace("sum(weights)", "len(weights)")
    (tmp_path / "truthfulqa" / "answers.py").write_text(changed)
    with pytest.raises(ConfigError, match=r"answers.process_results_mc2 is Python"):
        resolve(reference)
