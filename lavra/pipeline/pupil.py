"""A model that is taught to answer: its LoRA, how it is asked, and what is measured on it.

A decoder is asked in the chat template it learns, an encoder-decoder with the question as its source.
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
from lavra.quantize import load_model
from lavra.runs.finetune import add_method, save_trained
from lavra.tasks.chat import CHAT
from lavra.tasks.learning.recipe import Lesson
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.learning.writing import WritingRecipe
from lavra.tasks.rewrite import REWRITE
from lavra.tokens import Tokenizer
from lavra.tokens.conversation import rendered_ids, with_template

ANSWER_TOKENS: Final = 32  # of an answer that is shown
_NAME_TOKENS: Final = 16  # of one that only names
_BATCH: Final = 32  # answers written together


@dataclass(frozen=True, kw_only=True)
class Marks:
    """How a model does on held-out instructions.

    Attributes:
        nats: by kind, a token of the true answers.
        measured: by kind, how many had room in the context; kinds without any are in neither.
        chosen: names and words of three chosen rightly.
        asked: names and words asked for.
    """

    nats: Mapping[str, float]
    measured: Mapping[str, int]
    chosen: int
    asked: int

    @property
    def mean(self) -> float:
        """Nats a token, the mean of the kinds."""
        return sum(self.nats.values()) / max(1, len(self.nats))

    @property
    def share_chosen(self) -> float:
        """Of the names and words asked for; 0 where none were."""
        return self.chosen / max(1, self.asked)


class Pupil:
    """A base model, a fresh LoRA on it, and the recipe of `lavra finetune`.

    Args:
        base: the model's folder.
        config: of the run; its task is chat or rewrite.
    """

    def __init__(self, base: Path, config: FinetuneConfig) -> None:
        tokenizer = Tokenizer.load(base)
        if config.task is CHAT:
            tokenizer = with_template(tokenizer)
        self.base, self.config, self.tokenizer = base, config, tokenizer
        torch.manual_seed(config.seed)
        model, _ = load_model(base, dtype=torch.float32, device=pick_device())
        self.room = config.max_tokens or model.config.max_positions
        self.recipe = WritingRecipe(model, tokenizer, config, self.room)
        add_method(config, self.recipe, tokenizer)

    def lesson(self, rows: Sequence[Instruction]) -> Lesson:
        """What is learnt from these."""
        return self.recipe.lesson(self._samples(rows))

    def has_room(self, rows: Sequence[Instruction]) -> bool:
        """Whether at least one of these fits into the context, answer included."""
        return len(self.recipe.rows(self._samples(rows), packed=False)) > 0

    def marks(self, rows: Sequence[Instruction]) -> Marks:
        """How it does on these as it stands."""
        nats, measured = dict[str, float](), dict[str, int]()
        for kind in KINDS:
            found = self.recipe.score(self._samples([one for one in rows if one.kind == kind]))
            if found.num_samples:
                nats[kind], measured[kind] = found.value, found.num_samples
        asked = self.fitting([one for one in rows if one.kind in CHOOSING], _NAME_TOKENS)
        answers = self.answer(asked, _NAME_TOKENS)
        chosen = sum(answer.strip() == one.output for one, answer in zip(asked, answers, strict=True))
        return Marks(nats=nats, measured=measured, chosen=chosen, asked=len(asked))

    def fitting(self, rows: Sequence[Instruction], most: int) -> list[Instruction]:
        """Those whose question leaves room in the context for an answer of `most` tokens."""
        return [one for one in rows if len(self.tokenizer.encode(self._prompt(one))) + most < self.room]

    def answer(self, rows: Sequence[Instruction], most: int = ANSWER_TOKENS) -> list[str]:
        """What it writes, greedily, `most` tokens at most."""
        writer = InProcessModel(self.recipe.model, self.recipe.model.config, self.tokenizer, batch_size=_BATCH)
        requests = [GenerateRequest(prompt=self._read(one), max_tokens=most) for one in rows]
        return [completion.text for (completion,) in writer.generate(requests)]

    def save(self, folder: Path) -> None:
        """A PEFT folder with the tokenizer it was taught with."""
        save_trained(self.config, self.recipe, self.base, folder)
        self.tokenizer.save(folder)

    def with_steps(self, steps: int, *, save_every: int) -> FinetuneConfig:
        """The settings of a run of so many steps, with a checkpoint every so many."""
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
