"""The settings of a task's written answers, from the `generation_kwargs` of its file.

As in lm-evaluation-harness' `normalize_gen_kwargs`, decoding is greedy if `do_sample` is false, at any temperature.
"""

from __future__ import annotations

from lavra.base.errors import InputError
from lavra.evaluation.items import AnswerSettings
from lavra.evaluation.task_files.task_file import TaskFile

_LENGTH_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


def answer_settings(file: TaskFile) -> AnswerSettings:
    """Read the settings of a task's written answers from its `generation_kwargs`.

    Raises:
        InputError: a value has the wrong type.
    """
    given = file.generation_kwargs
    until = given.get("until", [file.fewshot_delimiter])
    until = [until] if isinstance(until, str) else until
    if not isinstance(until, list) or not all(isinstance(stop, str) for stop in until):
        raise InputError(f"{file.path}: `until` is {until!r}; give a text or a list of texts")
    temperature = float(given.get("temperature") or 0.0)
    longest = next((given[key] for key in _LENGTH_KEYS if given.get(key) is not None), 256)
    return AnswerSettings(
        until=tuple(until),
        max_tokens=int(longest),
        temperature=0.0 if given.get("do_sample") is False else temperature,
        top_p=float(given.get("top_p") or 1.0),
        top_k=int(given.get("top_k") or 0),
        repeats=file.repeats,
    )
