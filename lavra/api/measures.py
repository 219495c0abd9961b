"""Numbers of scored texts and of models: perplexity, bits per byte, counts of weights."""

from __future__ import annotations

from pathlib import Path

from lavra.api.inventory import parameters_in
from lavra.base.errors import InputError
from lavra.base.types import Score
from lavra.metrics.bits import bits_per_byte, perplexity


def token_perplexity(score: Score) -> float:
    """Perplexity of a token.

    Args:
        score: score of a text; tokens without a log-probability (the first, if no token stands before it) do not
            count.

    Raises:
        InputError: no token has a log-probability.
    """
    known = [one for one in score.logprobs if one is not None]
    if not known:
        raise InputError(f"the text has {len(score.tokens)} tokens, none of which can be scored; give a longer one")
    return perplexity(-sum(known), len(known))


def text_bits(score: Score) -> float:
    """Bits per byte of a text.

    Args:
        score: score of the text.

    Raises:
        InputError: the text has no bytes.
    """
    return bits_per_byte(-sum(one for one in score.logprobs if one is not None), score.num_bytes)


def parameters_of(folder: Path | None, base: Path | None) -> int:
    """Weights in the files of a model.

    Args:
        folder: folder of the model, or its GGUF file; None for a model without files.
        base: model of an adapter.

    Raises:
        InputError: no file has the number.
    """
    counts = [parameters_in(one) for one in (folder, base) if one is not None]
    if not counts or None in counts:
        raise InputError(f"no file of {folder or 'this model'} says its parameters; load a folder or a GGUF file")
    return sum(one for one in counts if one is not None)
