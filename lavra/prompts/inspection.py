"""Count a prompt's tokens by part, the tokens left of the context, and the highest cost of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lavra.prompts.answer import PromptAnswerer
from lavra.prompts.budget import Fitted
from lavra.prompts.cost import Price
from lavra.prompts.layout import PromptLayout
from lavra.prompts.render import render


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The token counts of a prompt.

    Attributes:
        fitted: the prompt as the model would read it, its total, and the shots that did not fit.
        num_plain: tokens of the prompt without any shots.
        variables: tokens of each variable's value by itself; they are part of `num_plain`.
        shots: tokens that each shot adds, as they stand; with `num_plain` they make the total.
        num_answer: most tokens of an answer.
        num_left: tokens left in the context; None where it has no limit.
        cost: price of this prompt and the longest answer.
    """

    fitted: Fitted
    num_plain: int
    variables: Mapping[str, int]
    shots: tuple[int, ...]
    num_answer: int
    num_left: int | None
    cost: float


def inspect_prompt(
    answerer: PromptAnswerer, layout: PromptLayout, given: Mapping[str, Any], price: Price
) -> Inspection:
    """Count the tokens of a prompt for one input.

    Raises:
        InputError: the input does not fit the prompt.
        ContextLengthError: the prompt does not fit the context.
    """
    prompt, fitted = answerer.prompt, answerer.fit(given)
    counts = [
        layout.num_tokens(render(prompt, given, fitted.shots[:number])) for number in range(len(fitted.shots) + 1)
    ]
    values = prompt.values(given)
    max_prompt_tokens = answerer.budget.max_prompt_tokens
    return Inspection(
        fitted=fitted,
        num_plain=counts[0],
        variables={name: len(layout.tokenizer.encode(str(value))) for name, value in values.items()},
        shots=tuple(after - before for before, after in pairwise(counts)),
        num_answer=answerer.num_answer,
        num_left=None if max_prompt_tokens is None else max_prompt_tokens - fitted.num_tokens,
        cost=price.cost(fitted.num_tokens, answerer.num_answer),
    )
