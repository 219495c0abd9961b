"""Score answers: one value for each item, filter pipeline and metric, and one value for the task.

Names and arithmetic are lm-evaluation-harness' (`ConfigurableTask.process_results`, `lm_eval.api.metrics`), with two
differences: a row without a right answer is unscored, where the harness counts it as wrong, and nothing becomes NaN.
Absent: metrics of the library `evaluate`, and metrics that need a model (BERTScore, BLEURT).
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lavra.base.errors import InputError
from lavra.evaluation.items import EvalItem, ItemScore, OutputType, Response, Unscored
from lavra.evaluation.sandbox.recorded import RecordedSandbox
from lavra.evaluation.sandbox.run import Sandbox
from lavra.evaluation.task_files.filters import Extracted
from lavra.evaluation.task_files.task import EvalTask
from lavra.evaluation.task_files.task_file import MetricSetting
from lavra.evaluation.text_scores import corpus_score
from lavra.metrics.calibration import brier_score
from lavra.metrics.classification import classification_scores, f1
from lavra.metrics.probabilities import softmax

Values = Mapping[str, Any]


def score_item(task: EvalTask, item: EvalItem, response: Response, *, sandbox: Sandbox | None = None) -> ItemScore:
    """Score one item.

    Args:
        task: the task of the item.
        item: the item that was asked.
        response: the model's answer.
        sandbox: runs answers that are code.

    Returns:
        A score without values where the response is unscored, where the row has no right answer, or where an answer is
        code and there is no sandbox.
    """
    if response.unscored is None and task.file.unsafe_code and sandbox is None:
        response = replace(response, unscored=Unscored.NO_SANDBOX)
    if response.unscored is None and _lacks_answer(task, item):
        response = replace(response, unscored=Unscored.BAD_ROW)
    if response.unscored is not None:
        return ItemScore(item=item, response=response)
    if item.kind is OutputType.GENERATE_UNTIL:
        return _written(task, item, response, sandbox)
    results = list(zip(response.logprobs, response.greedy, strict=True))
    values = _own(task, item, results) if task.file.process_results else _KINDS[item.kind](task, item, response)
    named = {(pipeline.name, metric): value for pipeline in task.pipelines for metric, value in values.items()}
    if item.kind is not OutputType.MULTIPLE_CHOICE:
        return ItemScore(item=item, response=response, values=named)
    logprobs = response.logprobs[: len(item.choices)]
    return ItemScore(
        item=item,
        response=response,
        values=named,
        chosen=int(np.argmax(logprobs)),
        tied=len(logprobs) > 1 and min(logprobs) == max(logprobs),
    )


def aggregate(task: EvalTask, scores: Sequence[ItemScore]) -> dict[tuple[str, str], float | None]:
    """The task's value for each filter pipeline and metric, `None` where no item has a value.

    Raises:
        InputError: a metric does not fit the values (F1 of more than two classes).
    """
    keys = dict.fromkeys(key for score in scores for key in score.values)
    if not keys:
        keys = dict.fromkeys((pipeline.name, metric.name) for pipeline in task.pipelines for metric in task.metrics)
    found: dict[tuple[str, str], float | None] = {}
    for key in keys:
        values = [score.values[key] for score in scores if key in score.values]
        found[key] = aggregation(task, key[1])(values) if values else None
    return found


def aggregation(task: EvalTask, metric: str) -> Callable[[Sequence[Any]], float]:
    """The function that combines the values of a task's items into one value, for one of its metrics."""
    setting = _setting(task, metric)
    how = setting.aggregation if setting else "mean"
    return how if callable(how) else _AGGREGATIONS[how]


def is_higher_better(task: EvalTask, metric: str) -> bool:
    """Whether a higher value of a task's metric is better."""
    setting = _setting(task, metric)
    return setting.higher_is_better if setting else True


def _setting(task: EvalTask, metric: str) -> MetricSetting | None:
    """The metric's entry in the task file; `pass@1` belongs to the entry whose function computed it."""
    for setting in task.metrics:
        if setting.name == metric:
            return setting
    several = [setting for setting in task.metrics if setting.function is not None]
    return several[0] if several else None


def _lacks_answer(task: EvalTask, item: EvalItem) -> bool:
    if task.file.process_results is not None:
        return False
    return item.gold is None and item.kind in (OutputType.MULTIPLE_CHOICE, OutputType.GENERATE_UNTIL)


def _own(task: EvalTask, item: EvalItem, results: Sequence[Any]) -> dict[str, Any]:
    """The values that the task's own function computes from the answers."""
    function = task.file.process_results
    assert function is not None
    given = [logprob for logprob, _ in results] if item.kind is OutputType.LOGLIKELIHOOD_ROLLING else results
    try:
        return dict(function(dict(item.document), given))
    except KeyError as error:
        raise InputError(f"task {item.task!r}, row {item.doc_id}: process_results: the row lacks {error}") from error


