"""Fit a prompt into a context: shots are left out whole and reported, nothing is ever cut.

Each time a shot is tried, tokens are counted on the whole prompt as the model reads it: the count of a whole is not
the sum of the counts of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lavra.base.errors import ConfigError, ContextLengthError
from lavra.prompts.example import Example
from lavra.prompts.prompt import Prompt
from lavra.prompts.render import Rendered, render
from lavra.prompts.select import ShotOrder, arranged


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The tokens that a prompt may have.

    Attributes:
        context: most tokens that the model reads and writes; None for no limit.
        reserved: tokens of the context that are kept for the answer.
        strict: whether a shot that does not fit is an error.
    """

    context: int | None
    reserved: int = 0
    strict: bool = False

    def __post_init__(self) -> None:
        if self.reserved < 0:
            raise ConfigError(f"reserved={self.reserved} is under 0; it is the answer's part of the context")
        if self.context is not None and self.context <= self.reserved:
            raise ConfigError(
                f"reserved={self.reserved} leaves nothing of a context of {self.context} tokens; lower max_tokens"
            )

    @property
    def max_prompt_tokens(self) -> int | None:
        """The most tokens that the prompt may have."""
        return None if self.context is None else self.context - self.reserved


@dataclass(frozen=True, kw_only=True)
class LeftOutShot:
    """A shot that did not fit.

    Attributes:
        index: its place among the shots offered, from 0.
        example: the shot.
        why: the tokens that it would have taken.
    """

    index: int
    example: Example
    why: str


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A prompt that fits.

    Attributes:
        rendered: the prompt, rendered with the shots that fit.
        shots: examples that fit, in the order of the prompt.
        kept: places of the fitting shots among the shots offered, in the order offered.
        left_out: the other shots.
        num_tokens: tokens that the model reads, at most as many as the budget allows.
    """

    rendered: Rendered
    shots: tuple[Example, ...]
    kept: tuple[int, ...]
    left_out: tuple[LeftOutShot, ...]
    num_tokens: int


def fit_shots(
    prompt: Prompt,
    given: Mapping[str, Any],
    shots: Sequence[Example],
    *,
    count: Callable[[Rendered], int],
    budget: Budget,
    order: ShotOrder = ShotOrder.BEST_LAST,
) -> Fitted:
    """Render a prompt with as many shots as fit, the best first; a shot too long is skipped for a shorter one.

    Args:
        prompt: template to render.
        given: values of its variables.
        shots: examples to show, the best first.
        count: function that counts the tokens the model reads for a rendered prompt.
        budget: the tokens that the prompt may have.
        order: arrangement of the shots in the prompt.

    Raises:
        ContextLengthError: the prompt does not fit even without shots; or, if strict, with all of them.
    """

    def attempt(kept: Sequence[int]) -> Fitted:
        standing = tuple(shots[index] for index in arranged(kept, order))
        rendered = render(prompt, given, standing)
        return Fitted(rendered=rendered, shots=standing, kept=tuple(kept), left_out=(), num_tokens=count(rendered))

    max_prompt_tokens = budget.max_prompt_tokens
    fitted = attempt(range(len(shots)))
    if max_prompt_tokens is None or fitted.num_tokens <= max_prompt_tokens:
        return fitted
    fitted = attempt(())
    if fitted.num_tokens > max_prompt_tokens:
        raise ContextLengthError(
            f"{prompt} has {fitted.num_tokens} tokens without any shots, over {_bound(budget)}; shorten it"
        )
    left_out: list[LeftOutShot] = []
    for index, shot in enumerate(shots):
        tried = attempt((*fitted.kept, index))
        if tried.num_tokens <= max_prompt_tokens:
            fitted = tried
        else:
            why = f"with it the prompt has {tried.num_tokens} tokens, over {_bound(budget)}"
            left_out.append(LeftOutShot(index=index, example=shot, why=why))
    _refuse_strictly(left_out, len(shots), budget)
    return replace(fitted, left_out=tuple(left_out))


def _refuse_strictly(left_out: Sequence[LeftOutShot], offered: int, budget: Budget) -> None:
    if budget.strict and left_out:
        numbers = ", ".join(str(one.index + 1) for one in left_out)
        raise ContextLengthError(
            f"of {offered} shots, best first, number {numbers} does not fit: {left_out[0].why}; ask for fewer shots"
        )


def _bound(budget: Budget) -> str:
    if not budget.reserved:
        return f"the context of {budget.context}"
    left = budget.max_prompt_tokens
    return f"the {left} that a context of {budget.context} leaves beside {budget.reserved} of the answer"
