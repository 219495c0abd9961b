"""The friendly face of a language model: what `lavra.load` returns.

`TextModel` turns plain arguments into the requests of the `LanguageModel` port, so the same object fronts a
model in this process, an engine or a remote server; `embed`, `save`, `fill_mask` and what a task's head says
(`classify`, `tag`, `answer`, `choose`, `rerank`) work where there is something behind them that can, and say so
where there is not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack, overload

import numpy as np
import numpy.typing as npt

from lavra.adapt.embedding_folder import keep_embedding_config, parse_pooling
from lavra.adapt.peft_write import CONFIG_FILE
from lavra.api.adapter import AdapterFolder, write_adapter
from lavra.api.embed import TorchEmbedder
from lavra.api.fill import Fill, fill_mask
from lavra.api.options import Options, PromptText, make_request
from lavra.api.usual import Usual, usual_settings, with_usual
from lavra.base.card import write_card
from lavra.base.errors import InputError
from lavra.base.files import atomic_folder
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
from lavra.engine.runners.fused import is_fused
from lavra.generate.in_process import InProcessModel
from lavra.model.build import Model
from lavra.model.lineage import model_parents, source_facts
from lavra.model.task_folder import save_task_model
from lavra.quantize import HeldWeights, save_model
from lavra.quantize.expand import as_stored
from lavra.tasks.predicting.predictor import HeadedPredictor
from lavra.tasks.table import headed_tasks
from lavra.tokens.conversation import conversation_ids
from lavra.tokens.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


class TextModel:
    """A language model with plain arguments.

    It is a `LanguageModel`, an `Embedder` and a `Predictor` by what stands behind it: `.port`, `.embedder` and
    `.predictor` are those.

    Args:
        port: what scores and writes; a `NoWriter` where nothing does.
        runner: what computes, as a word (`torch`).
        tokenizer: for chat templates; None where the port keeps its tokens to itself.
        embedder: what embeds, if anything.
        predictor: what a task's head says, if there is one.
        folder: where it was loaded from.
        adapter: what was put into the model, where that folder is an adapter's.
        held: how its weights are stored and held, where they are in this process.
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
    ) -> None:
        self.port = port
        self.runner = runner
        self.tokenizer = tokenizer
        self.embedder = embedder
        self.predictor = predictor
        self.folder = folder
        self.adapter = adapter
        self.held = held

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
        if isinstance(self.embedder, TorchEmbedder):
            chosen = None if pooling is None else parse_pooling(pooling)
            if prompt_name is not None:
                if prompt is not None:
                    raise InputError("prompt and prompt_name both say what stands before a text; give one of them")
                prompt = self.embedder.config.prompt(prompt_name)
            return self.embedder.embed(texts, pooling=chosen, normalize=normalize, prompt=prompt, truncate=truncate)
        if self.embedder is None:
            raise InputError("nothing behind this model embeds texts; load an embedding model")
        if any(one is not None for one in (pooling, normalize, prompt, prompt_name)) or truncate:
            raise InputError(
                f"{type(self.embedder).__name__} has its own pooling and prompts; "
                "leave pooling, normalize, prompt, prompt_name and truncate out"
            )
        return self.embedder.embed(texts)

    def fill_mask(self, text: str, *, top_k: int = 5, targets: Sequence[str] = ()) -> list[list[Fill]]:
        """The likeliest tokens (or targets) for each gap of a text, for encoders; see `lavra.api.fill`."""
        return fill_mask(self._in_process("fill_mask"), text, top_k=top_k, targets=targets)

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
            *names, last = [task.name for task in headed_tasks()]
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
        target = Path(folder)
        predictor = self.predictor if isinstance(self.predictor, HeadedPredictor) else None
        held = self._in_process("save") if predictor is None else predictor.headed
        _refuse_foreign(target)
        parents = model_parents(self.folder)
        with atomic_folder(target) as work:
            held.tokenizer.save(work)
            if self.adapter is not None:
                write_adapter(held.model, self.adapter, work, parents)
                return target
            if predictor is None:
                save_model(self._savable(self._in_process("save").model), work)
            else:
                save_task_model(predictor.headed.model, work)
            if self.folder is not None:
                keep_embedding_config(self.folder, work)
            facts = {} if self.folder is None else source_facts(self.folder)
            write_card(work, kind="model", parents=parents, config={"family": held.model.config.family, **facts})
        return target

    @cached_property
    def usual(self) -> Usual:
        """Sampling settings of the model's own, used where `generate`, `stream` and `chat` are given none."""
        where = "generation_config.json" if self.folder is None else str(self.folder / "generation_config.json")
        return usual_settings(self.port.config.generation, where) if isinstance(self.port, InProcessModel) else {}

    def _request(self, prompt: PromptText, options: Mapping[str, Any], *, n: int = 1) -> GenerateRequest:
        return with_usual(make_request(prompt, options, n=n), self.usual, options)

    def _savable(self, model: Model) -> Model:
        """The model in the form its folder has: what was expanded for speed is not saved larger than it came."""
        if is_fused(model):
            raise InputError(
                "an engine computes over this model and laid its matrices out anew, so it cannot be saved; load "
                f"{self.folder or 'its folder'} again, or start the engine with keep=True"
            )
        if self.held is None or not self.held.expanded or self.folder is None:
            return model
        stored = as_stored(self.folder, model)
        if stored is None:
            logger.warning(
                "the weights changed since they were opened from %s; they are saved as %s, uncompressed",
                self.held.stored,
                self.held.held,
            )
        return stored or model

    def _in_process(self, method: str) -> InProcessModel:
        if not isinstance(self.port, InProcessModel):
            raise InputError(
                f"{method} needs the weights in this process, and {type(self.port).__name__} has them elsewhere"
            )
        return self.port


def _refuse_foreign(target: Path) -> None:
    """Saving replaces a folder whole: never one that is not a model, or an adapter."""
    is_ours = any((target / name).exists() for name in ("config.json", CONFIG_FILE))
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not is_ours)):
        raise InputError(f"{target} exists and is not a model folder, and saving would replace it; name another folder")
