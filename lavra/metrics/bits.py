"""Bits per byte of text: how well a model foretells it, comparable across tokenizers and with compressors."""

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
