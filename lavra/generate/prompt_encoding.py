"""Turn prompts of a model into token ids: special tokens, context, ends of text.

Everything is read from the model's configuration and its tokenizer; no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lavra.base.errors import CheckpointError, InputError
from lavra.model.config import Kind, ModelConfig, Positions, Scaling
from lavra.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class PromptFrame:
    """The special tokens a tokenizer puts around a text.

    Attributes:
        before: tokens in front, such as `<s>` or `[CLS]`.
        after: tokens behind, such as `</s>` or `[SEP]`.
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


def special_frame(tokenizer: Tokenizer) -> PromptFrame:
    """Find the frame by comparing one text encoded with and without special tokens."""
    plain, full = tokenizer.encode("a"), tokenizer.encode("a", add_special_tokens=True)
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return PromptFrame(before=tuple(full[:start]), after=tuple(full[start + len(plain) :]))
    raise InputError(
        f"the tokenizer encodes 'a' as {plain}, but as {full} with special tokens; "
        "its post-processor changes the text itself, which no model of ours can be given"
    )


@dataclass(frozen=True, kw_only=True)
class PromptEncoding:
    """The encoding of a model's prompts as token ids, with the limits of their lengths.

    Attributes:
        tokenizer: turns text into ids.
        frame: the special tokens around a text.
        context: most tokens a sequence may have, prompt and completion together; None has no bound.
        source_context: most tokens the encoder may read; None has no bound.
        decoder_start: the id an encoder-decoder starts writing from; None for a decoder.
        vocab_size: ids a prompt may use.
    """

    tokenizer: Tokenizer
    frame: PromptFrame
    context: int | None
    source_context: int | None = None
    decoder_start: int | None = None
    vocab_size: int

    def prompt_ids(self, text: str) -> list[int]:
        """The ids of a text for a decoder: the tokenizer's special tokens in front, no special tokens behind."""
        ids = [*self.frame.before, *self.tokenizer.encode(text)]
        if ids or self.tokenizer.bos_id is None:
            return ids
        return [self.tokenizer.bos_id]

    def check_ids(self, ids: Sequence[int]) -> None:
        """Refuse ids the model has no embedding for.

        Raises:
            InputError: naming the first one.
        """
        outside = next((token for token in ids if not 0 <= token < self.vocab_size), None)
        if outside is not None:
            raise InputError(
                f"token id {outside} is outside the vocabulary 0..{self.vocab_size - 1}; "
                "check that the tokenizer is this model's own"
            )

    def num_pinned(self, prompt: Sequence[int]) -> int:
        """Number of leading tokens that truncation keeps: the first token of every text, which attention relies on."""
        return int(prompt[0] in (self.tokenizer.bos_id, self.decoder_start))

    def source_ids(self, text: str) -> list[int]:
        """A text as an encoder reads it, with all special tokens."""
        return [*self.frame.before, *self.tokenizer.encode(text), *self.frame.after]


def encoding_of(config: ModelConfig, tokenizer: Tokenizer) -> PromptEncoding:
    """The encoding of a model's prompts.

    Raises:
        CheckpointError: the configuration of an encoder-decoder names no token that its decoder starts from.
    """
    context = context_length(config)
    return PromptEncoding(
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

    Rotary models stop at the length they were trained for, stretched where their scaling says so: beyond it the
    arithmetic still works, but the text becomes worse.
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
    """The id that an encoder-decoder starts writing from; T5 has no own start token and uses the padding token."""
    for token in (config.decoder_start_id, config.pad_id):
        if token is not None:
            return token
    raise CheckpointError(
        "config.json has neither decoder_start_token_id nor pad_token_id; add decoder_start_token_id (0 in T5)"
    )
