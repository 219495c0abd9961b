"""Answers written now, by any `LanguageModel`, for a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lavra.base.ports import LanguageModel, Progress, silent
from lavra.base.types import FinishReason, GenerateRequest
from lavra.evaluation.human.answers import ModelAnswer

Framing = Callable[[str], str | tuple[int, ...]]
"""How a prompt is put to a model: its chat template."""

_AT_ONCE = 16  # prompts; progress is told after each batch


def write_answers_to(
    asked: Sequence[ModelAnswer],
    model: LanguageModel,
    name: str,
    *,
    max_tokens: int,
    frame: Framing = str,
    progress: Progress = silent,
) -> tuple[list[ModelAnswer], list[str]]:
    """A model's answers to prompts, written greedily, and what is to be noted of them.

    Args:
        asked: prompts, from `read_prompts`.
        model: whoever writes.
        name: what the study calls it.
        max_tokens: most tokens of an answer; one that reaches them is kept, and counted in the notes.
        frame: how a prompt is put to the model; as it stands unless given.
        progress: told how many prompts are answered.

    Raises:
        LavraError: whatever the model raises.
    """
    answers, num_cut = [], 0
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        requests = [GenerateRequest(prompt=frame(one.prompt), max_tokens=max_tokens, logprobs=False) for one in part]
        written = [completions[0] for completions in model.generate(requests)]
        num_cut += sum(one.finish_reason is FinishReason.LENGTH for one in written)
        pairs = zip(part, written, strict=True)
        answers += [replace(one, model=name, answer=completion.text.strip()) for one, completion in pairs]
        progress(f"answers of {name}", len(answers), len(asked))
    if not num_cut:
        return answers, []
    return answers, [f"{num_cut} of {len(answers)} answers of {name} end at the limit of {max_tokens} tokens"]
