"""Scores of texts against reference texts: BLEU, chrF, TER, ROUGE, exact match, F1, repetition; by corpus and segment.

sacrebleu computes BLEU (Papineni et al. 2002), chrF and chrF++ (Popović 2015, 2017) and TER (Snover et al. 2006), so
that a score has the signature that makes it comparable (Post 2018).  rouge-score computes ROUGE (Lin 2004).  Both come
with the extra `evaluate`.  The BLEU of a corpus is not the mean of its sentences' BLEU: counts are summed first.  So a
bootstrap interval draws the counts of segments again, which costs little compared with counting.

The scales are the libraries': BLEU, chrF and TER 0 to 100 (TER may be more), the others 0 to 1.  ROUGE is the F measure
with the best reference, averaged over the segments.  Deliberately absent: BERTScore and COMET, which each need a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from lavra.base.arrays import Float64s, Int64s
from lavra.base.errors import ConfigError, InputError, MissingDependencyError, nearest, setting
from lavra.evaluation.text_files import read_predictions, read_references
from lavra.metrics.answers import ARTICLES, answer_f1, exact_match
from lavra.metrics.diversity import rep_n, repeated_share
from lavra.metrics.intervals import LEVEL, RESAMPLES, Interval, score_intervals

References = Sequence[Sequence[str]]
"""(N,) right texts of each segment, one or more for each."""

_WORD = re.compile(r"\w+")
_PLAIN = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, kw_only=True)
class TextScoreSettings:
    """The settings of the comparison of texts.

    Attributes:
        bleu_tokenizer: sacrebleu's name of a tokenizer (`13a`, `intl`, `zh`, `char`, `none`, …).
        lowercase: BLEU and chrF: case does not count.
        stemmer: ROUGE: English words are cut to their stems first (Porter 1980), as `ROUGE-1.5.5 -m` does.
        unicode_words: ROUGE: any letter may be part of a word.  The published tokenizer knows only a to z and 0 to 9
            and reads other letters as blanks: `não` becomes `n` and `o`.
        language: language whose articles do not count in `exact_match` and `f1`.
        resamples: draws of each bootstrap interval.
        level: confidence level of the intervals.
        seed: fixes the draws.
    """

    bleu_tokenizer: str = "13a"
    lowercase: bool = False
    stemmer: bool = False
    unicode_words: bool = False
    language: str = "en"
    resamples: int = RESAMPLES
    level: float = LEVEL
    seed: int = 0

    def __post_init__(self) -> None:
        if self.language not in ARTICLES:
            raise ConfigError(f"language is {self.language!r}{nearest(self.language, ARTICLES)}")
        if self.stemmer and self.unicode_words:
            raise ConfigError("stemmer and unicode_words are both set; the stemmer knows English only, choose one")


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """A score of a corpus.

    Attributes:
        name: name of the metric.
        value: score of the whole corpus.
        interval: bootstrap interval of the value, segments drawn again.
        standard_error: standard deviation of the bootstrap's draws.
        higher_is_better: False for TER and repetition.
        by_segment: (N,) the score of each segment by itself.
        signature: library, version and settings, which make the value comparable.
    """

    name: str
    value: float
    interval: Interval
    standard_error: float
    higher_is_better: bool
    by_segment: Float64s
    signature: str


@dataclass(frozen=True, kw_only=True)
class TextScores:
    """All scores of a corpus.

    Attributes:
        scores: scores in the requested order.
        num_segments: number of compared segments.
        num_empty: predictions that are empty or blank; they are scored as such.
        warnings: doubts about the scores, one sentence each.
    """

    scores: tuple[TextScore, ...]
    num_segments: int
    num_empty: int
    warnings: tuple[str, ...] = ()


def text_scores(
    predictions: Sequence[str],
    references: References,
    metrics: Sequence[str],
    settings: TextScoreSettings | None = None,
) -> TextScores:
    """Score texts against reference texts.

    Args:
        predictions: (N,) one text for each segment.
        references: (N,) right texts of each segment, at least one each.
        metrics: names of `TEXT_METRICS`; `rouge` stands for the four of them.
        settings: settings of the comparison; the defaults when None.

    Raises:
        ConfigError: a metric or tokenizer is unknown.
        InputError: there are no segments, the lengths differ, or a segment has no reference.
        MissingDependencyError: the extra `evaluate` is not installed.
    """
    chosen = settings or TextScoreSettings()
    names = metric_names(metrics)
    _check(predictions, references)
    counted = {name: TEXT_METRICS[name](name, predictions, references, chosen) for name in names}
    return TextScores(
        scores=tuple(_score(name, counts, chosen) for name, counts in counted.items()),
        num_segments=len(predictions),
        num_empty=sum(not text.strip() for text in predictions),
        warnings=tuple(_warnings(predictions, references, names, chosen)),
    )


def corpus_score(name: str, predictions: Sequence[str], references: References) -> float:
    """The BLEU, chrF, chrF++ or TER of a whole corpus, with the default settings and without an interval.

    The counts of a segment are cached: a bootstrap draws the same segments again and again, and counts each only once.

    Args:
        name: name of the metric.
        predictions: (N,) one text for each segment.
        references: (N,) right texts of each segment, at least one each.

    Raises:
        InputError: there are no segments, the lengths differ, or a segment has no reference.
        MissingDependencyError: the extra `evaluate` is not installed.
    """
    _check(predictions, references)
    pairs = zip(predictions, references, strict=True)
    counts = np.array([_segment_counts(name, text, tuple(given)) for text, given in pairs], dtype=np.float64)
    return float(_shared_metric(name)._compute_score_from_stats(counts.sum(axis=0).tolist()).score)


@lru_cache(maxsize=100_000)
def _segment_counts(name: str, prediction: str, references: tuple[str, ...]) -> tuple[float, ...]:
    streams = [[reference] for reference in references]
    (counts,) = _shared_metric(name)._extract_corpus_statistics([prediction], streams)
    return tuple(counts)


@lru_cache(maxsize=4)
def _shared_metric(name: str) -> Any:
    return _sacrebleu_metric(name, TextScoreSettings())


def score_files(
    predictions: Path, references: Sequence[Path], metrics: Sequence[str], settings: TextScoreSettings | None = None
) -> TextScores:
    """Score a file of texts against files of right texts; other arguments and errors are as in `text_scores`.

    Args:
        predictions: file with one text per line, or JSON Lines (`lavra.evaluation.text_files`).
        references: files of the same forms; several files give several right texts of each segment.
        metrics: names of `TEXT_METRICS`.
        settings: settings of the comparison.

    Raises:
        InputError: a file is missing, empty, not UTF-8 or broken, or the files differ in length; the message names file
            and line.
    """
    names = metric_names(metrics)  # a wrong name raises before any file is read
    texts = read_predictions(predictions)
    return text_scores(texts, read_references(references, predictions, len(texts)), names, settings)


def metric_names(asked: Sequence[str]) -> list[str]:
    """Names of metrics, each once and in order; `rouge` stands for its four metrics.

    Raises:
        ConfigError: a name is unknown, or no name is given.
    """
    names: list[str] = []
    for name in asked:
        if name != "rouge" and name not in TEXT_METRICS:
            raise ConfigError(f"metric {name!r} is unknown{nearest(name, [*TEXT_METRICS, 'rouge'])}")
        names += ROUGE_NAMES if name == "rouge" else [name]
    if not names:
        raise ConfigError(f"no metric is named; choose among {', '.join([*TEXT_METRICS, 'rouge'])}")
    return list(dict.fromkeys(names))


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """A metric's counts of segments, and the functions that score a sum of them.

    Attributes:
        counts: (N, S) counts of each segment.
        score: turns a sum (S,) and its number of segments into the score of a corpus.
        alone: turns the counts of a single segment into its score.
        signature: signature of the score.
    """

    counts: Float64s
    score: Callable[[Float64s, int], float]
    alone: Callable[[Float64s], float]
    signature: str


def _by_sacrebleu(
    name: str, predictions: Sequence[str], references: References, settings: TextScoreSettings
) -> _Counted:
    """Count segments for BLEU, chrF, chrF++ or TER.

    The counts come from sacrebleu in the same way as in its own significance tests (`sacrebleu.significance`); a test
    checks that their sum gives the score of its public functions.
    """
    metric, streams = _sacrebleu_metric(name, settings), _streams(references)
    counts = metric._extract_corpus_statistics(list(predictions), streams)

    def score(total: Float64s, _: int = 1) -> float:
        return float(metric._compute_score_from_stats(total.tolist()).score)

    def alone(counted: Float64s) -> float:
        # A sentence too short for 4-grams is judged by the n-grams it has, as `sacrebleu.sentence_bleu` does.
        metric.effective_order = True
        value = score(counted)
        metric.effective_order = False
        return value

    signature = f"{name}|{metric.get_signature()}"
    alone_as = alone if name == "bleu" else score
    return _Counted(counts=np.array(counts, dtype=np.float64), score=score, alone=alone_as, signature=signature)


def _by_rouge(name: str, predictions: Sequence[str], references: References, settings: TextScoreSettings) -> _Counted:
    """Score segments by ROUGE-1, -2, -L or -Lsum."""
    scorer = _rouge_scorer(name, settings)
    pairs = zip(predictions, references, strict=True)
    best = [scorer.score_multi(list(given), text)[name].fmeasure for text, given in pairs]
    words = "unicode" if settings.unicode_words else "ascii"
    stem = "porter" if settings.stemmer else "no"
    how = f"f:best|tok:{words}|stem:{stem}|version:{version('rouge-score')}"
    return _mean_of(best, f"{name}|nrefs:{_num_references(references)}|{how}")


def _by_answer(name: str, predictions: Sequence[str], references: References, settings: TextScoreSettings) -> _Counted:
    """Score segments by exact match or F1 of words, as SQuAD defines them, with the best reference."""
    compare: Callable[..., float] = exact_match if name == "exact_match" else answer_f1
    pairs = zip(predictions, references, strict=True)
    best = [max(compare(text, one, settings.language) for one in given) for text, given in pairs]
    return _mean_of(best, f"{name}|nrefs:{_num_references(references)}|norm:squad-{settings.language}")


def _by_repetition(name: str, predictions: Sequence[str], _: References, settings: TextScoreSettings) -> _Counted:
    """Score segments by their repetition of 4-grams of words; the references do not matter."""
    words = UnicodeWords()
    values = [_REPETITION[name](words.tokenize(text), 4) for text in predictions]
    return _mean_of(values, f"{name}|tok:unicode")


def _mean_of(values: Sequence[float], signature: str) -> _Counted:
    """Make the counts of a metric whose corpus score is the mean of its segments' scores."""
    return _Counted(
        counts=np.array(values, dtype=np.float64)[:, None],
        score=lambda total, number: float(total[0] / number),
        alone=lambda counted: float(counted[0]),
        signature=signature,
    )


