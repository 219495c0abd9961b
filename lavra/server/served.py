"""The models a server offers, by name."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from lavra.base.errors import InputError, LavraError, nearest
from lavra.base.files import hash_json
from lavra.base.introduction import Introduction
from lavra.base.model_facts import ModelFacts
from lavra.base.ports import MaskFiller, Predictor
from lavra.engine.batching import Batcher, LengthyEmbedder
from lavra.engine.engine import Engine
from lavra.server.search.served_index import ServedIndex
from lavra.tasks.spec import TaskSpec
from lavra.tasks.table import task_named
from lavra.tokens.conversation_writer import ConversationWriter, open_conversation_writer
from lavra.tokens.tokenizer import Tokenizer

NO_INDEX: Final = "no index is served here; `lavra serve --index NAME` serves one, which `lavra index FOLDER` makes"


class UnknownModelError(LavraError):
    """No served model has the requested name."""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A served model and its abilities.

    Attributes:
        name: name that requests give.
        tokenizer: tokenizer of the model.
        engine: writes and scores; `None` for an encoder.
        embedder: turns texts into vectors, if it can.
        filler: fills the gaps of texts, if it can.
        predictor: predicts the results of a task, where the model has the task's head.
        adapter: name of the active adapter of the engine; `None` is the engine's usual one.
        parent: name of the model whose engine it shares, where it is an adapter over that.
        usual: default sampling settings and `max_tokens` of a request, from the model's folder.
        runner: name of the code that computes it, as a word; empty where unknown.
        weights: form of its weights in memory, in words; empty where they are not in this process.
        weights_bytes: memory of the weights.
        template: Jinja source of its chat template, where the user chose another template than its own.
        fingerprint: changes where the answer to a seed may change; empty where unknown.
        introduction: the tasks it is good for, and suitable beginnings.
        facts: family, size and files of the model.
        aliases: other names of the model.
        created: time of creation, in Unix seconds.
    """

    name: str
    tokenizer: Tokenizer
    engine: Engine | None = None
    embedder: LengthyEmbedder | None = None
    filler: MaskFiller | None = None
    predictor: Predictor | None = None
    adapter: str | None = None
    parent: str | None = None
    usual: Mapping[str, float] = field(default_factory=dict)
    runner: str = ""
    weights: str = ""
    weights_bytes: int = 0
    template: str | None = None
    fingerprint: str = ""
    introduction: Introduction = field(default_factory=Introduction)
    facts: ModelFacts = field(default_factory=ModelFacts)
    aliases: tuple[str, ...] = ()
    created: int = field(default_factory=lambda: int(time.time()))

    def writer(self) -> Engine:
        """The engine that writes text.

        Raises:
            InputError: the model is an encoder, or has a task's head.
        """
        if self.predictor is not None:
            task = self.predictor.task
            raise InputError(
                f"{self.name} has a head for {task!r} and writes no text; ask {self.head_path}, or serve a "
                "language model beside it"
            )
        if self.engine is None:
            raise InputError(f"{self.name} is an encoder and writes no text; ask /v1/embeddings or /v1/fill-mask")
        return self.engine

    def vectors(self) -> LengthyEmbedder:
        """The embedder.

        Raises:
            InputError: the model has no embedder.
        """
        if self.embedder is None and self.parent is not None:
            raise InputError(f"{self.name} is an adapter, and texts are embedded without it; ask {self.parent}")
        if self.embedder is None:
            raise InputError(f"{self.name} embeds no texts; serve an embedding model beside it")
        return self.embedder

    def gaps(self) -> MaskFiller:
        """The filler of gaps in texts.

        Raises:
            InputError: the model has no filler.
        """
        if self.filler is None:
            raise InputError(
                f"{self.name} has no masked-token head and fills no gaps; "
                "serve an encoder that was saved with its head (BertForMaskedLM) beside it"
            )
        return self.filler

    @property
    def head_path(self) -> str:
        """The path of the endpoint of its head; empty where it has no head."""
        asking = None if self.predictor is None else task_named(self.predictor.task).asking
        return "" if asking is None else asking.path

    def head(self, task: TaskSpec) -> Predictor:
        """The predictor of a task.

        Raises:
            InputError: the model has no head at all; a head for another task raises its own error.
        """
        if self.predictor is None:
            raise InputError(
                f"{self.name} has no head for {task.name!r}; serve a model beside it that lavra finetune --task "
                f"{task.name} made"
            )
        return self.predictor

    @cached_property
    def conversation_writer(self) -> ConversationWriter:
        """The writer of its conversations; a common template replaces a missing one."""
        return open_conversation_writer(self.tokenizer, self.template)

    @property
    def reads(self) -> int | None:
        """The largest number of tokens: prompt and completion together, or a text to embed; `None` where unknown."""
        if self.engine is not None:
            return self.max_length
        return None if self.embedder is None else self.embedder.max_length

    @property
    def max_length(self) -> int:
        """Most tokens of prompt and completion together."""
        return self.writer().max_length(self.adapter)

    def with_adapter(
        self,
        name: str,
        template: str | None = None,
        version: str = "",
        introduction: Introduction | None = None,
    ) -> ServedModel:
        """The model of an adapter of its engine; it writes and scores.

        Args:
            name: name of the adapter in the engine.
            template: chat template of the adapter; the model's own where it has none.
            version: version of the adapter, which separates adapters of one name.
            introduction: introduction of the adapter.
        """
        own = f"fp_{hash_json([self.fingerprint, name, version])[:12]}" if self.fingerprint else ""
        return ServedModel(
            name=name,
            tokenizer=self.tokenizer if template is None else self.tokenizer.with_chat_template(template),
            engine=self.engine,
            adapter=name,
            parent=self.name,
            usual=self.usual,
            template=self.template if template is None else None,
            fingerprint=own,
            introduction=introduction or Introduction(),
            facts=replace(self.facts, digest=self._digest_with(name, version)),
        )

    def _digest_with(self, *adapter: str) -> str:
        """The digest of this model with an adapter of a name and version; empty where the model's own is unknown."""
        whole = "\n".join((self.facts.digest, *adapter))
        return hashlib.sha256(whole.encode()).hexdigest() if self.facts.digest else ""