# ---------------------------------------------------------------- log-likelihoods


def _one_target(task: EvalTask, item: EvalItem, response: Response) -> dict[str, Any]:
    values = {"perplexity": response.logprobs[0], "acc": int(response.greedy[0])}
    return {metric.name: values[metric.name] for metric in task.metrics if metric.name in values}


def _whole_text(task: EvalTask, item: EvalItem, response: Response) -> dict[str, Any]:
    text = item.pairs[0].continuation
    logprob, num_bytes = response.logprobs[0], len(text.encode("utf-8"))
    values = {
        "word_perplexity": (logprob, len(re.split(r"\s+", text))),
        "byte_perplexity": (logprob, num_bytes),
        "bits_per_byte": (logprob, num_bytes),
    }
    return {metric.name: values[metric.name] for metric in task.metrics if metric.name in values}


def _choice(task: EvalTask, item: EvalItem, response: Response) -> dict[str, Any]:
    gold = item.gold if isinstance(item.gold, tuple) else (item.gold,)
    logprobs = np.array(response.logprobs[: len(item.choices)])
    compute: dict[str, Callable[[], Any]] = {
        "acc": lambda: _is_right(logprobs, gold),
        "acc_norm": lambda: _is_right(logprobs / _lengths(item.choices, str), gold),
        "acc_bytes": lambda: _is_right(logprobs / _lengths(item.choices, str.encode), gold),
        "acc_mutual_info": lambda: _is_right(logprobs - np.array(response.logprobs[len(item.choices) :]), gold),
        "exact_match": lambda: int(any(response.greedy[int(right or 0)] for right in gold)),
        "f1": lambda: (item.gold, int(np.argmax(logprobs))),
        "mcc": lambda: (item.gold, int(np.argmax(logprobs))),
        "brier_score": lambda: (item.gold, tuple(softmax(logprobs))),
        "likelihood": lambda: (item.gold, tuple(logprobs)),
    }
    return {metric.name: compute[metric.name]() for metric in task.metrics if metric.name in compute}


def _is_right(scores: np.ndarray[Any, Any], gold: Sequence[Any]) -> float:
    return float(int(np.argmax(scores)) in gold)


def _lengths(choices: Sequence[str], units: Callable[[str], Any]) -> np.ndarray[Any, Any]:
    return np.array([max(len(units(choice)), 1) for choice in choices], dtype=np.float64)


_KINDS: dict[OutputType, Callable[[EvalTask, EvalItem, Response], dict[str, Any]]] = {
    OutputType.LOGLIKELIHOOD: _one_target,
    OutputType.LOGLIKELIHOOD_ROLLING: _whole_text,
    OutputType.MULTIPLE_CHOICE: _choice,
}


# ---------------------------------------------------------------- written answers


def _written(task: EvalTask, item: EvalItem, response: Response, sandbox: Sandbox | None) -> ItemScore:
    values: dict[tuple[str, str], Any] = {}
    answers: dict[str, str] = {}
    failed: list[str] = []
    programs = RecordedSandbox(sandbox) if sandbox is not None and task.file.unsafe_code else None
    for pipeline in task.pipelines:
        made = pipeline.apply(response.texts, item.document)
        answers[pipeline.name] = str(made.value)
        failed += [] if made.found else [pipeline.name]
        for metric, value in _of_answer(task, item, made, programs).items():
            values[pipeline.name, metric] = value
    return ItemScore(
        item=item,
        response=response,
        values=values,
        answers=answers,
        extraction_failed=tuple(failed),
        programs=tuple(programs.reports) if programs is not None else (),
    )


def _of_answer(task: EvalTask, item: EvalItem, made: Extracted, programs: RecordedSandbox | None) -> dict[str, Any]:
    if task.file.process_results is not None:
        return _own(task, item, [made.value])
    values: dict[str, Any] = {}
    for metric in task.metrics:
        value = _metric_value(metric, item, made.value, programs)
        values |= value if isinstance(value, dict) else {metric.name: value}
    return values


def _metric_value(metric: MetricSetting, item: EvalItem, answer: Any, programs: RecordedSandbox | None) -> Any:
    """The value of a metric for one answer; with several right answers, 1 if it is 1 for any of them."""
    if metric.name == "bypass":
        return None
    if metric.function is None and metric.name in _OF_CORPORA:
        return (item.gold, answer)
    if not isinstance(item.gold, tuple):
        return _against(metric, item.gold, answer, programs)
    return float(any(_against(metric, gold, answer, programs) for gold in item.gold))


_OF_CORPORA = ("bleu", "chrf", "chrf++", "ter")


