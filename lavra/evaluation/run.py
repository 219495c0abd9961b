"""Run an evaluation: ask any `LanguageModel` the items of tasks, and score its answers.

    rows ─▶ items ─▶ ledger? ─▶ asking ─▶ responses ─▶ scores ─▶ ledger ─▶ tasks ─▶ groups
                        └──── an answer that is there ────┘

Items are asked in chunks with fixed borders.  The answers of a chunk enter the ledger together, so a run that is
resumed after a kill asks the missing chunks exactly as the first run would have, and ends with the same numbers to the
last bit.  Every run scores the answers anew, since the ledger keeps the model's answers: a corrected scorer needs no
model.

The caller passes the model, and all objects that need torch or a terminal: the tokenizer, the progress.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from lavra.base.errors import ConfigError, InputError, nearest
from lavra.base.ports import LanguageModel, Progress, silent
from lavra.base.version import VERSION
from lavra.evaluation.asking import Asker, PromptTokens
from lavra.evaluation.items import EvalItem, ItemScore, OutputType, Response, Unscored
from lavra.evaluation.ledger import Ledger, LedgerRow, SampleKey
from lavra.evaluation.results import Contamination, EvaluationResult, TaskResult
from lavra.evaluation.sandbox.run import Sandbox
from lavra.evaluation.scoring import score_item
from lavra.evaluation.summary import GroupMember
from lavra.evaluation.task_files.opening import TaskGroup
from lavra.evaluation.task_files.prompting import ChatSettings
from lavra.evaluation.task_files.task import EvalTask
from lavra.evaluation.task_result import group_member, grouped, summarize
from lavra.metrics.intervals import RESAMPLES

_CHUNK_CHARACTERS: Final = 400_000  # of prompts in a chunk: little work is lost at a kill even with long documents
_WRITTEN_AT_ONCE: Final = 4  # chunks of written answers are smaller by this factor: writing takes longer than scoring
_LIBRARIES: Final = ("sacrebleu", "rouge-score")
_PLAIN: Final = ChatSettings()

ScoreSink = Callable[[ItemScore], None]
ContaminationCheck = Callable[[EvalTask, Sequence[ItemScore]], Contamination | None]


def _ignore(_: ItemScore) -> None:
    """Ignore the score of a single item."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """The settings of an evaluation.

    Attributes:
        limit: first items of each task; a value under 1 is a share of them; all unless given.
        items: numbers of the items of a task, by name of the task, instead of a limit.
        batch: items asked at a time, a quarter of it where answers are written; changes scores by rounding only.
        drop_shots: leave out examples of a prompt that does not fit, instead of its oldest tokens.
        seed: fixes answers that are sampled.
        resamples: draws of each bootstrap interval.
        fresh: ask every item, even if the ledger has its answer.
    """

    limit: float | None = None
    items: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    batch: int = 64
    drop_shots: bool = False
    seed: int = 1234
    resamples: int = RESAMPLES
    fresh: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and not self.limit > 0:
            raise ConfigError(f"limit is {self.limit:g}; give at least 1 item, or a share of them such as 0.1")
        if self.limit is not None and self.limit > 1 and not float(self.limit).is_integer():
            raise ConfigError(f"limit is {self.limit:g}; give a whole number of items, or a share under 1")
        if self.batch < 1:
            raise ConfigError(f"batch is {self.batch}; ask at least 1 item at a time")
        if self.limit is not None and self.items:
            raise ConfigError("limit and items both say which items are asked; give one of the two")


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """The evaluated model.

    Attributes:
        name: name that the user gave.
        hash: hash that identifies the model in the ledger.
    """

    name: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """The scores of a task, and further facts about its answers."""

    scores: list[ItemScore]
    seconds: float
    from_ledger: int
    dropped_shots: int


def evaluate(
    model: LanguageModel,
    tasks: Sequence[EvalTask],
    settings: EvaluationSettings = EvaluationSettings(),
    *,
    identity: ModelIdentity,
    groups: Sequence[TaskGroup] = (),
    ledger: Ledger | None = None,
    tokens: PromptTokens | None = None,
    chat: ChatSettings = _PLAIN,
    progress: Progress = silent,
    sink: ScoreSink = _ignore,
    contamination: ContaminationCheck | None = None,
    sandbox: Sandbox | None = None,
    record: Mapping[str, Any] | None = None,
) -> EvaluationResult:
    """Ask a model all items of some tasks.

    Args:
        model: any implementation of the `LanguageModel` port.
        tasks: the tasks, in the order of asking.
        settings: settings of the evaluation.
        identity: name and hash of the model.
        groups: groups of the tasks, whose scores are combined.
        ledger: keeps the answers and looks them up; nothing is kept unless given.
        tokens: the model's tokenizer, where the caller has it.
        chat: settings of prompts for a model that was tuned on conversations.
        progress: called for each chunk.
        sink: called with the score of each item, task by task.
        contamination: compares a task's items with the model's training text.
        sandbox: runs answers that are code; without a sandbox such tasks are not asked and have no score.
        record: further settings of the run, to be kept in the result.

    Raises:
        InputError: a row cannot be asked, the ledger cannot be written, or an item does not exist.
        LavraError: the model's side failed; the answers until then are in the ledger.
    """
    _check_items(settings, tasks)
    started = time.monotonic()
    asker = Asker(model, tokens=tokens, seed=settings.seed)
    runner = _Runner(asker, settings, identity, ledger, tokens, chat, progress, sandbox)
    results: list[TaskResult] = []
    members: dict[str, GroupMember] = {}
    for number, task in enumerate(tasks, start=1):
        asked = runner.run(task, f"task {number} of {len(tasks)}")
        for score in asked.scores:
            sink(score)
        results.append(_result(task, asked, settings, contamination))
        if groups:
            members[task.name] = group_member(task, results[-1], asked.scores)
    return EvaluationResult(
        model=identity.name,
        model_hash=identity.hash,
        tasks=tuple(results),
        groups=tuple(grouped(group, members, settings.resamples) for group in groups),
        settings=dict(record or {}),
        versions=_versions(),
        seconds=time.monotonic() - started,
        peak_memory=_peak_memory(),
    )


def _result(
    task: EvalTask, asked: _Asked, settings: EvaluationSettings, contamination: ContaminationCheck | None
) -> TaskResult:
    """The result of a task, completed with the facts that only the run knows."""
    found = summarize(task, asked.scores, resamples=settings.resamples)
    return replace(
        found,
        cost=replace(found.cost, seconds=asked.seconds, from_ledger=asked.from_ledger),
        dropped_shots=asked.dropped_shots,
        contamination=None if contamination is None else contamination(task, asked.scores),
    )


def _check_items(settings: EvaluationSettings, tasks: Sequence[EvalTask]) -> None:
    known = {task.name: task for task in tasks}
    for name, numbers in settings.items.items():
        if name not in known:
            raise InputError(f"items names the task {name!r}, which is not asked{nearest(name, known)}")
        wrong = next((one for one in numbers if not 0 <= one < known[name].num_documents), None)
        if wrong is not None:
            raise InputError(f"items of {name}: {wrong} is outside 0..{known[name].num_documents - 1}")


class _Runner:
    """The run of tasks; it asks only for answers that are not in the ledger."""

    def __init__(
        self,
        asker: Asker,
        settings: EvaluationSettings,
        identity: ModelIdentity,
        ledger: Ledger | None,
        tokens: PromptTokens | None,
        chat: ChatSettings,
        progress: Progress,
        sandbox: Sandbox | None,
    ) -> None:
        self._asker, self._settings, self._identity = asker, settings, identity
        self._ledger, self._tokens, self._chat, self._progress = ledger, tokens, chat, progress
        self._sandbox = sandbox

    def run(self, task: EvalTask, note: str) -> _Asked:
        """Ask and score a task; its scores are in the order of its items."""
        numbers = chosen_documents(task, self._settings)
        scores: list[ItemScore] = []
        seconds, known, dropped = 0.0, 0, 0
        self._progress(task.name, 0, len(numbers), note)
        for chunk in _chunks((self._item(task, one) for one in numbers), self._settings.batch):
            items = [item for item, _ in chunk]
            dropped += sum(lost for _, lost in chunk)
            rows = self._known(task, items)
            known += len(rows)
            found, took = self._chunk(task, items, rows)
            scores += found
            seconds += took
            self._progress(task.name, len(scores), len(numbers), note)
        return _Asked(scores=scores, seconds=seconds, from_ledger=known, dropped_shots=dropped)

    def _chunk(
        self, task: EvalTask, items: Sequence[EvalItem], rows: Mapping[int, LedgerRow]
    ) -> tuple[list[ItemScore], float]:
        """The scores of a chunk, and the seconds that its answers took, now or in an earlier run."""
        missing = [item for item in items if item.doc_id not in rows]
        started = time.monotonic()
        fresh = dict(zip([item.doc_id for item in missing], self._answers(task, missing), strict=True))
        taken = time.monotonic() - started
        responses = [rows[item.doc_id].response if item.doc_id in rows else fresh[item.doc_id] for item in items]
        scores = self._scores(task, items, responses)
        self._keep(task, scores, fresh, taken)
        return scores, taken + sum(row.seconds for row in rows.values())

    def _answers(self, task: EvalTask, items: Sequence[EvalItem]) -> Sequence[Response]:
        """The answers to items; the model is not asked if the answers could not be scored."""
        if task.file.unsafe_code and self._sandbox is None:
            return [Response(unscored=Unscored.NO_SANDBOX)] * len(items)
        return self._asker.ask(items)

    def _scores(self, task: EvalTask, items: Sequence[EvalItem], responses: Sequence[Response]) -> list[ItemScore]:
        score = partial(score_item, task, sandbox=self._sandbox)
        if not task.file.unsafe_code:
            return list(map(score, items, responses))
        with ThreadPoolExecutor() as pool:  # each thread waits for a program; the sandbox runs one program on each core
            return list(pool.map(score, items, responses))

    def _keep(self, task: EvalTask, scores: Sequence[ItemScore], fresh: Mapping[int, Response], seconds: float) -> None:
        kept = [one for one in scores if one.item.doc_id in fresh and fresh[one.item.doc_id].unscored is None]
        if self._ledger is not None and kept:
            self._ledger.add([self._key(task, one.item) for one in kept], kept, seconds)

    def _known(self, task: EvalTask, items: Sequence[EvalItem]) -> dict[int, LedgerRow]:
        """The rows of the ledger, by number of the item."""
        if self._ledger is None or self._settings.fresh:
            return {}
        keys = {self._key(task, item).hash: item.doc_id for item in items}
        return {keys[key]: row for key, row in self._ledger.find(list(keys)).items()}

    def _key(self, task: EvalTask, item: EvalItem) -> SampleKey:
        drawn = item.generation is not None and item.generation.temperature > 0
        changing = {
            "seed": self._settings.seed if drawn else None,
            "rendered": bool(self._tokens and self._tokens.rendered),
        }
        return SampleKey(model=self._identity.hash, task=task.task_hash, item=item, settings=changing)

    def _item(self, task: EvalTask, number: int) -> tuple[EvalItem, int]:
        """An item, and the number of examples left out so that it fits."""
        item = task.item(number, chat=self._chat)
        whole = item.num_shots
        while self._settings.drop_shots and item.num_shots and not self._fits(item):
            item = task.item(number, chat=self._chat, keep_shots=item.num_shots - 1)
        return item, whole - item.num_shots

    def _fits(self, item: EvalItem) -> bool:
        if self._tokens is None or self._tokens.context is None:
            return True
        answer_tokens = item.generation.max_tokens if item.generation is not None else 0
        texts = {item.prompt, *(pair.context + pair.continuation for pair in item.pairs)} - {""}
        longest = max(texts, key=len, default="")
        return len(self._tokens.encode(longest)) + answer_tokens <= self._tokens.context


def chosen_documents(task: EvalTask, settings: EvaluationSettings) -> Sequence[int]:
    """The numbers of the items to ask; a limit counts as in lm-evaluation-harness.

    Args:
        task: the task whose items are chosen.
        settings: settings with the limit, or with the numbers.
    """
    if settings.items:
        return settings.items.get(task.name, ())
    total = task.num_documents
    if settings.limit is None:
        return range(total)
    most = -int(-total * settings.limit // 1) if settings.limit < 1 else int(settings.limit)
    return range(min(total, most))


def _chunks(items: Iterable[tuple[EvalItem, int]], batch: int) -> Iterator[list[tuple[EvalItem, int]]]:
    """Cut items into chunks whose borders depend on the items alone."""
    chunk: list[tuple[EvalItem, int]] = []
    characters = 0
    for item, lost in items:
        most = max(1, batch // _WRITTEN_AT_ONCE) if item.kind is OutputType.GENERATE_UNTIL else batch
        size = len(item.prompt) + sum(len(pair.context) + len(pair.continuation) for pair in item.pairs)
        if chunk and (len(chunk) >= most or characters + size > _CHUNK_CHARACTERS):
            yield chunk
            chunk, characters = [], 0
        chunk.append((item, lost))
        characters += size
    if chunk:
        yield chunk


# ---------------------------------------------------------------- where it ran


def _versions() -> dict[str, str]:
    found = {"lavra": VERSION, "python": sys.version.split()[0]}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _peak_memory() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
