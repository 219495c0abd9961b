"""The metrics and aggregations that a task file may name, under lm-evaluation-harness' names.

`lavra.evaluation.scoring` computes them; a file is checked against this table.
"""

from __future__ import annotations

from dataclasses import dataclass

from lavra.evaluation.items import OutputType
from lavra.evaluation.task_files.task_file import MetricSetting


@dataclass(frozen=True, kw_only=True)
class KnownMetric:
    """The defaults of a metric: its aggregation, and whether higher values are better."""

    aggregation: str
    higher_is_better: bool


METRICS = {
    "acc": KnownMetric(aggregation="mean", higher_is_better=True),
    "acc_all": KnownMetric(aggregation="mean", higher_is_better=True),
    "acc_bytes": KnownMetric(aggregation="mean", higher_is_better=True),
    "acc_mutual_info": KnownMetric(aggregation="mean", higher_is_better=True),
    "acc_norm": KnownMetric(aggregation="mean", higher_is_better=True),
    "bits_per_byte": KnownMetric(aggregation="bits_per_byte", higher_is_better=False),
    "bleu": KnownMetric(aggregation="bleu", higher_is_better=True),
    "brier_score": KnownMetric(aggregation="brier_score", higher_is_better=False),
    "bypass": KnownMetric(aggregation="bypass", higher_is_better=True),
    "byte_perplexity": KnownMetric(aggregation="weighted_perplexity", higher_is_better=False),
    "chrf": KnownMetric(aggregation="chrf", higher_is_better=True),
    "chrf++": KnownMetric(aggregation="chrf++", higher_is_better=True),
    "exact_match": KnownMetric(aggregation="mean", higher_is_better=True),
    "f1": KnownMetric(aggregation="f1", higher_is_better=True),
    "likelihood": KnownMetric(aggregation="mean", higher_is_better=True),
    "mcc": KnownMetric(aggregation="matthews_corrcoef", higher_is_better=True),
    "perplexity": KnownMetric(aggregation="perplexity", higher_is_better=False),
    "ter": KnownMetric(aggregation="ter", higher_is_better=False),
    "word_perplexity": KnownMetric(aggregation="weighted_perplexity", higher_is_better=False),
}
AGGREGATIONS = (
    "bits_per_byte", "bleu", "brier_score", "bypass", "chrf", "chrf++", "f1", "matthews_corrcoef", "mean", "median",
    "nanmean", "perplexity", "ter", "weighted_perplexity",
)  # fmt: skip
_DEFAULTS = {
    OutputType.LOGLIKELIHOOD: ("perplexity", "acc"),
    OutputType.LOGLIKELIHOOD_ROLLING: ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    OutputType.MULTIPLE_CHOICE: ("acc", "acc_norm"),
    OutputType.GENERATE_UNTIL: ("exact_match",),
}


def default_metrics(kind: OutputType) -> tuple[MetricSetting, ...]:
    """The metrics of a task whose file names none."""
    return tuple(
        MetricSetting(name=name, aggregation=METRICS[name].aggregation, higher_is_better=METRICS[name].higher_is_better)
        for name in _DEFAULTS[kind]
    )
