"""An open task: its rows are read, and each row becomes an item for a model.

Rendered prompts equal those of lm-evaluation-harness' `ConfigurableTask` for the same file and rows, character for
character.  There are two differences: a row that lacks a column raises an error that names the column, and a row
without a right answer is not counted as a wrong answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError
from lavra.base.files import hash_json
from lavra.evaluation.items import AnswerSettings, EvalItem, Gold, OutputType, ScoredPair
from lavra.evaluation.task_files.answer_settings import answer_settings
from lavra.evaluation.task_files.documents import Documents, hash_rows
from lavra.evaluation.task_files.filters import Pipeline, build_pipeline
from lavra.evaluation.task_files.prompting import ChatSettings, Exchange, PromptTurn, join, rendered, turns
from lavra.evaluation.task_files.rows import DocumentRows
from lavra.evaluation.task_files.shots import SEED, Shots
from lavra.evaluation.task_files.task_file import MetricSetting, ShotSetting, TaskFile
from lavra.evaluation.task_files.template import literal, render_field

_PLAIN = ChatSettings()


class EvalTask:
    """A task with its rows.

    Args:
        file: content of its task file.
        data: root of relative names of data files.
        num_shots: examples in each prompt, instead of the file's `num_fewshot`.
        seed: fixes the draws of examples.

    Attributes:
        file: content of its task file.
        num_shots: examples in each prompt.
        pipelines: filter pipelines, in the file's order.
    """

    def __init__(
        self,
        file: TaskFile,
        data: Path,
        *,
        num_shots: int | None = None,
        seed: int = SEED,
    ) -> None:
        self.file, self.seed = file, seed
        self.num_shots = (file.num_fewshot or 0) if num_shots is None else num_shots
        self.pipelines: tuple[Pipeline, ...] = tuple(build_pipeline(setting, file.task) for setting in file.filters)
        self._documents = Documents(file, data)

    @property
    def name(self) -> str:
        """The name of the task."""
        return self.file.task

    @property
    def alias(self) -> str:
        """The displayed name."""
        return self.file.task_alias or self.file.task

    @property
    def version(self) -> str:
        """`metadata.version` of the file."""
        return self.file.version

    @property
    def kind(self) -> OutputType:
        """The kind of output that the task asks of a model."""
        return self.file.output_type

    @property
    def metrics(self) -> tuple[MetricSetting, ...]:
        """The metrics of the task; a table shows the first."""
        return self.file.metrics

    @property
    def task_hash(self) -> str:
        """16 hex digits of the resolved file and of the settings that draw examples."""
        return hash_json([self.file.hash, self.num_shots, self.seed])

    @cached_property
    def documents(self) -> Sequence[dict[str, Any]]:
        """The rows of the evaluation split, in order."""
        return self._processed(self._documents.split(self.file.eval_split), self.file.process_docs)

    @property
    def num_documents(self) -> int:
        """The number of rows of the evaluation split."""
        return len(self.documents)

    @property
    def has_data(self) -> bool:
        """Whether the files of the evaluation split exist; they are not read."""
        return self._documents.has_files(self.file.eval_split)

    @cached_property
    def data_hash(self) -> str:
        """16 hex digits of the rows of the evaluation split, as the data files give them."""
        return hash_rows(self._documents.split(self.file.eval_split))

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the task's score that are known before it is computed, one sentence each."""
        return (*self.file.warnings, *self._data_warnings(), *self._shot_warnings())

    def item(self, doc_id: int, *, chat: ChatSettings = _PLAIN, keep_shots: int | None = None) -> EvalItem:
        """Make the item of a row.

        Args:
            doc_id: number of the row, from 0.
            chat: settings of prompts for a model that was tuned on conversations.
            keep_shots: most examples in the prompt, so that it fits; the last examples are kept.

        Raises:
            InputError: the row lacks a column, or a template fails on it.
        """
        row = self.documents[doc_id]
        shots = self._shots.of(doc_id)
        shots = shots if keep_shots is None else shots[max(len(shots) - keep_shots, 0) :]
        contexts = self._contexts(doc_id, row, shots, chat)
        pairs = self._pairs(doc_id, row, contexts, chat)
        prompt = contexts[0] if self.kind is OutputType.GENERATE_UNTIL else ""
        generation = self._generation if self.kind is OutputType.GENERATE_UNTIL else None
        return EvalItem(
            task=self.name,
            doc_id=doc_id,
            document=row,
            kind=self.kind,
            pairs=pairs,
            prompt=prompt,
            choices=tuple(self._choices(doc_id, row)) if self.kind is OutputType.MULTIPLE_CHOICE else (),
            gold=self._gold(doc_id, row),
            generation=generation,
            num_shots=len(shots),
            prompt_hash=hash_json([self.kind.value, prompt, [[pair.context, pair.continuation] for pair in pairs]]),
        )

    def decontamination_query(self, doc_id: int) -> str:
        """The text of a row for a check of contamination: the text that the file names, or else the question."""
        row, field = self.documents[doc_id], self.file.doc_to_decontamination_query
        if field is not None:
            return str(render_field(field, row, self._columns, self._where("doc_to_decontamination_query", doc_id)))
        text = self._text(doc_id, row)
        return str(text if isinstance(text, str) else self._target(doc_id, row))

    # ------------------------------------------------------------ rows

    def _processed(self, rows: list[dict[str, Any]], process: Any) -> list[dict[str, Any]]:
        if process is None:
            return rows
        try:
            changed = process(DocumentRows(dict(row) for row in rows))
        except KeyError as error:
            raise InputError(
                f"task {self.name!r}: process_docs: a row lacks {error}; it has the columns {', '.join(rows[0])}"
            ) from error
        if not changed:
            raise InputError(f"task {self.name!r}: process_docs leaves no row of {len(rows)}")
        return list(changed)

    @cached_property
    def _columns(self) -> frozenset[str]:
        return frozenset(self.documents[0])

    def _where(self, field: str, row: int | str) -> str:
        place = f"row {row}" if isinstance(row, int) else row
        return f"task {self.name!r}, {place} of the split {self.file.eval_split!r}: {field}"

    # ------------------------------------------------------------ fields of a row

    def _text(self, doc_id: int | str, row: Mapping[str, Any], field: Any = None) -> Any:
        field = self.file.doc_to_text if field is None else field
        if isinstance(field, int):
            return field
        value = render_field(field, row, self._columns, self._where("doc_to_text", doc_id))
        return self._number(field, value)

    def _target(self, doc_id: int | str, row: Mapping[str, Any], field: Any = None) -> Any:
        field = self.file.doc_to_target if field is None else field
        if isinstance(field, int | tuple):
            return list(field) if isinstance(field, tuple) else field
        where = self._where("doc_to_target", doc_id)
        value = self._number(field, render_field(field, row, self._columns, where))
        is_list = isinstance(value, str) and len(value) >= 2 and value[0] == "[" and value[-1] == "]"
        if callable(field) or field in self._columns or not is_list:
            return value
        try:
            return literal(value, where)
        except InputError:  # a text that happens to stand in brackets
            return value

    def _number(self, field: Any, value: Any) -> Any:
        """Turn a template's text into the number of a choice, if the task has choices."""
        rendered_text = not callable(field) and field not in self._columns
        if rendered_text and self.file.doc_to_choice is not None and isinstance(value, str) and value.isdigit():
            return int(value)
        return value

    def _choices(self, doc_id: int | str, row: Mapping[str, Any], field: Any = None) -> Sequence[str]:
        field = self.file.doc_to_choice if field is None else field
        where = self._where("doc_to_choice", doc_id)
        if field is None:
            raise InputError(f"{where}: is missing; a task of output_type multiple_choice needs it")
        if isinstance(field, tuple):
            return field
        value = render_field(field, row, self._columns, where)
        if not callable(field) and field not in self._columns:
            value = literal(value, where)
        if not isinstance(value, list | tuple) or not all(isinstance(choice, str) for choice in value):
            raise InputError(f"{where}: gives {value!r}; it takes a list of texts")
        return value

    def _prefix(self, doc_id: int | str, row: Mapping[str, Any], field: str | None) -> str | None:
        if field is None:
            return None
        return str(render_field(field, row, self._columns, self._where("gen_prefix", doc_id)))

    @cached_property
    def _is_multiple_input(self) -> bool:
        return self.file.doc_to_choice is not None and isinstance(self._text(0, self.documents[0]), int)

    @cached_property
    def _is_multiple_target(self) -> bool:
        return isinstance(self._target(0, self.documents[0]), list)

    # ------------------------------------------------------------ prompts

    @cached_property
    def _shots(self) -> Shots:
        shots, file = self.file.shots, self.file
        # lm-evaluation-harness compares these two names even if it does not ask the test split
        is_asked = shots.split == file.test_split
        pool = self._pool(shots) if self.num_shots else ()
        return Shots(
            pool, self.num_shots, shots.sampler, self.documents if is_asked else (), seed=self.seed, task=self.name
        )

    def _pool(self, shots: ShotSetting) -> Sequence[Mapping[str, Any]]:
        if shots.split is not None:
            return self._processed(self._documents.split(shots.split), shots.process_docs)
        if shots.samples is not None:
            return shots.samples() if callable(shots.samples) else shots.samples
        split = self.file.training_split or self.file.validation_split or self.file.eval_split
        return self._processed(self._documents.split(split), self.file.process_docs)

    def _contexts(
        self, doc_id: int, row: Mapping[str, Any], shots: Sequence[Mapping[str, Any]], chat: ChatSettings
    ) -> list[str]:
        """The prompt; if the choices are contexts, a prompt for each choice."""
        before = self._before(doc_id, row, chat)
        for number, shot in enumerate(shots):
            before += self._example(f"example {number} of row {doc_id}", shot)
        prefix = self._prefix(doc_id, row, self.file.gen_prefix)
        question = self._text(doc_id, row)
        asked = self._choices(doc_id, row) if self._is_multiple_input else [question]
        delimiter = "" if self._is_multiple_input else self.file.target_delimiter
        where = self._where("prompt", doc_id)
        return [
            rendered(
                before + turns(Exchange(question=text, gen_prefix=prefix, target_delimiter=delimiter), where),
                chat,
                prefix,
            )
            for text in asked
        ]

    def _before(self, doc_id: int, row: Mapping[str, Any], chat: ChatSettings) -> list[PromptTurn]:
        description = self.file.description
        text = render_field(description, row, row.keys(), self._where("description", doc_id)) if description else ""
        system = join(chat.system_instruction, text, self.file.fewshot_delimiter)
        return [PromptTurn(role="system", content=system)] if system else []

    def _example(self, place: str, shot: Mapping[str, Any]) -> list[PromptTurn]:
        shots = self.file.shots
        question = self._text(place, shot, shots.doc_to_text)
        choices = self._choices(place, shot, shots.doc_to_choice) if shots.doc_to_choice is not None else None
        if self._is_multiple_input and choices is not None:
            question, choices = choices[question], None
        exchange = Exchange(
            question=question,
            choices=choices,
            answer=self._target(place, shot, shots.doc_to_target),
            gen_prefix=self._prefix(place, shot, shots.gen_prefix),
            target_delimiter=shots.target_delimiter,
            fewshot_delimiter=shots.fewshot_delimiter,
        )
        return turns(exchange, self._where("prompt", place))

    def _pairs(
        self, doc_id: int, row: Mapping[str, Any], contexts: Sequence[str], chat: ChatSettings
    ) -> tuple[ScoredPair, ...]:
        if self.kind is OutputType.GENERATE_UNTIL:
            return ()
        if self.kind is not OutputType.MULTIPLE_CHOICE:
            target = self._target(doc_id, row)
            if not isinstance(target, str):
                raise InputError(f"{self._where('doc_to_target', doc_id)}: gives {target!r}; it takes a text")
            context = contexts[0] if self.kind is OutputType.LOGLIKELIHOOD else ""
            return (ScoredPair(context=context, continuation=target),)
        delimiter, choices = self._delimiter(chat), self._choices(doc_id, row)
        if self._is_multiple_input:
            target = self._target(doc_id, row)
            pairs = [ScoredPair(context=context, continuation=f"{delimiter}{target}") for context in contexts]
        else:
            pairs = [ScoredPair(context=contexts[0], continuation=f"{delimiter}{choice}") for choice in choices]
        if any(metric.name == "acc_mutual_info" for metric in self.metrics):
            pairs += [ScoredPair(context="", continuation=f"{delimiter}{choice}") for choice in choices]
        return tuple(pairs)

    def _delimiter(self, chat: ChatSettings) -> str:
        """The text between a prompt and a choice.

        A chat template ends its prompt itself, so the text is empty, unless a `gen_prefix` ends without white space.
        """
        prefix = self.file.gen_prefix
        if chat.render is None or (prefix and not prefix[-1].isspace()):
            return self.file.target_delimiter
        return ""

    # ------------------------------------------------------------ right answers

    def _gold(self, doc_id: int, row: Mapping[str, Any]) -> Gold:
        """The right answer of a row, `None` if the row has no right answer."""
        if self.kind is OutputType.MULTIPLE_CHOICE:
            return self._right_choice(doc_id, row)
        target = self._target(doc_id, row)
        if self.kind is OutputType.GENERATE_UNTIL and self.file.doc_to_choice is not None:
            choices = self._choices(doc_id, row)
            return choices[target] if isinstance(target, int) and -len(choices) <= target < len(choices) else None
        if isinstance(target, list | tuple):
            return tuple(str(answer) for answer in target) if target else None
        return None if target is None else str(target)

    def _right_choice(self, doc_id: int, row: Mapping[str, Any]) -> Gold:
        choices = self._choices(doc_id, row)
        gold = self._text(doc_id, row) if self._is_multiple_input else self._target(doc_id, row)
        if not isinstance(gold, list | tuple):
            return _choice_number(gold, choices)
        numbers = [_choice_number(one, choices) for one in gold]
        known = tuple(number for number in numbers if number is not None)
        return known or None  # one known right answer is enough, as in the harness

    @cached_property
    def _generation(self) -> AnswerSettings:
        return answer_settings(self.file)

    # ------------------------------------------------------------ warnings

    def _data_warnings(self) -> list[str]:
        expected = self.file.metadata.get("data_hash")
        if expected is None or str(expected) == self.data_hash:
            return []
        return [
            f"the rows of {self.name!r} are not those its file was checked with (hash {self.data_hash}, not "
            f"{expected}): its score cannot be compared with published ones"
        ]

    def _shot_warnings(self) -> list[str]:
        shots, file = self.file.shots, self.file
        drawn = shots.split if shots.split is not None or shots.samples is not None else (
            file.training_split or file.validation_split or file.eval_split
        )  # fmt: skip
        if not self.num_shots or drawn != file.eval_split or shots.split == file.test_split:
            return []
        return [
            f"examples of {self.name!r} come from the split {drawn!r} that is asked about, and lm-evaluation-harness "
            "does not leave the row itself out: a prompt may hold its own answer"
        ]


def _choice_number(gold: object, choices: Sequence[str]) -> int | None:
    """The number of the choice that a right answer names, `None` if there is no such choice."""
    if isinstance(gold, str):
        return choices.index(gold) if gold in choices else None
    return int(gold) if isinstance(gold, int) and 0 <= gold < len(choices) else None
