"""The spec of a task: one value with every fact about the task, without torch.

A spec holds plain facts and small functions over samples.  Its parts that compute (rows, loss, predictions, scores) are
references: text such as `lavra.tasks.learning.losses:tag_loss`, resolved where they are needed, so that reading data,
`--help` and serving JSON do not pay for torch.  A reference may be the function itself: a task of a user's own,
in one file, names its parts so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lavra.base.lazy import Reference, resolve
from lavra.base.tasks import HeadKind, Problem
from lavra.data.labelled.form import SampleForm

ByProblem = Reference | Mapping[Problem, Reference]
"""A function for all kinds of labels, or a function for each kind."""

Labels = tuple[tuple[str, ...], Problem | None]
"""Names of labels, and their kind."""


@dataclass(frozen=True, kw_only=True)
class AskOptions:
    """Options of a request.

    Attributes:
        truncate: cut texts that are too long instead of refusing them.
        allow_none: whether a passage may have no answer.
    """

    truncate: bool = False
    allow_none: bool = False


@dataclass(frozen=True, kw_only=True)
class Asking:
    """The requests and answers of a task, in Python, in JSON and on the command line.

    The JSON is that of the server, everywhere.

    Attributes:
        path: endpoint of the server.
        request: class of its requests.
        takes: the fields of `AskOptions` that mean something to it.
        read_request: (one input of a JSON request, options) -> request.
        write_request: the input a request was read from.
        read_answer: fields of a JSON answer -> value of a prediction.
        write_answer: value of a prediction -> fields of a JSON answer.
        older_fields: the fields that `lavra predict --json` had before it wrote those of the server, kept beside them.
        from_texts: (texts typed one after the other, options) -> requests.
        from_sample: (labelled sample, options) -> request.
        from_pair: (two texts that are one pair, options) -> requests; None where texts are never pairs.
        given: fields of a JSON line that name the sample it answers.
        shown: (request, value) -> rows of text for a terminal.
    """

    path: str
    request: type
    takes: frozenset[str]
    read_request: Callable[[Any, AskOptions], Any]
    write_request: Callable[[Any], Any]
    read_answer: Callable[[Mapping[str, Any]], Any]
    write_answer: Callable[[Any], dict[str, Any]]
    from_texts: Callable[[Sequence[str], AskOptions], list[Any]]
    from_sample: Callable[[Any, AskOptions], Any]
    shown: Callable[[Any, Any], list[tuple[str, ...]]]
    from_pair: Callable[[Sequence[str], AskOptions], list[Any]] | None = None
    given: Callable[[Any], dict[str, Any]] = lambda sample: {}
    older_fields: Callable[[Any], dict[str, Any]] = lambda value: {}


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """The head of a task.

    Attributes:
        kind: the kind of its logits: a text's, a token's, a span's or a choice's.
        rows: (samples, row format, `TaskConfig`) -> `TaskRows` to learn from.
        loss: a `HeadLoss`.
        soft_loss: a `SoftLoss`, of a student that imitates a teacher's logits.
        predict: (`HeadedModel`, requests) -> predictions.
        score: (`HeadedModel`, labelled samples) -> `Scores`.
        guess: (batch, `TaskConfig`) -> summed loss of a guess.
        num_answers: (batch, `TaskConfig`) -> number of possible answers to a label of the batch.
        labels: labelled samples -> the labels that the head tells apart.
        problem: the kind of the labels, where the task fixes it.
        has_names: the outputs are named labels.
        has_windows: long texts are read in windows, and nothing of them is cut.
        also: names of further tasks that a head with one output can do.
    """

    kind: HeadKind
    rows: Reference
    loss: ByProblem
    soft_loss: ByProblem
    predict: Reference
    score: Reference
    guess: Reference
    num_answers: Reference
    labels: Callable[[Sequence[Any]], Labels] = lambda samples: ((), None)
    problem: Problem | None = None
    has_names: bool = False
    has_windows: bool = False
    also: tuple[str, ...] = ()

    def loss_of(self, problem: Problem | None) -> Callable[..., Any]:
        """The loss where labels are of this kind."""
        return _of_problem(self.loss, problem)

    def soft_loss_of(self, problem: Problem | None) -> Callable[..., Any]:
        """The soft loss where labels are of this kind."""
        return _of_problem(self.soft_loss, problem)


def _of_problem(choice: ByProblem, problem: Problem | None) -> Callable[..., Any]:
    return resolve(choice[problem or Problem.SINGLE_LABEL] if isinstance(choice, Mapping) else choice)


@dataclass(frozen=True, kw_only=True)
class WritingSpec:
    """A task whose model writes text.

    Attributes:
        rows: (recipe, samples, whether they are packed) -> `LanguageRows`.
        is_chat: samples are conversations: laid out by a template, learnt by decoders alone, left out rather than cut.
    """

    rows: Reference
    is_chat: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskSpec:
    """A task with all its facts.

    Attributes:
        name: name of the task, as users type it.
        summary: input and output, in a line.
        form: the form of its samples in files.
        texts: texts of a sample.
        key: texts that identify a sample; its `texts` unless given.  Samples with equal keys go to the same side of a
            split, and a held-out sample with the key of a training sample is a leak.
        expected: the label of a sample in JSON types; None where it is missing, or where the task has none.
        is_known: whether a sample has a label, or a text to learn.
        labels: names or numbers that a sample is labelled with, which `lavra doctor` counts.
        has_places: its labels are places among a sample's choices, so that a rare label means nothing.
        recipe: (settings, folder of the base model, tokenizer, labelled data) -> `Recipe`.
        reads_back: name of the doctor's check of its rows, and (`RowReader`, number of a row, sample) ->
            `ReadBackRow`, or None where the row cannot be compared.
        tokens: usual length of a row: attention to more costs most of a small machine's time.
        learning_rate: usual peak where the whole model is trained.
        saved_as: the word for it in cards and model folders; its name unless given.
        aliases: further words for it in settings.
        head: the head; None for a task without one.
        writing: the writing part; None for a task whose model does not write.
        asking: requests and answers; None for a task that no `Predictor` answers.
    """

    name: str
    summary: str
    form: SampleForm
    texts: Callable[[Any], Sequence[str]]
    recipe: Reference
    reads_back: tuple[str, Reference]
    key: Callable[[Any], Sequence[str]] | None = None
    expected: Callable[[Any], Any] = lambda sample: None
    is_known: Callable[[Any], bool] = lambda sample: True
    labels: Callable[[Any], Sequence[str | float]] = lambda sample: ()
    has_places: bool = False
    tokens: int = 256
    learning_rate: float = 5e-5
    saved_as: str = ""
    aliases: tuple[str, ...] = field(default=())
    head: HeadSpec | None = None
    writing: WritingSpec | None = None
    asking: Asking | None = None

    def __post_init__(self) -> None:
        if not self.saved_as:
            object.__setattr__(self, "saved_as", self.name)

    def __repr__(self) -> str:
        return f"TaskSpec({self.name!r})"

    @property
    def words(self) -> tuple[str, ...]:
        """Every word it is known by, its name first."""
        return tuple(dict.fromkeys((self.name, self.saved_as, *self.aliases)))
