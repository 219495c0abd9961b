"""Scores against their peers on many random cases at 1e-9: ties, one class, all wrong, empty answers, other scripts.

The test files of single modules check each rule with examples drawn by hypothesis; here the cases are many and plain.
"""

from __future__ import annotations

import importlib.util
import string
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import krippendorff
import lm_eval
import numpy as np
import pytest
import seqeval.metrics
import seqeval.scheme
from scipy import stats
from sklearn import metrics

from lavra.metrics.agreement import Difference, cohen_kappa, krippendorff_alpha
from lavra.metrics.answers import SquadVersion, answer_f1, exact_match, normal_answer
from lavra.metrics.calibration import brier_score, expected_calibration_error
from lavra.metrics.classification import classification_scores, macro_f1, multi_label_scores, regression_scores
from lavra.metrics.entities import entity_scores
from lavra.metrics.ranking import ranking_scores

Draw = np.random.Generator
CASES = [20, pytest.param(2000, marks=pytest.mark.slow)]
exact = 1e-9


def many(num_cases: int) -> Iterator[Draw]:
    """A generator for each case; scikit-learn and others warn of empty denominators, as expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from (np.random.default_rng([7, at]) for at in range(num_cases))


@pytest.mark.parametrize("num_cases", CASES)
def test_classes(num_cases: int) -> None:
    for draw in many(num_cases):
        size, classes = draw.integers(1, 40), draw.integers(1, 6)
        truth, answers = draw.integers(0, classes, size), draw.integers(0, classes, size)
        if draw.random() < 0.2:
            answers = (truth + 1) % classes  # all wrong, or all right with one class
        names = [str(at) for at in range(classes)]
        found = classification_scores(truth, answers, names)
        assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, answers), abs=exact)
        assert found.matthews == pytest.approx(metrics.matthews_corrcoef(truth, answers), abs=exact)
        values = {"macro": found.macro_f1, "weighted": found.weighted_f1, "micro": found.micro_f1}
        average = draw.choice(list(values))  # one a case: scikit-learn takes its time
        theirs = metrics.f1_score(truth, answers, average=average, zero_division=0)
        assert values[average] == pytest.approx(theirs, abs=exact)
        over_all = metrics.f1_score(truth, answers, labels=range(classes), average="macro", zero_division=0)
        ours = macro_f1([names[at] for at in truth], [names[at] for at in answers], names)
        assert ours == pytest.approx(over_all, abs=exact)  # CommitmentBank's, whatever classes occur


@pytest.mark.parametrize("num_cases", CASES)
def test_labels(num_cases: int) -> None:
    for draw in many(num_cases):
        size, num_labels = draw.integers(1, 20), draw.integers(2, 5)
        truth, answers = draw.random((2, size, num_labels)) < draw.choice([0.1, 0.5, 0.9])
        found = multi_label_scores(truth, answers, [str(at) for at in range(num_labels)])
        values = {"micro": found.micro_f1, "weighted": found.weighted_f1}
        average = draw.choice(list(values))
        theirs = metrics.f1_score(truth, answers, average=average, zero_division=0)
        assert values[average] == pytest.approx(theirs, abs=exact)
        assert found.exact_match == pytest.approx(metrics.accuracy_score(truth, answers), abs=exact)


@pytest.mark.parametrize("num_cases", CASES)
def test_numbers(num_cases: int) -> None:
    for draw in many(num_cases):
        size = draw.integers(2, 60)
        truth = draw.integers(0, draw.choice([2, 6, 1000]), size).astype(float)
        answers = np.round(truth * draw.choice([-1, 0, 1]) + draw.normal(size=size), draw.choice([0, 6]))
        found = regression_scores(truth, answers)
        assert found.pearson == pytest.approx(stats.pearsonr(truth, answers)[0], abs=exact, nan_ok=True)
        assert found.spearman == pytest.approx(stats.spearmanr(truth, answers)[0], abs=exact, nan_ok=True)
        assert found.mse == pytest.approx(metrics.mean_squared_error(truth, answers), rel=exact)
        assert found.mae == pytest.approx(metrics.mean_absolute_error(truth, answers), rel=exact)


@pytest.mark.parametrize("num_cases", CASES)
def test_entities(num_cases: int) -> None:
    tags = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG"]
    for draw in many(num_cases):
        sizes = draw.integers(1, 12, size=draw.integers(1, 6))
        truth = [draw.choice(tags, size).tolist() for size in sizes]
        kept = draw.choice([0.0, 0.7, 1.0])
        answers = [[tag if draw.random() < kept else str(draw.choice(tags)) for tag in row] for row in truth]
        for strict in (False, True):
            found = entity_scores(truth, answers, strict=strict)
            options = {"mode": "strict", "scheme": seqeval.scheme.IOB2} if strict else {}
            if not found.types:
                continue  # seqeval cannot average nothing
            for average, value in (("micro", found.f1), ("macro", found.macro_f1), ("weighted", found.weighted_f1)):
                theirs = seqeval.metrics.f1_score(truth, answers, average=average, zero_division=0, **options)
                assert value == pytest.approx(theirs, abs=exact)


@pytest.mark.parametrize("num_cases", CASES)
def test_rankings(num_cases: int) -> None:
    names = {"map": "AP", "recall@3": "R@3", "mrr@3": "RR@3", "ndcg@3": "nDCG@3", "recall@9": "R@9", "ndcg@9": "nDCG@9"}
    ir_measures = pytest.importorskip("ir_measures", reason="ir-measures has no wheel for Linux on ARM")
    measures = {name: ir_measures.parse_measure(theirs) for name, theirs in names.items()}
    for draw in many(max(10, num_cases // 10)):
        ranked, judged, rows, grades = {}, {}, [], []
        for query in map(str, range(draw.integers(1, 8))):
            passages = [f"d{at}" for at in draw.permutation(12)]
            ranked[query] = passages[: draw.integers(1, 12)]
            judged[query] = {one: int(draw.integers(0, 4)) for one in draw.choice(passages, 6, replace=False)}
            judged[query][passages[0]] = 1  # nothing fitting is another matter
            rows += [ir_measures.ScoredDoc(query, one, -float(at)) for at, one in enumerate(ranked[query])]
            grades += [ir_measures.Qrel(query, one, grade) for one, grade in judged[query].items()]
        found = ranking_scores(ranked, judged, cutoffs=(3, 9)).to_values()
        theirs = ir_measures.calc_aggregate(list(measures.values()), grades, rows)
        for name, measure in measures.items():
            assert found[name] == pytest.approx(theirs[measure], abs=exact), name


@pytest.mark.parametrize("num_cases", CASES)
def test_agreement(num_cases: int) -> None:
    weights = {Difference.NOMINAL: None, Difference.LINEAR: "linear", Difference.QUADRATIC: "quadratic"}
    levels = {Difference.NOMINAL: "nominal", Difference.ORDINAL: "ordinal", Difference.QUADRATIC: "interval"}
    for draw in many(num_cases):
        size = draw.integers(2, 30)
        ratings = draw.integers(0, 5, (draw.integers(2, 5), size)).astype(float)
        first, second = ratings[0].astype(np.int64), ratings[1].astype(np.int64)
        if len({*first, *second}) > 1:
            for difference, weight in weights.items():
                theirs = metrics.cohen_kappa_score(first, second, weights=weight, labels=range(5))
                assert cohen_kappa(first, second, difference=difference) == pytest.approx(theirs, abs=exact)
        ratings[draw.random(ratings.shape) < 0.2] = np.nan
        ratings = ratings[:, (~np.isnan(ratings)).sum(axis=0) >= 2]
        if ratings.size and len(np.unique(ratings[~np.isnan(ratings)])) > 1:
            for difference, level in levels.items():
                theirs = krippendorff.alpha(reliability_data=ratings, level_of_measurement=level)
                assert krippendorff_alpha(ratings, difference=difference) == pytest.approx(theirs, abs=exact)


@pytest.mark.parametrize("num_cases", CASES)
def test_choices(num_cases: int) -> None:
    for draw in many(num_cases):
        size, choices = int(draw.integers(1, 30)), int(draw.integers(2, 6))
        scores = np.round(draw.normal(-20, draw.choice([0.1, 5]), (size, choices)), 1)  # rounded, so that choices tie
        right = draw.integers(0, choices, size)
        chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        theirs = metrics.brier_score_loss(right, chances, labels=range(choices), scale_by_half=False)
        assert brier_score(right, chances) == pytest.approx(theirs, abs=exact)
        confidence, hit = chances.max(axis=1), scores.argmax(axis=1) == right
        bins = np.minimum(np.ceil(confidence * 10).astype(int) - 1, 9)
        gaps = sum(abs(hit[bins == at].sum() - confidence[bins == at].sum()) for at in range(10))
        assert expected_calibration_error(confidence, hit) == pytest.approx(gaps / size, abs=exact)


def lm_eval_file(name: str) -> ModuleType:
    path = Path(lm_eval.__path__[0]) / "tasks" / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WORDS = ["The", "a", "AN", "the", "cat", "Cat", "don't", "U.S.", "—", "«ação»", "O", "las", "el", "uma", "İ", "ß", "猫"]
PIECES = [*WORDS, *string.punctuation, " ", "\t", "\n", "\u00a0", ""]


def normalizations() -> dict[str, Callable[[str], str]]:
    """lm-evaluation-harness' copies of the rules of SQuAD, and of MLQA, which has SQuAD's rules for other languages."""
    mlqa = lm_eval_file("mlqa/utils.py")
    squad: Callable[[str], str] = lm_eval_file("super_glue/record/t5_utils.py").normalize_squad
    return {"en": squad, "es": lambda text: str(mlqa.normalize_answer(text, "es"))}


@pytest.mark.slow
def test_answers() -> None:
    theirs = normalizations()
    for draw in many(3000):
        first, second = (
            str(draw.choice(["", " "])).join(draw.choice(PIECES, draw.integers(0, 8)).tolist()) for _ in range(2)
        )
        for language, normal in theirs.items():
            assert normal_answer(first, language) == normal(first)
            assert exact_match(first, second, language) == (normal(first) == normal(second))
            found, wanted = normal(first).split(), normal(second).split()
            shared = sum((Counter(found) & Counter(wanted)).values())
            score = 2 * shared / (len(found) + len(wanted)) if shared else 0.0
            both_empty = not found and not wanted
            assert answer_f1(first, second, language) == pytest.approx(1.0 if both_empty else score, abs=exact)
            version_1 = answer_f1(first, second, language, SquadVersion.V1)
            assert version_1 == pytest.approx(score, abs=exact)
