"""The records of an evaluation: an item that is asked, a model's response to it, and the item's score.

A task file (`lavra.evaluation.task_files`) makes items from rows of data.  `lavra.evaluation.asking` turns an item into
requests of the `LanguageModel` port and a model's answers into a response.  `lavra.evaluation.scoring` turns item and
response into one value for each metric.  These are plain frozen dataclasses; nothing here computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lavra.evaluation.sandbox.report import SandboxReport

Gold = int | str | tuple[int, ...] | tuple[str, ...] | None
"""The right answer: the number of a choice, a text, or several numbers or texts each of which is right."""


class OutputType(Enum):
    """The kind of output that a task asks of a model; the values are lm-evaluation-harness' names."""

    MULTIPLE_CHOICE = "multiple_choice"  # log-likelihood of each choice after the prompt
    LOGLIKELIHOOD = "loglikelihood"  # score of one target after the prompt, and whether greedy decoding writes it
    LOGLIKELIHOOD_ROLLING = "loglikelihood_rolling"  # score of a whole document
    GENERATE_UNTIL = "generate_until"  # text, written until a stop string


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSettings:
    """The settings of a written answer (`generation_kwargs` of a task file).

    Attributes:
        until: the answer ends before the first of these texts.
        max_tokens: most tokens of an answer.
        temperature: 0 is greedy.
        top_p: as in `SamplingConfig`.
        top_k: as in `SamplingConfig`.
        repeats: answers written for each item.
    """

    until: tuple[str, ...] = ()
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repeats: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPair:
    """A continuation whose log-likelihood is requested, given the context before it.

    Attributes:
        context: the text before the continuation; empty at the beginning of a text.
        continuation: the text that is scored, its delimiter in front included.
    """

    context: str
    continuation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalItem:
    """A row of a task, rendered and ready to be asked.

    Attributes:
        task: name of the task.
        doc_id: number of the row in the task's evaluation split, from 0.
        document: the row itself.
        kind: kind of output that is asked for.
        pairs: MULTIPLE_CHOICE: a pair for each choice, then a pair for each choice without context where a metric needs
            it (`acc_mutual_info`); LOGLIKELIHOOD: one pair; LOGLIKELIHOOD_ROLLING: one pair with an empty context.
        prompt: GENERATE_UNTIL: the whole prompt, description and shots included.
        choices: texts of the choices without delimiter, for length normalisation.
        gold: the right answer.
        generation: GENERATE_UNTIL: the settings of the written answer.
        num_shots: examples in the prompt.
        prompt_hash: 16 hex digits of all text that the model reads and is asked to continue with.
    """

    task: str
    doc_id: int
    document: Mapping[str, Any]
    kind: OutputType
    pairs: tuple[ScoredPair, ...] = ()
    prompt: str = ""
    choices: tuple[str, ...] = ()
    gold: Gold = None
    generation: AnswerSettings | None = None
    num_shots: int = 0
    prompt_hash: str = ""


class Unscored(Enum):
    """The reason why an item has no score; each is counted and shown, none becomes NaN or a wrong answer."""

    NO_LOGPROBS = "the model gives no log-probabilities of a prompt"
    TOO_LONG = "the prompt does not fit into the context"
    NO_SANDBOX = "code is not run without a sandbox"
    REFUSED = "the model refused the request"
    BAD_ROW = "the row has no right answer or lacks a column"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A model's answer to an item, exactly as the ledger keeps it.

    Attributes:
        logprobs: natural-log likelihood of each of the item's pairs.
        greedy: whether greedy decoding would have written each continuation.
        texts: the written answers, `generation.repeats` of them.
        prompt_tokens: number of tokens read.
        completion_tokens: number of tokens written.
        truncated_tokens: prompt tokens dropped because the prompt did not fit.
        unscored: the reason why there is no answer, or `None`.
        warnings: warnings of the model's side, one sentence each.
    """

    logprobs: tuple[float, ...] = ()
    greedy: tuple[bool, ...] = ()
    texts: tuple[str, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated_tokens: int = 0
    unscored: Unscored | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemScore:
    """The score of an item, by filter pipeline and metric.

    Attributes:
        item: the item.
        response: the model's answer to it.
        values: `{(filter, metric): value}`; a value is a number, or a tuple that the metric's aggregation understands
            (`("gold", "predicted")` for F1 over a task).  Empty where the response is unscored.
        answers: the output of each filter pipeline for the answer, by name of the pipeline.
        extraction_failed: names of the filter pipelines that found no answer in the text.
        chosen: MULTIPLE_CHOICE: number of the likeliest choice.
        tied: MULTIPLE_CHOICE: all choices are equally likely.
        programs: the reports of the answers that were run as code.
    """

    item: EvalItem
    response: Response
    values: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    extraction_failed: tuple[str, ...] = ()
    chosen: int | None = None
    tied: bool = False
    programs: tuple[SandboxReport, ...] = ()
