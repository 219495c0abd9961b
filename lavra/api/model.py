"""The friendly face of a language model: what `lavra.load` returns.

`TextModel` turns plain arguments into the requests of the `LanguageModel` port, so the same object fronts a
model in this process, an engine or a remote server; `embed`, `save`, `fill_mask` and what a task's head says
(`classify`, `tag`, `answer`, `choose`, `rerank`) work where there is something behind them that can, and say so
where there is not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack, overload

import numpy as np
import numpy.typing as npt

from lavra.api.options import Options, PromptText, make_request
from lavra.api.text_embedder import TextEmbedder, embed_as_asked
from lavra.api.usual import Usual, usual_settings, with_usual
from lavra.base.errors import InputError
from lavra.base.lazy import resolve
from lavra.base.ports import Embedder, LanguageModel, Predictor, Stream
from lavra.base.predictions import (
    AnswerRequest,
    ChooseRequest,
    Classification,
    ClassifyRequest,
    Ranked,
    RankRequest,
    SpanAnswer,
    Tagging,
    TagRequest,
    TextOrPair,
)
from lavra.base.types import Completion, Delta, GenerateRequest, Score, ScoreRequest
from lavra.model.config import ModelConfig
from lavra.quantize.held import HeldWeights
from lavra.tokens.conversation import conversation_ids
from lavra.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:  # words for mypy: what they stand for needs torch
    from lavra.api.adapter import AdapterFolder
    from lavra.api.fill import Fill

logger = logging.getLogger(__name__)

_IN_TORCH: Final = "lavra.api.in_torch"
"""What only torch does with a model; imported when it is asked for."""


class TextModel:
    """A language model with plain arguments.

    It is a `LanguageModel`, an `Embedder` and a `Predictor` by what stands behind it: `.port`, `.embedder` and
    `.predictor` are those.

    Args:
        port: what scores and writes; a `NoWriter` where nothing does.
        runner: what computes, as a word (`torch`, `native`).
        tokenizer: for chat templates; None where the port keeps its tokens to itself.
        embedder: what embeds, if anything.
        predictor: what a task's head says, if there is one.
        folder: where it was loaded from.
        adapter: what was put into the model, where that folder is an adapter's.
        held: how its weights are stored and held, where they are in this process.
        in_torch: of a model that torch does not compute, opens the same one with torch, told what needs it.
    """

    def __init__(
        self,
        port: LanguageModel,
        *,
        runner: str,
        tokenizer: Tokenizer | None = None,
        embedder: Embedder | None = None,
        predictor: Predictor | None = None,
        folder: Path | None = None,
        adapter: AdapterFolder | None = None,
        held: HeldWeights | None = None,
        in_torch: Callable[[str], TextModel] | None = None,
    ) -> None:
        self.port = port
        self.runner = runner
        self.tokenizer = tokenizer
        self.embedder = embedder
        self.predictor = predictor
        self.folder = folder
        self.adapter = adapter
        self.held = held
        self._in_torch = in_torch

    def __repr__(self) -> str:
        name = str(self.folder) if self.folder else type(self.port).__name__
        held = "" if self.held is None else f", weights={str(self.held)!r}"
        return f"TextModel({name}, runner={self.runner!r}{held})"

    @overload
    def generate(self, prompt: PromptText, **options: Unpack[Options]) -> Completion: ...

    @overload
    def generate(self, prompt: list[str] | list[tuple[int, ...]], **options: Unpack[Options]) -> list[Completion]: ...

    def generate(
        self, prompt: PromptText | list[str] | list[tuple[int, ...]], **options: Unpack[Options]
    ) -> Completion | list[Completion]:
        """Complete a prompt, or each prompt of a list.

        Args:
            prompt: text, a tuple of token ids used as they are, or a list of either.
            **options: `Options`: max_tokens (128), temperature (0: greedy), top_k, top_p, min_p,
                repetition_penalty, presence_penalty, frequency_penalty, seed, stop, num_beams, length_penalty,
                truncate_prompt, given.  Where the model's `generation_config.json` has others, those are the usual
                ones (`usual`).

        Returns:
            One completion a prompt; a list where a list was given.

        Raises:
            ConfigError: an option is unknown or out of range.
            ContextLengthError: a prompt does not fit, naming both lengths.
        """
        if not isinstance(prompt, list):
            return self.port.generate([self._request(prompt, options)])[0][0]
        return [found[0] for found in self.port.generate([self._request(one, options) for one in prompt])]

    def n_best(self, prompt: PromptText, n: int, **options: Unpack[Options]) -> list[Completion]:
        """The `n` best completions of one prompt, of as many samples or of `num_beams` beams.

        Options as in `generate`.
        """
        return self.port.generate([self._request(prompt, options, n=n)])[0]

    def stream(self, prompt: PromptText, **options: Unpack[Options]) -> Iterator[Delta]:
        """A completion as it is written; the last delta carries the whole.  Options as in `generate`."""
        return iter(self.submit(self._request(prompt, options)))

    def submit(self, request: GenerateRequest) -> Stream:
        """Start a request; the stream can be cancelled."""
        return self.port.submit(request)

    def score(self, text: PromptText, *, given: PromptText | None = None, top_logprobs: int = 0) -> Score:
        """Natural-log probability of each token of a text (pseudo-likelihood for encoders).

        Args:
            text: text, or token ids used as they are.
            given: what comes before it and is not scored, text or ids; the source, for an encoder-decoder.
            top_logprobs: this many of the likeliest tokens are told for each one scored.
        """
        return self.port.score([ScoreRequest(text=text, given=given, top_logprobs=top_logprobs)])[0]

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
        return tuple(conversation_ids(self.tokenizer, messages))

    def embed(
        self,
        texts: Sequence[str],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate: bool = False,
    ) -> npt.NDArray[np.float32]:
        """(N,D) float32, one vector a text.

        Args:
            texts: any number of them.
            pooling: `mean`, `cls` or `last`; what the model's folder says, else `mean`.
            normalize: to length 1; what the model's folder says, else True.
            prompt: put before every text; the default prompt of the model's folder, if it has one, else none.
            prompt_name: of one of the prompts in the model's folder, such as `query`.
            truncate: read only the beginning of texts that are too long, instead of an error.

        Raises:
            ContextLengthError: a text is too long, naming both lengths.
            InputError: nothing behind this model embeds.
        """
        if self.embedder is None:
            raise InputError("nothing behind this model embeds texts; load an embedding model")
        if all(one is None for one in (pooling, normalize, prompt, prompt_name)) and not truncate:
            return self.embedder.embed(texts)
        embedder = self.embedder if isinstance(self.embedder, TextEmbedder) else self.in_torch("embedding").embedder
        return embed_as_asked(
            embedder,
            texts,
            pooling=pooling,
            normalize=normalize,
            prompt=prompt,
            prompt_name=prompt_name,
            truncate=truncate,
        )

    def fill_mask(self, text: str, *, top_k: int = 5, targets: Sequence[str] = ()) -> list[list[Fill]]:
        """The likeliest tokens (or targets) for each gap of a text, for encoders; see `lavra.api.fill`."""
        found: list[list[Fill]] = resolve(f"{_IN_TORCH}:fill_gaps")(
            self.in_torch("fill_mask"), text, top_k=top_k, targets=targets
        )
        return found

    @overload
    def classify(self, text: TextOrPair, *, truncate: bool = False) -> Classification: ...

    @overload
    def classify(self, text: list[TextOrPair] | list[str], *, truncate: bool = False) -> list[Classification]: ...

    def classify(
        self, text: TextOrPair | list[TextOrPair] | list[str], *, truncate: bool = False
    ) -> Classification | list[Classification]:
        """What a text is, or a pair (a tuple of two texts); of a list, each.

        Args:
            text: one, or a list.
            truncate: read only the beginning of what is too long, instead of an error.

        Raises:
            InputError: the model has no head for it.
            ContextLengthError: a text is too long, naming both lengths.
        """
        texts = text if isinstance(text, list) else [text]
        found: list[Classification] = self._predict([ClassifyRequest(text=one, truncate=truncate) for one in texts])
        return found if isinstance(text, list) else found[0]

    @overload
    def tag(self, text: str | tuple[str, ...]) -> Tagging: ...

    @overload
    def tag(self, text: list[str] | list[tuple[str, ...]]) -> list[Tagging]: ...

    def tag(self, text: str | tuple[str, ...] | list[str] | list[tuple[str, ...]]) -> Tagging | list[Tagging]:
        """The words of a text, their tags and the entities those make; of a list, each.

        Args:
            text: a text, or a tuple of its words; or a list.  Long texts are read in windows.
        """
        texts = text if isinstance(text, list) else [text]
        found: list[Tagging] = self._predict([TagRequest(text=one) for one in texts])
        return found if isinstance(text, list) else found[0]

    @overload
    def answer(self, question: str, context: str, *, allow_none: bool = False) -> SpanAnswer: ...

    @overload
    def answer(self, question: list[tuple[str, str]], *, allow_none: bool = False) -> list[SpanAnswer]: ...

    def answer(
        self, question: str | list[tuple[str, str]], context: str | None = None, *, allow_none: bool = False
    ) -> SpanAnswer | list[SpanAnswer]:
        """The span of a passage that answers a question; of a list of (question, passage), each.

        Args:
            question: one, or a list of pairs.
            context: the passage of the one question.  Long passages are read in windows.
            allow_none: whether a passage may have no answer.
        """
        if (context is None) is not isinstance(question, list):
            raise InputError("answer takes a question and its passage, or a list of (question, passage)")
        pairs = question if isinstance(question, list) else [(question, context or "")]
        asked = [AnswerRequest(question=one, context=passage, allow_none=allow_none) for one, passage in pairs]
        found: list[SpanAnswer] = self._predict(asked)
        return found if isinstance(question, list) else found[0]

    def choose(self, text: str, choices: Sequence[str], *, truncate: bool = False) -> Classification:
        """Which of several endings fits a text best; `label` is its number, from 0, as text.

        `truncate` as in `classify`.
        """
        found: list[Classification] = self._predict(
            [ChooseRequest(text=text, choices=tuple(choices), truncate=truncate)]
        )
        return found[0]

    def rerank(self, query: str, texts: Sequence[str], *, truncate: bool = False) -> list[Ranked]:
        """The texts by how well they fit a query, best first.

        `truncate` as in `classify`.
        """
        found: list[tuple[Ranked, ...]] = self._predict(
            [RankRequest(query=query, texts=tuple(texts), truncate=truncate)]
        )
        return list(found[0])

    def _predict(self, requests: Sequence[Any]) -> list[Any]:
        """What the head says; what it was not shown is logged."""
        if self.predictor is None:
            *names, last = [task.name for task in resolve("lavra.tasks.table:headed_tasks")()]
            raise InputError(
                "this model has no head of a task; load one that lavra finetune --task "
                f"{', '.join(names)} or {last} made"
            )
        found = self.predictor.predict(requests)
        for number, one in enumerate(found):
            for warning in one.warnings:
                logger.warning("text %d: %s", number, warning)
        return [one.value for one in found]

    def save(self, folder: str | Path) -> Path:
        """Write a Hugging Face folder and its card `lavra.json`, atomically; an existing folder is replaced.

        A model with an adapter is saved as a folder of the adapter alone, as it was loaded.

        Raises:
            InputError: the model is not in this process, or the folder holds something that is not a model.
        """
        saved: Path = resolve(f"{_IN_TORCH}:save_text_model")(self.in_torch("saving"), Path(folder))
        return saved

    def in_torch(self, what: str) -> TextModel:
        """The model where torch computes: itself, or opened again, once, for what the native runner does not do.

        Args:
            what: needs it, for the log.
        """
        return self if self._in_torch is None else self._in_torch(what)

    @cached_property
    def usual(self) -> Usual:
        """Sampling settings of the model's own, used where `generate`, `stream` and `chat` are given none."""
        where = "generation_config.json" if self.folder is None else str(self.folder / "generation_config.json")
        config = getattr(self.port, "config", None)
        return usual_settings(config.generation, where) if isinstance(config, ModelConfig) else {}

    def _request(self, prompt: PromptText, options: Mapping[str, Any], *, n: int = 1) -> GenerateRequest:
        return with_usual(make_request(prompt, options, n=n), self.usual, options)
