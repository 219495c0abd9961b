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
from lavra.engine import Engine
from lavra.engine.batching import Batcher, LengthyEmbedder
from lavra.server.search.served_index import ServedIndex
from lavra.tasks.spec import TaskSpec
from lavra.tasks.table import task_named
from lavra.tokens.talker import Talker, open_talker
from lavra.tokens.tokenizer import Tokenizer

NO_INDEX: Final = "no index is served here; `lavra serve --index NAME` serves one, which `lavra index FOLDER` makes"


class UnknownModelError(LavraError):
    """There is no model of the name asked for."""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One model and what it can do.

    Attributes:
        name: as requests give it.
        tokenizer: its own.
        engine: writes and scores; `None` for an encoder.
        embedder: turns texts into vectors, if it can.
        filler: says what belongs in the gaps of texts, if it can.
        predictor: says what texts are, where the model has a task's head.
        adapter: of the engine's, which acts; `None` is the engine's usual one.
        parent: name of the model whose engine it shares, where it is an adapter over that.
        usual: sampling settings, and `max_tokens`, of a request that does not name them: those of the model's folder.
        runner: what computes it, as a word; empty where that is not known.
        weights: how its weights are held, in words; empty where they are not in this process.
        weights_bytes: memory they take.
        template: Jinja source of its chat template, where one was chosen instead of its own.
        fingerprint: another one where the answer to a seed may be another; empty where that is not known.
        introduction: what it is good for, and beginnings that suit it.
        facts: its family, size and files.
        aliases: other names it answers to.
        created: Unix seconds.
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
        """What writes text.

        Raises:
            InputError: it is an encoder, or has a task's head.
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
        """What embeds.

        Raises:
            InputError: nothing does.
        """
        if self.embedder is None and self.parent is not None:
            raise InputError(f"{self.name} is an adapter, and texts are embedded without it; ask {self.parent}")
        if self.embedder is None:
            raise InputError(f"{self.name} embeds no texts; serve an embedding model beside it")
        return self.embedder

    def gaps(self) -> MaskFiller:
        """What fills the gaps of texts.

        Raises:
            InputError: nothing does.
        """
        if self.filler is None:
            raise InputError(
                f"{self.name} has no masked-token head and fills no gaps; "
                "serve an encoder that was saved with its head (BertForMaskedLM) beside it"
            )
        return self.filler

    @property
    def head_path(self) -> str:
        """The endpoint that asks its head, or empty where it has none."""
        asking = None if self.predictor is None else task_named(self.predictor.task).asking
        return "" if asking is None else asking.path

    def head(self, task: TaskSpec) -> Predictor:
        """What says what texts are.

        Raises:
            InputError: it has no head at all; one for another task says so itself.
        """
        if self.predictor is None:
            raise InputError(
                f"{self.name} has no head for {task.name!r}; serve a model beside it that lavra finetune --task "
                f"{task.name} made"
            )
        return self.predictor

    @cached_property
    def talker(self) -> Talker:
        """What writes its conversations; a template of a usual form stands in where it has none."""
        return open_talker(self.tokenizer, self.template)

    @property
    def reads(self) -> int | None:
        """Most tokens it reads: prompt and completion together, or a text that is embedded; `None` where unknown."""
        if self.engine is not None:
            return self.room
        return None if self.embedder is None else self.embedder.max_length

    @property
    def room(self) -> int:
        """Most tokens of prompt and completion together."""
        return self.writer().room(self.adapter)

    def with_adapter(
        self,
        name: str,
        template: str | None = None,
        version: str = "",
        introduction: Introduction | None = None,
    ) -> ServedModel:
        """An adapter of its engine's as a model of its own; it writes and scores.

        Args:
            name: of the adapter in the engine.
            template: of its conversations; the model's own where it has none.
            version: what tells it from others of its name.
            introduction: its own.
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
        """The digest of this model with an adapter of that name and version; empty where its own is not known."""
        whole = "\n".join((self.facts.digest, *adapter))
        return hashlib.sha256(whole.encode()).hexdigest() if self.facts.digest else ""


class ModelTable:
    """Models by name and alias, and indexes by name; the first one answers to requests that name none.

    Args:
        models: names and aliases differ.
        indexes: that answer as a model would; their names differ from those of models.

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
        """Whether a model or an index is called so."""
        return name in self._by_name

    def named(self, name: str | None) -> ServedModel:
        """The model of a name.

        Raises:
            UnknownModelError: there is none.
            InputError: it is an index, which does not do what models do.
        """
        found = self._found(name)
        if isinstance(found, ServedIndex):
            raise InputError(
                f"{found.name} is an index and no model; ask /v1/search or /v1/chat/completions, or name a model"
            )
        return found

    def index_named(self, name: str | None) -> ServedIndex:
        """The index of a name; where none is named, the first.

        Raises:
            UnknownModelError: there is none.
            InputError: it is a model.
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
