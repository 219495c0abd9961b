"""The friendly face of a language model: what `lavra.load` returns.

`TextModel` turns plain arguments into the requests of the `LanguageModel` port, so the same object fronts a
model in this process, an engine or a remote server; `embed`, `save` and `fill_mask` work where there is
something behind them that can, and say so where there is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack, overload

import numpy as np
import numpy.typing as npt

from lavra.api.embed import TorchEmbedder
from lavra.api.embedding_config import parse_pooling
from lavra.api.fill import Fill, fill_mask
from lavra.api.options import Options, Prompt, make_request
from lavra.base.card import CARD_FILE, read_card, write_card
from lavra.base.errors import InputError
from lavra.base.files import atomic_folder
from lavra.base.ports import Embedder, LanguageModel, Stream
from lavra.base.types import Completion, Delta, GenerateRequest, Score, ScoreRequest
from lavra.generate.in_process import InProcessModel
from lavra.model.sidecars import copy_sidecars
from lavra.quantize import save_model
from lavra.tokens.tokenizer import Tokenizer


class TextModel:
    """A language model with plain arguments.

    It is a `LanguageModel` and an `Embedder` by what stands behind it: `.port` and `.embedder` are those.

    Args:
        port: what scores and writes.
        runner: what computes, as a word (`torch`).
        tokenizer: for chat templates; None where the port keeps its tokens to itself.
        embedder: what embeds, if anything.
        folder: where it was loaded from.
    """

    def __init__(
        self,
        port: LanguageModel,
        *,
        runner: str,
        tokenizer: Tokenizer | None = None,
        embedder: Embedder | None = None,
        folder: Path | None = None,
    ) -> None:
        self.port = port
        self.runner = runner
        self.tokenizer = tokenizer
        self.embedder = embedder
        self.folder = folder

    def __repr__(self) -> str:
        return f"TextModel({str(self.folder) if self.folder else type(self.port).__name__}, runner={self.runner!r})"

    @overload
    def generate(self, prompt: Prompt, **options: Unpack[Options]) -> Completion: ...

    @overload
    def generate(self, prompt: list[str] | list[tuple[int, ...]], **options: Unpack[Options]) -> list[Completion]: ...

    def generate(
        self, prompt: Prompt | list[str] | list[tuple[int, ...]], **options: Unpack[Options]
    ) -> Completion | list[Completion]:
        """Complete a prompt, or each prompt of a list.

        Args:
            prompt: text, a tuple of token ids used as they are, or a list of either.
            **options: `Options`: max_tokens (128), temperature (0: greedy), top_k, top_p, min_p,
                repetition_penalty, presence_penalty, frequency_penalty, seed, stop, num_beams, length_penalty,
                truncate_prompt, given.

        Returns:
            One completion a prompt; a list where a list was given.

        Raises:
            ConfigError: an option is unknown or out of range.
            ContextLengthError: a prompt does not fit, naming both lengths.
        """
        if not isinstance(prompt, list):
            return self.port.generate([make_request(prompt, options)])[0][0]
        return [found[0] for found in self.port.generate([make_request(one, options) for one in prompt])]

    def n_best(self, prompt: Prompt, n: int, **options: Unpack[Options]) -> list[Completion]:
        """The `n` best completions of one prompt, of as many samples or of `num_beams` beams.

        Options as in `generate`.
        """
        return self.port.generate([make_request(prompt, options, n=n)])[0]

    def stream(self, prompt: Prompt, **options: Unpack[Options]) -> Iterator[Delta]:
        """A completion as it is written; the last delta carries the whole.  Options as in `generate`."""
        return iter(self.submit(make_request(prompt, options)))

    def submit(self, request: GenerateRequest) -> Stream:
        """Start a request; the stream can be cancelled."""
        return self.port.submit(request)

    def score(self, text: Prompt, *, given: str | None = None) -> Score:
        """Natural-log probability of each token of a text (pseudo-likelihood for encoders).

        Args:
            text: text, or token ids used as they are.
            given: what comes before it and is not scored; the source, for an encoder-decoder.
        """
        return self.port.score([ScoreRequest(text=text, given=given)])[0]

    def chat(self, messages: Sequence[Mapping[str, Any]], **options: Unpack[Options]) -> Completion:
        """The assistant's next turn; options as in `generate`.

        Args:
            messages: `{"role": "user", "content": "…"}`, oldest first.

        Raises:
            InputError: the model has no chat template.
        """
        return self.generate(self.chat_prompt(messages), **options)

    def chat_prompt(self, messages: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
        """A conversation as token ids, ending where the assistant is to speak; for `generate` and `stream`."""
        if self.tokenizer is None:
            raise InputError(
                "this model's tokenizer is elsewhere, so a conversation cannot be laid out here; use generate"
            )
        return tuple(self.tokenizer.encode(self.tokenizer.apply_chat_template(messages)))

    def embed(
        self, texts: Sequence[str], *, pooling: str | None = None, normalize: bool | None = None, truncate: bool = False
    ) -> npt.NDArray[np.float32]:
        """(N,D) float32, one vector a text.

        Args:
            texts: any number of them.
            pooling: `mean`, `cls` or `last`; what the model's folder says, else `mean`.
            normalize: to length 1; what the model's folder says, else True.
            truncate: read only the beginning of texts that are too long, instead of an error.

        Raises:
            ContextLengthError: a text is too long, naming both lengths.
            InputError: nothing behind this model embeds.
        """
        if isinstance(self.embedder, TorchEmbedder):
            chosen = None if pooling is None else parse_pooling(pooling)
            return self.embedder.embed(texts, pooling=chosen, normalize=normalize, truncate=truncate)
        if self.embedder is None:
            raise InputError("nothing behind this model embeds texts; load an embedding model")
        if pooling is not None or normalize is not None or truncate:
            raise InputError(
                f"{type(self.embedder).__name__} has its own pooling; leave pooling, normalize and truncate out"
            )
        return self.embedder.embed(texts)

    def fill_mask(self, text: str, *, top_k: int = 5, targets: Sequence[str] = ()) -> list[list[Fill]]:
        """The likeliest tokens (or targets) for each gap of a text, for encoders; see `lavra.api.fill`."""
        return fill_mask(self._in_process("fill_mask"), text, top_k=top_k, targets=targets)

    def save(self, folder: str | Path) -> Path:
        """Write a Hugging Face folder and its card `lavra.json`, atomically; an existing folder is replaced.

        Raises:
            InputError: the model is not in this process, or the folder holds something that is not a model.
        """
        model, target = self._in_process("save"), Path(folder)
        _refuse_foreign(target)
        parents = {}
        if self.folder is not None and (self.folder / CARD_FILE).exists():
            parents["model"] = read_card(self.folder).id
        with atomic_folder(target) as work:
            save_model(model.model, work)
            model.tokenizer.save(work)
            if self.folder is not None:
                copy_sidecars(self.folder, work)
            write_card(work, kind="model", parents=parents, config={"family": model.config.family})
        return target

    def _in_process(self, method: str) -> InProcessModel:
        if not isinstance(self.port, InProcessModel):
            raise InputError(
                f"{method} needs the weights in this process, and {type(self.port).__name__} has them elsewhere"
            )
        return self.port


def _refuse_foreign(target: Path) -> None:
    """Saving replaces a folder whole: never one that is not a model."""
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / "config.json").exists())):
        raise InputError(f"{target} exists and is not a model folder, and saving would replace it; name another folder")