_REPETITION = {"rep4": rep_n, "repeated4": repeated_share}
ROUGE_NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_LOWER_IS_BETTER = ("ter", *_REPETITION)
_Metric = Callable[[str, Sequence[str], References, TextScoreSettings], _Counted]
TEXT_METRICS: Mapping[str, _Metric] = {
    **dict.fromkeys(("bleu", "chrf", "chrf++", "ter"), _by_sacrebleu),
    **dict.fromkeys(ROUGE_NAMES, _by_rouge),
    **dict.fromkeys(("exact_match", "f1"), _by_answer),
    **dict.fromkeys(_REPETITION, _by_repetition),
}


def _score(name: str, counted: _Counted, settings: TextScoreSettings) -> TextScore:
    counts, draws = counted.counts, []

    def drawn(taken: Int64s) -> dict[str, float]:
        draws.append(counted.score(counts[taken].sum(axis=0), len(taken)))
        return {name: draws[-1]}

    intervals = score_intervals(
        drawn, len(counts), resamples=settings.resamples, level=settings.level, seed=settings.seed
    )
    return TextScore(
        name=name,
        value=counted.score(counts.sum(axis=0), len(counts)),
        interval=intervals[name],
        standard_error=float(np.std(draws)),
        higher_is_better=name not in _LOWER_IS_BETTER,
        by_segment=np.array([counted.alone(row) for row in counts], dtype=np.float64),
        signature=counted.signature,
    )


