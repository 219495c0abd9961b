"""Sequence-level distillation: a teacher writes answers and a student learns from the file (Kim & Rush 2016,
arXiv:1606.07947).

It needs no common vocabulary and no logits, so any `LanguageModel` is a teacher: a model in this process, an engine, a
URL.  The file has a `prompt` and a `completion` a row, which `lavra.data.labelled` reads, and beside them the
teacher's name, its settings and the time.  Answers that were cut off, are empty, or repeat another answer to the
prompt are left out, counted, and written to a file of their own with the reason.

Asking is slow and may be interrupted, so every few answers are appended to `FILE.part`; the same call continues from
there, and the file itself appears when it is complete.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from lavra.base.disk import naming_full_disk
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import write_text
from lavra.base.ports import LanguageModel, Progress
from lavra.base.types import Completion, FinishReason, GenerateRequest, SamplingConfig

CUT: Final = "cut off at max_tokens"
EMPTY: Final = "empty"
CANCELLED: Final = "cancelled by the teacher's side"
REPEATED: Final = "the same as another answer to this prompt"

FramePrompt = Callable[[str], str | tuple[int, ...]]
"""A function that puts a prompt into the teacher's form: its chat template, a few examples in front."""


@dataclass(frozen=True, kw_only=True)
class AnswersConfig:
    """The settings of the questions to a teacher.

    Attributes:
        max_tokens: most tokens of an answer; an answer that reaches them is left out.
        sampling: settings of sampling, greedy by default; the seed of a sampled answer is their seed plus the prompt's
            number, and a missing seed is drawn.
        stop: an answer ends before the first of these.
        samples: number of answers to each prompt.
        batch_size: number of prompts asked together, and written together.
    """

    max_tokens: int = 512
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    stop: tuple[str, ...] = ()
    samples: int = 1
    batch_size: int = 32

    def __post_init__(self) -> None:
        for name in ("max_tokens", "samples", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 1 or more")
        if self.samples > 1 and self.sampling.temperature == 0:
            raise ConfigError(f"samples is {self.samples} and temperature 0: all would be the same; set a temperature")


@dataclass(frozen=True, kw_only=True)
class AnswersReport:
    """The result of asking a teacher.

    Attributes:
        path: the file of answers.
        num_prompts: number of prompts.
        num_kept: answers in the file.
        num_resumed: prompts whose answers an earlier call had written.
        left_out: answers left out, by reason.
        left_out_path: file of the answers left out, where there are any.
        warnings: warnings of the teacher's side in this call, and their counts.
    """

    path: Path
    num_prompts: int
    num_kept: int
    num_resumed: int
    left_out: Mapping[str, int]
    left_out_path: Path | None
    warnings: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The report as text."""
        found = [f"{self.num_kept:,} answers to {self.num_prompts:,} prompts in {self.path}"]
        found += [f"left out: {count:,} ({reason})" for reason, count in self.left_out.items()]
        if self.left_out_path is not None:
            found.append(f"what was left out is in {self.left_out_path}")
        return found + [f"{count:,} times: {warning}" for warning, count in self.warnings.items()]


def write_answers(
    teacher: LanguageModel,
    prompts: Sequence[str],
    path: Path,
    config: AnswersConfig,
    *,
    teacher_name: str,
    frame: FramePrompt | None = None,
    progress: Progress | None = None,
) -> AnswersReport:
    """Ask a teacher and keep its answers; continues where an earlier call of the same kind was interrupted.

    Args:
        teacher: the teacher.
        prompts: prompts; the file has them unchanged.
        path: the `.jsonl` file to write.
        config: settings of the questions.
        teacher_name: the teacher's name in every row; an address must hold no key.
        frame: function that puts a prompt into the teacher's form; without it, prompts are used unchanged.
        progress: called with `answers`, the number of finished prompts, and their total.

    Raises:
        InputError: the file exists, there are no prompts, or an earlier call began with other settings.
        LavraError: any error of the teacher; the written answers stay, and the next call continues.
    """
    if path.exists():
        raise InputError(f"{path} exists; name another file, or remove it to ask again")
    if not prompts:
        raise InputError("there are no prompts to ask; give at least one")
    journal = _Journal(path, teacher_name, config, prompts)
    warnings: Counter[str] = Counter()
    resumed = len(journal.rows)
    left = [number for number in range(len(prompts)) if number not in journal.rows]
    for start in range(0, len(left), config.batch_size):
        numbers = left[start : start + config.batch_size]
        requests = [_request(prompts[number], number, journal.seed, config, frame) for number in numbers]
        for number, request, found in zip(numbers, requests, teacher.generate(requests), strict=True):
            warnings.update(warning for one in found for warning in one.warnings)
            journal.rows[number] = _rows(prompts[number], number, request, found, teacher_name)
        journal.append(numbers)
        if progress is not None:
            progress("answers", resumed + start + len(numbers), len(prompts))
    return journal.finish(resumed, warnings)


def _request(prompt: str, number: int, seed: int, config: AnswersConfig, frame: FramePrompt | None) -> GenerateRequest:
    sampling = config.sampling
    if sampling.temperature > 0:
        sampling = replace(sampling, seed=seed + number)
    return GenerateRequest(
        prompt=prompt if frame is None else frame(prompt),
        max_tokens=config.max_tokens,
        sampling=sampling,
        stop=config.stop,
        n=config.samples,
        logprobs=False,
    )


def _rows(
    prompt: str, number: int, request: GenerateRequest, found: Sequence[Completion], teacher_name: str
) -> list[dict[str, Any]]:
    """Rows of answers, one each, with the reason where the answer is to be left out."""
    usual = asdict(SamplingConfig())
    sampling = {name: value for name, value in asdict(request.sampling).items() if value != usual[name]}
    date, seen_texts, rows = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), set[str](), []
    for one in found:
        row: dict[str, Any] = {
            "prompt": prompt,
            "completion": one.text,
            "teacher": teacher_name,
            "sampling": {"max_tokens": request.max_tokens, **sampling},
            "date": date,
            "finish_reason": one.finish_reason.value,
            "number": number,
        }
        reason = REPEATED if one.text in seen_texts else _reason(one)
        seen_texts.add(one.text)
        rows.append(row if reason is None else {**row, "left_out": reason})
    return rows


def _reason(one: Completion) -> str | None:
    if one.finish_reason is FinishReason.LENGTH:
        return CUT
    if one.finish_reason is FinishReason.CANCELLED:
        return CANCELLED
    return EMPTY if not one.text.strip() else None


class _Journal:
    """The file `FILE.part`: the settings in its first line, and then every row in the order of arrival."""

    def __init__(self, path: Path, teacher_name: str, config: AnswersConfig, prompts: Sequence[str]) -> None:
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._left_out = path.with_name(f"{path.stem}.left-out{path.suffix}")
        self._num_prompts = len(prompts)
        self.rows: dict[int, list[dict[str, Any]]] = {}
        settings = {name: value for name, value in asdict(config).items() if name != "batch_size"}
        head = json.loads(json.dumps({"teacher": teacher_name, **settings}))
        before = self._read(head, config.samples, prompts)
        self.seed = before["seed"] if before else _first_seed(config.sampling)
        lines = [json.dumps({**head, "seed": self.seed}), *self._lines(sorted(self.rows))]
        write_text(self._part, "".join(f"{line}\n" for line in lines))  # without a line that a kill left half-written

    def append(self, numbers: Sequence[int]) -> None:
        """Append the rows of these prompts; they are on disk when this returns."""
        with naming_full_disk(self._part), self._part.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self._lines(numbers))
            file.flush()
            os.fsync(file.fileno())

    def finish(self, resumed: int, warnings: Mapping[str, int]) -> AnswersReport:
        """Make the final file from the journal."""
        rows = [row for number in sorted(self.rows) for row in self.rows[number]]
        out = [row for row in rows if "left_out" in row]
        kept = [row for row in rows if "left_out" not in row]
        if out:
            write_text(self._left_out, "".join(f"{_line(row)}\n" for row in out))
        write_text(self._path, "".join(f"{_line(row)}\n" for row in kept))
        self._part.unlink()
        return AnswersReport(
            path=self._path,
            num_prompts=self._num_prompts,
            num_kept=len(kept),
            num_resumed=resumed,
            left_out=dict(Counter(row["left_out"] for row in out)),
            left_out_path=self._left_out if out else None,
            warnings=dict(warnings),
        )

    def _lines(self, numbers: Sequence[int]) -> Iterator[str]:
        return (_line(row) for number in numbers for row in self.rows[number])

    def _read(self, head: Mapping[str, Any], samples: int, prompts: Sequence[str]) -> dict[str, Any] | None:
        """The first line of an earlier call, whose whole rows are kept; None without an earlier call."""
        if not self._part.exists():
            return None
        lines = self._part.read_text(encoding="utf-8").split("\n")[:-1]  # text behind the last newline is torn
        before: dict[str, Any] = json.loads(lines[0]) if lines else {}
        asked = {name: value for name, value in before.items() if name != "seed"}
        if asked != head:
            changed = sorted(name for name in {*asked, *head} if asked.get(name) != head.get(name))
            raise InputError(
                f"{self._part} was begun with other settings ({', '.join(changed)}); use the same, or remove it"
            )
        for row in map(json.loads, lines[1:]):
            number = row["number"]
            if number >= len(prompts) or prompts[number] != row["prompt"]:
                raise InputError(f"{self._part} was begun with other prompts (number {number}); use them, or remove it")
            self.rows.setdefault(number, []).append(row)
        self.rows = {number: rows for number, rows in self.rows.items() if len(rows) == samples}
        return before


def _first_seed(sampling: SamplingConfig) -> int:
    if sampling.temperature == 0:
        return 0
    return secrets.randbits(31) if sampling.seed is None else sampling.seed


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)
