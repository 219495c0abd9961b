"""What travels through an evaluation: an item that is asked, a model's answer to it, and the item's score.

A task file (`lavra.evaluation.task_files`) makes items from rows of data.  `lavra.evaluation.asking` turns an item into
requests of the `LanguageModel` port and a model's answers into a response.  `lavra.evaluation.scoring` turns item and
response into one value a metric.  Plain frozen dataclasses; nothing here computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lavra.evaluation.sandbox.report import SandboxReport

Gold = int | str | tuple[int, ...] | tuple[str, ...] | None
"""The right answer: number of a choice, a text, or several of either of which any one is right."""


class OutputType(Enum):
    """What a task asks of a model; the values are lm-evaluation-harness' names."""

    MULTIPLE_CHOICE = "multiple_choice"  # log-likelihood of each choice after the prompt
    LOGLIKELIHOOD = "loglikelihood"  # of one target after the prompt, and whether greedy decoding writes it
    LOGLIKELIHOOD_ROLLING = "loglikelihood_rolling"  # of a whole document
    GENERATE_UNTIL = "generate_until"  # text, written until a stop string


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSettings:
    """How an answer is written (`generation_kwargs` of a task file).

    Attributes:
        until: the answer ends before the first of these.
        max_tokens: most tokens of an answer.
        temperature: 0 is greedy.
        top_p: as `SamplingConfig`'s.
        top_k: as `SamplingConfig`'s.
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
    """A continuation whose log-likelihood is asked for, given what stands before it.

    Attributes:
        context: the text before; empty is the beginning of a text.
        continuation: the text that is scored, its delimiter in front included.
    """

    context: str
    continuation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalItem:
    """One row of a task, rendered and ready to be asked.

    Attributes:
        task: name of the task.
        doc_id: number of the row in the task's evaluation split, from 0.
        document: the row itself.
        kind: what is asked.
        pairs: MULTIPLE_CHOICE one a choice, and then one a choice without context where a metric needs it
            (`acc_mutual_info`); LOGLIKELIHOOD one; LOGLIKELIHOOD_ROLLING one, whose context is empty.
        prompt: GENERATE_UNTIL: the whole prompt, description and shots included.
        choices: texts of the choices without delimiter, for length normalisation.
        gold: the right answer.
        generation: GENERATE_UNTIL: how the answer is written.
        num_shots: examples in the prompt.
        prompt_hash: 16 hex digits of everything the model reads and is asked to continue with.
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
    """Why an item has no score; each is counted and shown, none becomes NaN or a wrong answer."""

    NO_LOGPROBS = "the model gives no log-probabilities of a prompt"
    TOO_LONG = "the prompt does not fit into the context"
    NO_SANDBOX = "code is not run without a sandbox"
    REFUSED = "the model refused the request"
    BAD_ROW = "the row has no right answer or lacks a column"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a model answered to an item; exactly what the ledger keeps.

    Attributes:
        logprobs: natural-log likelihood of each of the item's pairs.
        greedy: whether greedy decoding would have written each continuation.
        texts: answers written, `generation.repeats` of them.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        truncated_tokens: prompt tokens dropped because the prompt did not fit.
        unscored: why there is no answer, or `None`.
        warnings: what the model's side reported, one sentence each.
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
    """What an item is worth, by filter pipeline and metric.

    Attributes:
        item: the item.
        response: its answer.
        values: `{(filter, metric): value}`; a value is a number, or a tuple that the metric's aggregation understands
            (`("gold", "predicted")` for F1 over a task).  Empty where the response is unscored.
        answers: what each filter pipeline made of the answer, by its name.
        extraction_failed: names of the filter pipelines that found no answer in the text.
        chosen: MULTIPLE_CHOICE: number of the likeliest choice.
        tied: MULTIPLE_CHOICE: all choices are equally likely.
        programs: what became of the answers that were run as code.
    """

    item: EvalItem
    response: Response
    values: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    extraction_failed: tuple[str, ...] = ()
    chosen: int | None = None
    tied: bool = False
    programs: tuple[SandboxReport, ...] = ()