def _sacrebleu_metric(name: str, settings: TextScoreSettings) -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 - of the extra
        from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415
        from sacrebleu.metrics.ter import TER  # noqa: PLC0415
    except ImportError as missing:
        raise MissingDependencyError("sacrebleu", "BLEU, chrF and TER", "evaluate") from missing
    if name == "bleu":
        known = sorted(BLEU.TOKENIZERS)
        if settings.bleu_tokenizer not in known:
            raise ConfigError(f"bleu_tokenizer is {settings.bleu_tokenizer!r}{nearest(settings.bleu_tokenizer, known)}")
        # `force`: sacrebleu writes its warning of tokenized lines to a log; lavra's warning is in the result.
        return BLEU(lowercase=settings.lowercase, tokenize=settings.bleu_tokenizer, force=True)
    if name == "ter":
        return TER()
    return CHRF(word_order=2 if name == "chrf++" else 0, lowercase=settings.lowercase)


def _rouge_scorer(name: str, settings: TextScoreSettings) -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer  # noqa: PLC0415 - of the extra
    except ImportError as missing:
        raise MissingDependencyError("rouge-score", "ROUGE", "evaluate") from missing
    tokenizer = UnicodeWords() if settings.unicode_words else None
    return RougeScorer([name], use_stemmer=settings.stemmer, tokenizer=tokenizer)


