"""A pool of examples, and the shots chosen from it for one question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lavra.base.errors import ConfigError, InputError
from lavra.base.ports import Embedder, Progress
from lavra.prompts.example import Example
from lavra.prompts.prompt import Prompt
from lavra.prompts.select import ExampleSelection, ShotOrder, balanced, rank_diverse, rank_nearest, rank_random

_BATCH = 64  # examples embedded between two signs of progress


@dataclass(frozen=True, kw_only=True)
class ShotConfig:
    """Settings of shots: their number, choice and order.

    Attributes:
        shots: number of shots; 0 for none.
        select: way of choosing: random, nearest, diverse or balanced (the last goes round the labels).
        balance_by: way of choosing each label's shots where select is balanced.
        relevance: for diverse shots, weight of nearness to the question against being unlike each other, 0 to 1.
        order: best-last (beside the question) or best-first.
        seed: decides the random choices.
    """

    shots: int = 0
    select: ExampleSelection = ExampleSelection.RANDOM
    balance_by: ExampleSelection = ExampleSelection.RANDOM
    relevance: float = 0.5
    order: ShotOrder = ShotOrder.BEST_LAST
    seed: int = 0

    def __post_init__(self) -> None:
        if self.shots < 0:
            raise ConfigError(f"shots={self.shots} is under 0; 0 shows none")
        if not 0 <= self.relevance <= 1:
            raise ConfigError(f"relevance={self.relevance} is outside 0..1; 0.5 is half and half")
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed={self.seed} is outside 0..2^64-1")
        if self.balance_by is ExampleSelection.BALANCED:
            raise ConfigError("balance_by=balanced refers to itself; write random, nearest or diverse")

    @property
    def ranking(self) -> ExampleSelection:
        """The way examples are ranked within a label."""
        return self.balance_by if self.select is ExampleSelection.BALANCED else self.select

    @property
    def embeds(self) -> bool:
        """Whether texts must be embedded."""
        return self.shots > 0 and self.ranking is not ExampleSelection.RANDOM


class ShotPool:
    """A pool that chooses shots for a prompt.

    Args:
        prompt: shows the shots.
        examples: candidates for shots.
        config: settings of the choice.
        embedder: embeds the examples and the questions; for nearest and diverse.
        progress: shows how far the embedding of the examples is.

    Attributes:
        num_unfit: number of examples that cannot be shots, because only a part or a pattern of their answer is known.

    Raises:
        ConfigError: an embedder is needed and missing; or labels are needed, and an example has none.
        InputError: there are fewer examples than shots, or one does not fit the prompt.
    """

    def __init__(
        self,
        prompt: Prompt,
        examples: Sequence[Example],
        config: ShotConfig,
        embedder: Embedder | None = None,
        progress: Progress | None = None,
    ) -> None:
        for index, example in enumerate(examples):
            prompt.check_example(example, f"shot example {index + 1}")
        self._prompt, self._config, self._embedder = prompt, config, embedder
        self._examples = [example for example in examples if example.shown is not None]
        self.num_unfit = len(examples) - len(self._examples)
        self._values = [prompt.values(example.input) for example in self._examples]
        self._vectors: npt.NDArray[np.float32] | None = None
        self._check()
        if config.embeds and embedder is not None:
            self._vectors = _embedded(embedder, [question(prompt, values) for values in self._values], progress)

    @property
    def config(self) -> ShotConfig:
        """The settings of the choice."""
        return self._config

    def _check(self) -> None:
        config, number = self._config, len(self._examples)
        if config.shots and not self._prompt.takes_shots:
            raise ConfigError(
                f"shots={config.shots}, and {self._prompt} says nowhere how one is written; add example_template"
            )
        if config.shots > number:
            unfit = f" ({self.num_unfit} more have no answer to show)" if self.num_unfit else ""
            raise InputError(f"shots={config.shots} is over the {number} examples there are{unfit}; ask for fewer")
        if config.embeds and self._embedder is None:
            raise ConfigError(f"select={config.ranking.value} needs a model that embeds; name one, or select random")

    def num_met(self, inputs: Sequence[Mapping[str, Any]]) -> int:
        """Count the inputs that are among the examples."""
        return sum(self._prompt.values(one) in self._values for one in inputs)

    def choose(self, given: Mapping[str, Any]) -> tuple[Example, ...]:
        """Choose the shots for a question, best first; the question itself, with its answer, is never a shot.

        Raises:
            InputError: without the question itself there are fewer examples than shots.
        """
        if self._config.shots == 0:
            return ()
        values = self._prompt.values(given)
        left = [index for index, own in enumerate(self._values) if own != values]
        if len(left) < self._config.shots:
            raise InputError(
                f"shots={self._config.shots} is over the {len(left)} examples that are not the question itself; "
                "ask for fewer"
            )
        ranking = [left[place] for place in self._rank(left, values)]
        if self._config.select is ExampleSelection.BALANCED:
            ranking = balanced([str(example.shown) for example in self._examples], ranking)
        return tuple(self._examples[index] for index in ranking[: self._config.shots])

    def _rank(self, left: list[int], values: Mapping[str, Any]) -> list[int]:
        if self._config.ranking is ExampleSelection.RANDOM:
            contents = [[self._values[index], self._examples[index].shown] for index in left]
            return rank_random(contents, self._config.seed)
        assert self._embedder is not None
        assert self._vectors is not None
        query = self._embedder.embed([question(self._prompt, values)])[0]  # (D,)
        pool = self._vectors[left]  # (N,D)
        if self._config.ranking is ExampleSelection.NEAREST:
            return rank_nearest(query, pool)
        most = None if self._config.select is ExampleSelection.BALANCED else self._config.shots
        return rank_diverse(pool, query, relevance=self._config.relevance, most=most)


def _embedded(embedder: Embedder, texts: Sequence[str], progress: Progress | None) -> npt.NDArray[np.float32]:
    """(N,D) vectors of texts."""
    rows = []
    for first in range(0, len(texts), _BATCH):
        rows.append(embedder.embed(texts[first : first + _BATCH]))
        if progress is not None:
            progress("embed examples", min(first + _BATCH, len(texts)), len(texts))
    return np.concatenate(rows)


def question(prompt: Prompt, values: Mapping[str, Any]) -> str:
    """The text that represents an example or a question in comparisons: its free texts, or all its values."""
    free = [variable.name for variable in prompt.variables if variable.is_free_text]
    return "\n".join(str(values[name]) for name in free or list(values))
