"""The user's object for a language model: `lavra.load` returns it.

`TextModel` turns plain arguments into the requests of the `LanguageModel` port, so the same object serves a
model in this process, an engine or a remote server.  `embed`, `save`, `fill_mask` and the methods of a task's head
(`classify`, `tag`, `answer`, `choose`, `rerank`) work where the model has the needed part, and raise an error
where it has not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Unpack, overload

from lavra.api.adapter_folder import AdapterFolder
from lavra.api.find import find_base
from lavra.api.gap_candidate import Fill
from lavra.api.measures import parameters_of, text_bits, token_perplexity
from lavra.api.options import Options, PromptText, make_request
from lavra.api.task_methods import TaskMethods
from lavra.api.usual import Usual, usual_settings, with_usual
from lavra.api.vector_methods import VectorMethods
from lavra.base.errors import InputError
from lavra.base.lazy import resolve
from lavra.base.ports import Embedder, LanguageModel, Predictor, Stream
from lavra.base.types import Completion, Delta, GenerateRequest, Score, ScoreRequest
from lavra.model.config import ModelConfig
from lavra.quantize.held import HeldWeights
from lavra.tokens.conversation import conversation_ids
from lavra.tokens.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

_IN_TORCH: Final = "lavra.api.in_torch"
"""Functions that only torch has; imported at the first use."""


class TextModel(VectorMethods, TaskMethods):
    """A language model with plain arguments.

    It is a `LanguageModel`, an `Embedder` and a `Predictor` by its parts: `.port`, `.embedder` and
    `.predictor` are these parts.

    Args:
        port: port that scores and writes; a `NoWriter` for a model that cannot
        runner: name of the runner (`torch`, `native`).
        tokenizer: tokenizer, for chat templates; None for a port without access to its tokenizer.
        embedder: the embedder, if any.
        predictor: the predictor of a task's head, if any.
        folder: folder it was loaded from.
        adapter: adapter in the model, where that folder is an adapter's.
        held: stored form and held form of its weights, where they are in this process.
        in_torch: function that opens a natively computed model again with torch; its argument is the reason.
        save: function that saves a model by copying its files; None where torch saves it.

    Example:
        >>> model = lavra.load("tiny")
        >>> model.runner in ("native", "torch")
        True
        >>> model
        TextModel(tiny, runner=...)
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
        save: Callable[[Path], Path] | None = None,
    ) -> None:
        self.port = port
        self.runner = runner
        self.tokenizer = tokenizer
        self.embedder = embedder
        self.predictor = predictor
        self.folder = folder
        self.adapter = adapter
        self.held = held
        self._in_torch, self._save = in_torch, save

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
            **options: fields of `GenerateRequest` and `SamplingConfig`, such as `max_tokens=64, temperature=0.8`.
                Where an option is left out, the model's `generation_config.json` counts (`usual`), else the default.

        Returns:
            One completion a prompt; a list where a list was given.

        Raises:
            ConfigError: an option is unknown or out of range.
            ContextLengthError: a prompt does not fit, naming both lengths.

        Example:
            >>> model = lavra.load("tiny")
            >>> completion = model.generate("Once upon", max_tokens=8)
            >>> completion.usage.completion_tokens
            8
            >>> [len(one.tokens) for one in model.generate(["a", "b"], max_tokens=2)]
            [2, 2]
        """
        if not isinstance(prompt, list):
            return self.port.generate([self._request(prompt, options)])[0][0]
        return [found[0] for found in self.port.generate([self._request(one, options) for one in prompt])]

    def n_best(self, prompt: PromptText, n: int, **options: Unpack[Options]) -> list[Completion]:
        """The `n` best completions of one prompt, of as many samples or of `num_beams` beams.

        Options as in `generate`.

        Example:
            >>> len(lavra.load("tiny").n_best("Once", 3, temperature=0.8, seed=1, max_tokens=4))
            3
        """
        return self.port.generate([self._request(prompt, options, n=n)])[0]

    def stream(self, prompt: PromptText, **options: Unpack[Options]) -> Iterator[Delta]:
        """Stream a completion; the last delta carries the whole completion.  Options as in `generate`.

        Example:
            >>> pieces = list(lavra.load("tiny").stream("Once upon", max_tokens=4))
            >>> "".join(map(str, pieces)) == str(pieces[-1].completion)
            True
        """
        return iter(self.submit(self._request(prompt, options)))

    def submit(self, request: GenerateRequest) -> Stream:
        """Start a request; the stream can be cancelled.

        Example:
            >>> from lavra.base.types import GenerateRequest
            >>> stream = lavra.load("tiny").submit(GenerateRequest(prompt="Once", max_tokens=4))
            >>> len(stream.completion().tokens)
            4
        """
        return self.port.submit(request)

    def score(self, text: PromptText, *, given: PromptText | None = None, top_logprobs: int = 0) -> Score:
        """Natural-log probability of each token of a text (pseudo-likelihood for encoders).

        Args:
            text: text, or token ids used as they are.
            given: text or ids before it that are not scored; the source, for an encoder-decoder.
            top_logprobs: number of likeliest tokens reported for each scored token.

        Example:
            >>> score = lavra.load("tiny").score(" a day", given="the film was")
            >>> len(score.logprobs) == len(score.tokens)
            True
        """
        return self.port.score([ScoreRequest(text=text, given=given, top_logprobs=top_logprobs)])[0]

    @overload
    def perplexity(self, text: str) -> float: ...

    @overload
    def perplexity(self, text: list[str]) -> list[float]: ...

    def perplexity(self, text: str | list[str]) -> float | list[float]:
        """Perplexity of a token of a text, or of each text of a list; less is better.

        It compares texts under one model; across tokenizers use `bits_per_byte`.

        Raises:
            InputError: a text has no token that can be scored.

        Example:
            >>> model = lavra.load("tiny")
            >>> 1 < model.perplexity("a b a b") < 1000
            True
        """
        return token_perplexity(self.score(text)) if isinstance(text, str) else list(map(self.perplexity, text))

    @overload
    def bits_per_byte(self, text: str) -> float: ...

    @overload
    def bits_per_byte(self, text: list[str]) -> list[float]: ...

    def bits_per_byte(self, text: str | list[str]) -> float | list[float]:
        """Bits that the model needs for a byte of a text, or of each text of a list; less is better.

        It compares models whatever their tokenizers, and compressors besides.

        Raises:
            InputError: a text is empty.

        Example:
            >>> 0 < lavra.load("tiny").bits_per_byte("a b a b") < 100
            True
        """
        return text_bits(self.score(text)) if isinstance(text, str) else list(map(self.bits_per_byte, text))

    @overload
    def chat(
        self, messages: str | Sequence[Mapping[str, Any]], *, stream: Literal[False] = False, **options: Unpack[Options]
    ) -> Completion: ...

    @overload
    def chat(
        self, messages: str | Sequence[Mapping[str, Any]], *, stream: Literal[True], **options: Unpack[Options]
    ) -> Iterator[Delta]: ...

    def chat(
        self, messages: str | Sequence[Mapping[str, Any]], *, stream: bool = False, **options: Unpack[Options]
    ) -> Completion | Iterator[Delta]:
        """The assistant's next turn; options as in `generate`.

        Args:
            messages: a user's text, or a conversation: `{"role": "user", "content": "…"}`, the oldest turn first.
            stream: give the turn in pieces, as `stream` does.
            **options: as in `generate`.

        Raises:
            InputError: the model has no chat template.

        Example:
            >>> model = lavra.load("tiny")
            >>> str(model.chat("Hello", max_tokens=4)) == "".join(
            ...     delta.text for delta in model.chat("Hello", max_tokens=4, stream=True)
            ... )
            True
        """
        prompt = self.chat_prompt(messages)
        return self.stream(prompt, **options) if stream else self.generate(prompt, **options)

    def chat_prompt(self, messages: str | Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
        """Turn a conversation into token ids, up to the assistant's turn; for `generate` and `stream`.

        Args:
            messages: as in `chat`.

        Raises:
            InputError: the model has no chat template.

        Example:
            >>> model = lavra.load("tiny")
            >>> model.generate(model.chat_prompt("Hello"), max_tokens=2).usage.completion_tokens
            2
        """
        if self.tokenizer is None:
            raise InputError(
                "this model's tokenizer is elsewhere, so a conversation cannot be laid out here; use generate"
            )
        turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        return tuple(conversation_ids(self.tokenizer, turns))

    def fill_mask(self, text: str, *, top_k: int = 5, targets: Sequence[str] = ()) -> list[list[Fill]]:
        """The likeliest tokens (or targets) for each gap of a text, for encoders; see `lavra.api.fill`.

        Example:
            >>> (gap,) = lavra.load("tiny-bert").fill_mask("the film was a [MASK] day", top_k=3)
            >>> len(gap)
            3
        """
        found: list[list[Fill]] = resolve("lavra.api.fill:fill_mask")(self.port, text, top_k=top_k, targets=targets)
        return found

    def save(self, folder: str | Path) -> Path:
        """Write a Hugging Face folder and its card `lavra.json`, atomically; an existing folder is replaced.

        A model with an adapter is saved as a folder of the adapter alone, as it was loaded.

        Raises:
            InputError: the model is not in this process, or the folder holds something that is not a model.

        Example:
            >>> lavra.load("tiny").save("copy").name
            'copy'
        """
        if self._save is not None:
            return self._save(Path(folder))
        saved: Path = resolve(f"{_IN_TORCH}:save_text_model")(self.in_torch("saving"), Path(folder))
        return saved

    def _torch_embedder(self) -> Embedder | None:
        return self.in_torch("embedding").embedder

    def in_torch(self, what: str) -> TextModel:
        """The model computed by torch: itself, or opened again, once, for work that the native runner does not do.

        Args:
            what: the work that needs torch, for the log.

        Example:
            >>> lavra.load("tiny").in_torch("an experiment").runner
            'torch'
        """
        return self if self._in_torch is None else self._in_torch(what)

    @cached_property
    def num_parameters(self) -> int:
        """Number of weights in the model's files; an adapter's are added to those of its base.

        Raises:
            InputError: the model was not opened from files.

        Example:
            >>> lavra.load("tiny").num_parameters > 1000
            True
        """
        return parameters_of(self.folder, None if self.adapter is None else find_base(self.adapter))

    @cached_property
    def usual(self) -> Usual:
        """The model's own sampling settings; `generate`, `stream` and `chat` use them for options that are not given.

        Example:
            >>> lavra.load("tiny").usual
            {}
        """
        where = "generation_config.json" if self.folder is None else str(self.folder / "generation_config.json")
        config = getattr(self.port, "config", None)
        return usual_settings(config.generation, where) if isinstance(config, ModelConfig) else {}

    def _request(self, prompt: PromptText, options: Mapping[str, Any], *, n: int = 1) -> GenerateRequest:
        return with_usual(make_request(prompt, options, n=n), self.usual, options)
