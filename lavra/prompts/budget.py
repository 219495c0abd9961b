"""A prompt within a context: shots are left out whole and named, nothing is ever cut.

Each time a shot is tried, tokens are counted on the whole prompt as the model reads it: those of a whole are not
the sum of those of its parts.
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
    """Room for a prompt.

    Attributes:
        context: most tokens the model reads and writes; None has no bound.
        reserved: tokens of it that are kept for the answer.
        strict: a shot that does not fit is an error.
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
    def room(self) -> int | None:
        """Tokens the prompt may have."""
        return None if self.context is None else self.context - self.reserved


@dataclass(frozen=True, kw_only=True)
class LeftOutShot:
    """A shot that did not fit.

    Attributes:
        index: its place among the shots offered, from 0.
        example: the shot.
        why: what it would have taken.
    """

    index: int
    example: Example
    why: str


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A prompt that fits.

    Attributes:
        rendered: with the shots that fit.
        shots: those that fit, as they stand.
        kept: places of those among the shots offered, in the order offered.
        left_out: the others.
        num_tokens: tokens the model reads, at most the budget's room.
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
    """Render a prompt with as many shots as fit, the best first served; one too long leaves room for a shorter one.

    Args:
        prompt: what is rendered.
        given: values of its variables.
        shots: best first.
        count: tokens the model reads for a rendered prompt.
        budget: the room there is.
        order: how the shots stand.

    Raises:
        ContextLengthError: the prompt does not fit even without shots; or, if strict, with all of them.
    """

    def attempt(kept: Sequence[int]) -> Fitted:
        standing = tuple(shots[index] for index in arranged(kept, order))
        rendered = render(prompt, given, standing)
        return Fitted(rendered=rendered, shots=standing, kept=tuple(kept), left_out=(), num_tokens=count(rendered))

    room = budget.room
    fitted = attempt(range(len(shots)))
    if room is None or fitted.num_tokens <= room:
        return fitted
    fitted = attempt(())
    if fitted.num_tokens > room:
        raise ContextLengthError(
            f"{prompt} has {fitted.num_tokens} tokens without any shots, over {_bound(budget)}; shorten it"
        )
    left_out: list[LeftOutShot] = []
    for index, shot in enumerate(shots):
        tried = attempt((*fitted.kept, index))
        if tried.num_tokens <= room:
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
    return f"the {budget.room} that a context of {budget.context} leaves beside {budget.reserved} of the answer"
