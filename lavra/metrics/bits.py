"""Scores of a model's prediction of text: bits per byte, and perplexity of a token, word or byte.

Bits per byte and the perplexities of words and bytes compare models across tokenizers; that of tokens does not.  Bits
per byte compare with compressors besides.
"""

from __future__ import annotations

import math

from lavra.base.errors import InputError


def bits_per_byte(nll: float, num_bytes: int) -> float:
    """Nats / ln 2 / bytes.

    Args:
        nll: negative log-likelihood of the whole text in nats, ends of documents included.
        num_bytes: UTF-8 bytes of the text.

    Raises:
        InputError: there are no bytes, or the likelihood is not a number.
    """
    if num_bytes < 1:
        raise InputError(f"the text has {num_bytes} bytes; bits per byte need at least 1")
    if not math.isfinite(nll):
        raise InputError(f"the negative log-likelihood is {nll}; score the text again with a model that is sound")
    return nll / math.log(2.0) / num_bytes


def perplexity(nll: float, num_units: int) -> float:
    """exp(nats / units): the number of equally likely units that would leave a model as unsure as it is of the text.

    Args:
        nll: negative log-likelihood of the whole text in nats.
        num_units: tokens, words or bytes that the text has; the value is the perplexity of such a unit.

    Raises:
        InputError: there are no units, the likelihood is not a number, or the perplexity is past float64.
    """
    if num_units < 1:
        raise InputError(f"the text has {num_units} units; a perplexity needs at least 1")
    if not math.isfinite(nll):
        raise InputError(f"the negative log-likelihood is {nll}; score the text again with a model that is sound")
    try:
        return math.exp(nll / num_units)
    except OverflowError as error:
        raise InputError(
            f"{nll / num_units:.0f} nats a unit are past float64's exponential; take smaller units, or bits per byte"
        ) from error