class UnicodeWords:
    """A tokenizer for rouge-score: words of any script, in small letters."""

    def tokenize(self, text: str) -> list[str]:
        """Split a text into runs of letters, digits and underscores."""
        return _WORD.findall(text.lower())


def _streams(references: References) -> list[list[str | None]]:
    """Transpose references for sacrebleu: (most references of a segment, N), None where a segment has fewer."""
    most = max(len(given) for given in references)
    return [[given[at] if at < len(given) else None for given in references] for at in range(most)]


def _num_references(references: References) -> str:
    numbers = {len(given) for given in references}
    return str(numbers.pop()) if len(numbers) == 1 else "var"


def _check(predictions: Sequence[str], references: References) -> None:
    if len(predictions) != len(references):
        raise InputError(f"{len(predictions)} predictions have {len(references)} references; give one for each")
    if not predictions:
        raise InputError("there are no predictions to score; give at least 1")
    for number, given in enumerate(references, start=1):
        if not given:
            raise InputError(f"segment {number} has no reference; give at least one, or leave the segment out")


def _warnings(
    predictions: Sequence[str], references: References, names: Sequence[str], settings: TextScoreSettings
) -> list[str]:
    warnings = []
    num_tokenized = sum(text.endswith(" .") for text in predictions)
    if "bleu" in names and settings.bleu_tokenizer != "none" and 2 * num_tokenized > len(predictions):
        warnings.append(
            f"{num_tokenized} of {len(predictions)} predictions end in ' .': BLEU of tokenized text is not comparable; "
            "detokenize it first"
        )
    if set(names) & set(ROUGE_NAMES) and not settings.unicode_words:
        words = [word for given in references for text in given for word in _WORD.findall(text.lower())]
        num_cut = sum(not _PLAIN.fullmatch(word) for word in words)
        if num_cut:
            warnings.append(
                f"{num_cut} of {len(words)} words of the references hold letters that ROUGE's tokenizer takes for "
                f"blanks; {setting('--unicode-words', 'unicode_words=True')} keeps them whole, and such scores are "
                "comparable with their like only"
            )
    return warnings
