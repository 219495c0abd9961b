"""Let any `LanguageModel` write answers for a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lavra.base.ports import LanguageModel, Progress, silent
from lavra.base.types import FinishReason, GenerateRequest
from lavra.evaluation.human.answers import ModelAnswer

Framing = Callable[[str], str | tuple[int, ...]]
"""A function that turns a prompt into the input of a model, as its chat template does."""

_AT_ONCE = 16  # prompts of a batch; progress is reported after each batch


def write_answers_to(
    asked: Sequence[ModelAnswer],
    model: LanguageModel,
    name: str,
    *,
    max_tokens: int,
    frame: Framing = str,
    progress: Progress = silent,
) -> tuple[list[ModelAnswer], list[str]]:
    """Let a model answer prompts greedily; return the answers and notes about them.

    Args:
        asked: prompts from `read_prompts`.
        model: the model that writes.
        name: name of the model in the study.
        max_tokens: most tokens of an answer; an answer that reaches them is kept, and counted in the notes.
        frame: turns a prompt into the model's input; the plain prompt unless given.
        progress: called with the number of answered prompts.

    Raises:
        LavraError: the model raised it.
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