def _against(metric: MetricSetting, gold: Any, answer: Any, programs: RecordedSandbox | None) -> Any:
    if metric.function is not None:
        runs = {} if programs is None else {"sandbox": programs}
        return metric.function(references=[gold], predictions=[answer], **metric.options, **runs)
    if metric.name == "exact_match":
        return exactly_equal(str(answer), str(gold), **metric.options)
    return (gold, answer)


def exactly_equal(
    answer: str,
    gold: str,
    *,
    regexes_to_ignore: Sequence[str] = (),
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    ignore_numbers: bool = False,
) -> float:
    """1 if two texts are equal apart from the ignored characters; 0 otherwise."""
    both = [answer, gold]
    for pattern in regexes_to_ignore or ():
        both = [re.sub(pattern, "", text) for text in both]
    if ignore_case:
        both = [text.lower() for text in both]
    dropped = (string.punctuation if ignore_punctuation else "") + (string.digits if ignore_numbers else "")
    first, second = (text.translate(str.maketrans("", "", dropped)) for text in both)
    return float(first == second)


# ---------------------------------------------------------------- aggregations


def _mean(values: Sequence[float]) -> float:
    return float(sum(values) / len(values))


def _median(values: Sequence[float]) -> float:
    return float(sorted(values)[len(values) // 2])  # the upper of two middle values, as in the harness


def _perplexity(values: Sequence[float]) -> float:
    return _exponential(-_mean(values))


def _weighted_mean(values: Sequence[tuple[float, float]]) -> float:
    return sum(value for value, _ in values) / sum(weight for _, weight in values)


def _weighted_perplexity(values: Sequence[tuple[float, float]]) -> float:
    return _exponential(-_weighted_mean(values))


def _bits_per_byte(values: Sequence[tuple[float, float]]) -> float:
    return -_weighted_mean(values) / math.log(2)


def _exponential(exponent: float) -> float:
    return math.exp(exponent) if exponent < 700 else math.inf


def _f1(values: Sequence[tuple[Any, Any]]) -> float:
    """F1 of class 1 of the classes 0 and 1."""
    pairs = [(_class(gold), _class(predicted)) for gold, predicted in values]
    if not {number for pair in pairs for number in pair} <= {0, 1}:
        raise InputError("the metric f1 is for two classes, 0 and 1; take `exact_match`, or `mcc` for more classes")
    both = sum(gold == predicted == 1 for gold, predicted in pairs)
    return f1(both, sum(predicted for _, predicted in pairs), sum(gold for gold, _ in pairs))[2]


def _class(value: Any) -> int:
    if isinstance(value, str) and value.strip().lstrip("-").isdigit():
        return int(value)
    if not isinstance(value, int | np.integer):
        raise InputError(f"the metrics f1 and mcc take classes, and an item has {value!r}; take `exact_match`")
    return int(value)


def _matthews(values: Sequence[tuple[Any, Any]]) -> float:
    pairs = np.array([(_class(gold), _class(predicted)) for gold, predicted in values], dtype=np.int64)
    names, numbers = np.unique(pairs, return_inverse=True)
    expected, predicted = numbers.reshape(pairs.shape).T
    return classification_scores(expected, predicted, [str(name) for name in names]).matthews


def _brier(values: Sequence[tuple[Any, Sequence[float]]]) -> float:
    widths = {len(probabilities) for _, probabilities in values}
    if len(widths) > 1:
        raise InputError(f"the metric brier_score takes rows with equally many choices; there are {sorted(widths)}")
    truth = np.array([gold for gold, _ in values], dtype=np.int64)
    return brier_score(truth, np.array([probabilities for _, probabilities in values], dtype=np.float64))


def _finite_mean(values: Sequence[float]) -> float:
    finite = [value for value in values if not math.isnan(value)]
    if not finite:
        raise InputError("the aggregation nanmean has no number to average")
    return _mean(finite)


def _texts(values: Sequence[tuple[Any, Any]]) -> tuple[list[str], list[list[str]]]:
    """Split pairs into the answers and the right answers of each."""
    answers = [str(answer[0] if isinstance(answer, tuple | list) else answer) for _, answer in values]
    return answers, [list(gold) if isinstance(gold, tuple | list) else [gold] for gold, _ in values]


_AGGREGATIONS: dict[str, Callable[[Sequence[Any]], float]] = {
    "bits_per_byte": _bits_per_byte,
    "bleu": lambda values: corpus_score("bleu", *_texts(values)),
    "brier_score": _brier,
    "bypass": lambda values: 999.0,
    "chrf": lambda values: corpus_score("chrf", *_texts(values)),
    "chrf++": lambda values: corpus_score("chrf++", *_texts(values)),
    "f1": _f1,
    "matthews_corrcoef": _matthews,
    "mean": _mean,
    "median": _median,
    "nanmean": _finite_mean,
    "perplexity": _perplexity,
    "ter": lambda values: corpus_score("ter", *_texts(values)),
    "weighted_perplexity": _weighted_perplexity,
}
