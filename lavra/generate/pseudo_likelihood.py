"""Score a text with an encoder: each token is masked in turn, on any runner; no torch."""

from __future__ import annotations

from dataclasses import replace

from lavra.base.errors import InputError
from lavra.base.types import Score
from lavra.generate.prompt_encoding import PromptEncoding
from lavra.generate.target import GenerationTarget, TokenJudgements, finished
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS, VirtualTokens
from lavra.model.masked_copies import MaskedCopies


def copies_of(
    target: GenerationTarget, encoding: PromptEncoding, window: int, front: VirtualTokens = NO_VIRTUAL_TOKENS
) -> MaskedCopies:
    """The masked copies for the score of a target.

    Args:
        target: the text to score.
        encoding: the model's encoding, in the room that `front` leaves.
        window: most tokens that are read at once.
        front: virtual tokens in front of every text.

    Raises:
        InputError: the tokenizer has no mask token.
    """
    mask_id = encoding.tokenizer.mask_id
    if mask_id is None:
        raise InputError(
            "an encoder scores by masking, and this tokenizer has no mask token; add one to special_tokens_map.json"
        )
    return MaskedCopies(
        mask_id=mask_id,
        before=(*front.prompt, *(target.context or encoding.frame.before)),
        after=encoding.frame.after,
        window=window + len(front.prompt),
    )


def pseudo_likelihood(target: GenerationTarget, found: TokenJudgements, encoding: PromptEncoding, window: int) -> Score:
    """The score of a target, with a warning if it is longer than the window."""
    length = len(target.context or encoding.frame.before) + len(target.tokens) + len(encoding.frame.after)
    long = (f"each token was scored from the {window} tokens around it, out of {length}",) if length > window else ()
    score = finished(target, found, None)
    return replace(score, kind="pseudo_likelihood", warnings=score.warnings + long)