class ModelTable:
    """The served models by name and alias, and the indexes by name; the first answers requests without a name.

    Args:
        models: served models; their names and aliases differ.
        indexes: indexes that answer like models; their names differ from those of models.

    Raises:
        InputError: two have one name, or there is neither a model nor an index.
    """

    def __init__(self, models: Sequence[ServedModel], indexes: Sequence[ServedIndex] = ()) -> None:
        if not models and not indexes:
            raise InputError("there is no model to serve; name at least one, or an index")
        self._by_name: dict[str, ServedModel | ServedIndex] = {}
        for model in models:
            for name in (model.name, *model.aliases):
                self._add(name, model)
        for index in indexes:
            self._add(index.name, index)
        self._models = tuple(models)
        self.indexes = tuple(indexes)

    def _add(self, name: str, served: ServedModel | ServedIndex) -> None:
        if name in self._by_name:
            raise InputError(f"two models are called {name!r}; give one of them another name")
        self._by_name[name] = served

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models)

    def __contains__(self, name: str) -> bool:
        """Whether a model or an index has this name."""
        return name in self._by_name

    def named(self, name: str | None) -> ServedModel:
        """The model of a name.

        Raises:
            UnknownModelError: no model has this name.
            InputError: the name is that of an index, which lacks the abilities of models.
        """
        found = self._found(name)
        if isinstance(found, ServedIndex):
            raise InputError(
                f"{found.name} is an index and no model; ask /v1/search or /v1/chat/completions, or name a model"
            )
        return found

    def index_named(self, name: str | None) -> ServedIndex:
        """The index of a name; without a name, the first index.

        Raises:
            UnknownModelError: no index has this name.
            InputError: the name is that of a model.
        """
        if not self.indexes:
            raise UnknownModelError(NO_INDEX)
        found = self.indexes[0] if name is None else self._found(name)
        if isinstance(found, ServedIndex):
            return found
        indexes = ", ".join(index.name for index in self.indexes)
        raise InputError(f"{found.name} is a model and no index; the indexes here are {indexes}")

    def answering_index(self, name: str | None) -> ServedIndex | None:
        """The index that a chat request is for; `None` where it is for a model."""
        if name is None:
            return None if self._models else self.indexes[0]
        found = self._by_name.get(name)
        return found if isinstance(found, ServedIndex) else None

    def _found(self, name: str | None) -> ServedModel | ServedIndex:
        if name is None:
            return self._models[0] if self._models else self.indexes[0]
        if name not in self._by_name:
            raise UnknownModelError(f"model {name!r} is not served here{nearest(name, self._by_name)}")
        return self._by_name[name]

    def close(self) -> None:
        """Close everything that has a thread of its own, and every index."""
        for model in self._models:
            if model.engine is not None and model.parent is None:  # an adapter's is its base's
                model.engine.close()
            for worker in (model.embedder, model.filler, model.predictor):
                if isinstance(worker, Batcher):
                    worker.close()
        for index in self.indexes:
            index.close()
