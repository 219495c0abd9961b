"""How a model reads and where its texts end, from its configuration and its tokenizer."""

from __future__ import annotations

from lavra.base.errors import CheckpointError
from lavra.generate.plan import PromptReading, special_frame
from lavra.model.config import Kind, ModelConfig, Positions, Scaling
from lavra.tokens.tokenizer import Tokenizer


def reading_of(config: ModelConfig, tokenizer: Tokenizer) -> PromptReading:
    """How a model reads.

    Raises:
        CheckpointError: an encoder-decoder says of no token that its decoder starts from it.
    """
    context = context_length(config)
    return PromptReading(
        tokenizer=tokenizer,
        frame=special_frame(tokenizer),
        context=context,
        source_context=context,
        decoder_start=_decoder_start(config) if config.kind is Kind.ENCODER_DECODER else None,
        vocab_size=config.vocab_size,
    )


def ends_of_text(config: ModelConfig, tokenizer: Tokenizer) -> frozenset[int]:
    """Ids that end a text: the configuration's and the tokenizer's."""
    own = () if tokenizer.eos_id is None else (tokenizer.eos_id,)
    return frozenset((*config.eos_ids, *own))


def context_length(config: ModelConfig) -> int | None:
    """Most tokens a model may read; None where its positions have no end (relative bias, ALiBi).

    Rotary models stop at the length they were made for, stretched where their scaling says so: beyond it the
    arithmetic goes on, but the text does not.
    """
    if config.positions in (Positions.RELATIVE_BIAS, Positions.ALIBI):
        return None
    scaling = config.rope.scaling if config.rope else None
    if scaling is not None and scaling.kind in (Scaling.LINEAR, Scaling.DYNAMIC):
        return int(config.max_positions * scaling.factor)  # the other kinds already count the stretch
    if config.positions is Positions.LEARNED:
        return config.max_positions - config.position_offset
    return config.max_positions


def _decoder_start(config: ModelConfig) -> int:
    """The id an encoder-decoder starts writing from; T5 has none of its own and uses padding's."""
    for token in (config.decoder_start_id, config.pad_id):
        if token is not None:
            return token
    raise CheckpointError(
        "config.json has neither decoder_start_token_id nor pad_token_id; add decoder_start_token_id (0 in T5)"
    )
