"""A model that learns to answer: its LoRA, its questions and its measurements.

A decoder gets questions in its chat template; an encoder-decoder gets the question as its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from lavra.base.device import pick_device
from lavra.base.types import GenerateRequest
from lavra.data.labelled.samples import ChatSample, Place, RewriteSample, Sample
from lavra.generate.in_process import InProcessModel
from lavra.pipeline.samples.sample import CHOOSING, KINDS, Instruction
from lavra.quantize.folder import load_model
from lavra.runs.finetune import add_method, save_trained
from lavra.tasks.chat import CHAT
from lavra.tasks.learning.recipe import TrainingTask
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.learning.writing import WritingRecipe
from lavra.tasks.rewrite import REWRITE
from lavra.tokens.conversation import rendered_ids, with_template
from lavra.tokens.tokenizer import Tokenizer

ANSWER_TOKENS: Final = 32  # tokens of an answer that is shown
_NAME_TOKENS: Final = 16  # tokens of an answer that only names a choice
_BATCH: Final = 32  # answers written together


@dataclass(frozen=True, kw_only=True)
class ExamScores:
    """The marks of a model on held-out instructions.

    Attributes:
        nats: by kind, nats a token of the true answers.
        measured: by kind, number of instructions that fit the context; kinds without any are absent from both.
        chosen: number of right choices among three names or words.
        asked: number of such choices.
    """

    nats: Mapping[str, float]
    measured: Mapping[str, int]
    chosen: int
    asked: int

    @property
    def mean(self) -> float:
        """The mean over the kinds of nats a token."""
        return sum(self.nats.values()) / max(1, len(self.nats))

    @property
    def share_chosen(self) -> float:
        """The share of right choices; 0 where there were no choices."""
        return self.chosen / max(1, self.asked)


class StudentModel:
    """A base model, a fresh LoRA on it, and the recipe of `lavra finetune`.

    Args:
        base: folder of the base model.
        config: settings of the run; the task is chat or rewrite.
    """

    def __init__(self, base: Path, config: FinetuneConfig) -> None:
        tokenizer = Tokenizer.load(base)
        if config.task is CHAT:
            tokenizer = with_template(tokenizer)
        self.base, self.config, self.tokenizer = base, config, tokenizer
        torch.manual_seed(config.seed)
        model, _ = load_model(base, dtype=torch.float32, device=pick_device())
        self.max_length = config.max_tokens or model.config.max_positions
        self.recipe = WritingRecipe(model, tokenizer, config, self.max_length)
        add_method(config, self.recipe, tokenizer)

    def training_task(self, rows: Sequence[Instruction]) -> TrainingTask:
        """The training task of some instructions."""
        return self.recipe.training_task(self._samples(rows))

    def has_fitting(self, rows: Sequence[Instruction]) -> bool:
        """Whether at least one of some instructions fits the context with its answer."""
        return len(self.recipe.rows(self._samples(rows), packed=False)) > 0

    def marks(self, rows: Sequence[Instruction]) -> ExamScores:
        """Measure the model on some instructions as it is now."""
        nats, measured = dict[str, float](), dict[str, int]()
        for kind in KINDS:
            found = self.recipe.score(self._samples([one for one in rows if one.kind == kind]))
            if found.num_samples:
                nats[kind], measured[kind] = found.value, found.num_samples
        asked = self.fitting([one for one in rows if one.kind in CHOOSING], _NAME_TOKENS)
        answers = self.answer(asked, _NAME_TOKENS)
        chosen = sum(answer.strip() == one.output for one, answer in zip(asked, answers, strict=True))
        return ExamScores(nats=nats, measured=measured, chosen=chosen, asked=len(asked))

    def fitting(self, rows: Sequence[Instruction], most: int) -> list[Instruction]:
        """The instructions whose question leaves room in the context for an answer of `most` tokens."""
        return [one for one in rows if len(self.tokenizer.encode(self._prompt(one))) + most < self.max_length]

    def answer(self, rows: Sequence[Instruction], most: int = ANSWER_TOKENS) -> list[str]:
        """The greedy answers of the model, at most `most` tokens each."""
        writer = InProcessModel(self.recipe.model, self.recipe.model.config, self.tokenizer, batch_size=_BATCH)
        requests = [GenerateRequest(prompt=self._read(one), max_tokens=most) for one in rows]
        return [completion.text for (completion,) in writer.generate(requests)]

    def save(self, folder: Path) -> None:
        """Write a PEFT folder with the tokenizer of the training."""
        save_trained(self.config, self.recipe, self.base, folder)
        self.tokenizer.save(folder)

    def with_steps(self, steps: int, *, save_every: int) -> FinetuneConfig:
        """The settings of a run of `steps` steps, with a checkpoint every `save_every` steps."""
        return replace(self.config, steps=steps, save_every=save_every)

    def _prompt(self, one: Instruction) -> str:
        if self.config.task is CHAT:
            return self.tokenizer.apply_chat_template([{"role": "user", "content": one.instruction}])
        return one.instruction

    def _read(self, one: Instruction) -> str | tuple[int, ...]:
        """A conversation carries its own special tokens; around a source the model's are put."""
        prompt = self._prompt(one)
        return tuple(rendered_ids(self.tokenizer, prompt)) if self.config.task is CHAT else prompt

    def _samples(self, rows: Sequence[Instruction]) -> list[Sample]:
        places = (Place(file=one.source, line=number) for number, one in enumerate(rows, start=1))
        if self.config.task is REWRITE:
            return [
                RewriteSample(source=one.instruction, target=one.output, place=place)
                for one, place in zip(rows, places, strict=True)
            ]
        return [ChatSample(messages=_turns(one), place=place) for one, place in zip(rows, places, strict=True)]


def _turns(one: Instruction) -> tuple[dict[str, str], ...]:
    return {"role": "user", "content": one.instruction}, {"role": "assistant", "content": one.output}
