"""What belongs in the gap: the likeliest tokens where a text has a mask (Devlin et al. 2019, §3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lavra.base.errors import ConfigError, ContextLengthError, InputError
from lavra.generate.in_process import InProcessModel
from lavra.model.transformer import Encoder


@dataclass(frozen=True, kw_only=True)
class Fill:
    """One candidate for a gap.

    Attributes:
        token: its id.
        text: the token as text.
        logprob: natural-log probability.
    """

    token: int
    text: str
    logprob: float


def fill_mask(model: InProcessModel, text: str, *, top_k: int = 5) -> list[list[Fill]]:
    """The `top_k` likeliest tokens of each gap of a text, gaps in order, likeliest first.

    Args:
        model: an encoder with a masked-token head.
        text: with the tokenizer's mask token (`[MASK]`, `<mask>`) once or more.
        top_k: candidates a gap.

    Raises:
        InputError: the model is no encoder, or the text has no gap.
        ContextLengthError: the text is too long.
    """
    if not isinstance(model.model, Encoder):
        raise InputError("fill_mask is for encoders such as BERT; this model writes from left to right, use generate")
    mask_id = model.tokenizer.mask_id
    ids = model.reading.source_ids(text)
    gaps = [place for place, token in enumerate(ids) if token == mask_id]
    if mask_id is None or not gaps:
        name = "a mask token, which this tokenizer lacks" if mask_id is None else model.tokenizer.token(mask_id)
        raise InputError(f"the text has no gap to fill; write {name} where a word is missing")
    if not 1 <= top_k <= model.config.vocab_size:
        raise ConfigError(f"top_k={top_k} is outside 1..{model.config.vocab_size}, the size of the vocabulary")
    context = model.reading.context
    if context is not None and len(ids) > context:
        raise ContextLengthError(f"the text has {len(ids)} tokens and the model's context {context}; shorten it")
    device = next(model.model.parameters()).device
    with torch.inference_mode():
        hidden = model.model.hidden(torch.tensor([ids], device=device))[0, gaps]  # (G,D)
        best = model.model.logits(hidden[None])[0].float().log_softmax(dim=-1).topk(top_k)  # (G,k)
    return [
        [
            Fill(token=token, text=model.tokenizer.decode([token]).strip(), logprob=value)
            for token, value in zip(tokens, values, strict=True)
        ]
        for tokens, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
