"""A model with a task's head on the native runner: hidden states by its encoder or decoder, the head over them.

    ids of a text ─▶ NativeEncoder ─▶ hidden (T, D) ─▶ the states the head reads ─▶ logits (N,) or (T, N)

The arithmetic is that of `lavra.model.heads`.  A text's bits depend only on the text: texts are read alone,
without padding, and the head's products are the library's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lavra.base.arrays import Float32s, Int32s
from lavra.base.errors import InputError
from lavra.base.native_library import NativeLibrary
from lavra.engine.runners.native_encoder import NativeEncoder, stretches
from lavra.engine.runners.native_model import NativeModel
from lavra.engine.runners.native_task import DENSE, OUTPUT, POOLER, NativeTask
from lavra.model.config import Kind
from lavra.model.families.head_forms import HeadInput
from lavra.model.task_config import NO_DECODER_START


class NativeTaskModel:
    """A backbone and a task's head.

    Args:
        library: the native library.
        opened: the opened weights.
        half: whether the backbone's float matrices are computed in bfloat16; the head's always in float32.

    Attributes:
        adapter: name of the adapter that acts on every text; None unless set here.

    Raises:
        NativeError: the native runner cannot compute the backbone.
    """

    def __init__(self, library: NativeLibrary, opened: NativeTask, *, half: bool = False) -> None:
        self.task, self.config, self.form, self._tensors = opened.task, opened.config, opened.form, opened.head
        self.weights = NativeModel(library, opened.weights.config, opened.weights.read(), half=half)
        self.adapter: str | None = None
        self._encoder = NativeEncoder(self.weights)

    @property
    def num_bytes(self) -> int:
        """Bytes of the weights."""
        return self.weights.num_bytes + sum(one.data.nbytes for one in self._tensors.values())

    def logits(self, texts: Sequence[Int32s], token_types: Sequence[Int32s] | None = None) -> list[Float32s]:
        """The logits of each text's ids: (N,), or (T, N) if the head reads every token.

        Args:
            texts: ids of each text, any number of texts.
            token_types: token type of each id; 0 everywhere unless given.

        Raises:
            NativeError: an id or a type is unknown, or a text is longer than the learned positions.
        """
        found: list[Float32s] = []
        for states in self._states(texts, token_types):
            found += self._every(states) if self.form.reads is HeadInput.EVERY else self._one_each(states)
        return found

    def _states(self, texts: Sequence[Int32s], token_types: Sequence[Int32s] | None) -> Iterator[list[Float32s]]:
        if self.weights.config.kind is Kind.ENCODER_DECODER:
            return self._decoded(texts)
        return self._encoder.batches(texts, token_types, adapter=self.adapter)

    def _decoded(self, texts: Sequence[Int32s]) -> Iterator[list[Float32s]]:
        """States of the decoder: each text, behind the token that a decoder starts with, given itself as the source."""
        start = self.config.decoder_start_id
        if start is None:
            raise InputError(NO_DECODER_START)
        for first, last in stretches([len(text) for text in texts]):
            part = texts[first:last]
            shifted = [np.concatenate([np.array([start], dtype=np.int32), text[:-1]]) for text in part]
            yield self._encoder.decoded(part, shifted, adapter=self.adapter)

    def _every(self, states: Sequence[Float32s]) -> list[Float32s]:
        logits = self._head(np.concatenate(states))
        return np.split(logits, np.cumsum([len(one) for one in states])[:-1])

    def _one_each(self, states: Sequence[Float32s]) -> list[Float32s]:
        place = -1 if self.form.reads is HeadInput.LAST else 0
        read = np.stack([one[place] for one in states])  # (B, D)
        if self.form.reads is HeadInput.POOLED:
            read = np.tanh(self._linear(POOLER, read))
        return list(self._head(read))

    def _head(self, states: Float32s) -> Float32s:
        """(M, D) -> (M, N)."""
        if self.form.dense:
            states = np.tanh(self._linear(DENSE, states))
        return self._linear(OUTPUT, states)

    def _linear(self, name: str, inputs: Float32s) -> Float32s:
        """(M, K) -> (M, N), in float32."""
        out = self.weights.product(self._tensors[f"{name}.weight"], inputs)
        bias = self._tensors.get(f"{name}.bias")
        return out if bias is None else out + bias.data[0]
