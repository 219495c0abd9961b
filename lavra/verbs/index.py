"""`lavra.index`: make a searchable index of files, or bring an index up to date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lavra.base.convert import merge
from lavra.base.errors import ConfigError, InputError
from lavra.base.ports import Progress
from lavra.base.workspace import Workspace
from lavra.rag.index.config import IndexConfig
from lavra.rag.index.encoder import NamedEmbedder
from lavra.rag.index.open import UnfinishedError, open_index
from lavra.rag.index.report import IndexReport
from lavra.rag.index.schema import DATABASE
from lavra.rag.index.update import update_index
from lavra.text.sources.source import FolderSource, Source, as_source
from lavra.verbs.destination import safe_name
from lavra.verbs.keywords import read_keywords, takes
from lavra.verbs.meter import progress_shown
from lavra.verbs.retrieval import open_embedder, usual_encoder
from lavra.verbs.settings.index import AUTO, NO_ENCODER, IndexSettings, settings_of


@dataclass(frozen=True, kw_only=True)
class UpdatedIndex:
    """An index, and the report of its update.

    Attributes:
        folder: folder of the index; `ask` takes it.
        encoder: name of the encoder that makes its vectors; None if words alone are searched.
        report: documents and chunks in it, and documents added, changed, removed and skipped.

    Example:
        >>> made = lavra.index("documents", name="handbook", encoder="none", progress=False)
        >>> made.folder.name, made.encoder
        ('handbook', None)
    """

    folder: Path
    encoder: str | None
    report: IndexReport


@dataclass(frozen=True, kw_only=True)
class IndexPlan:
    """A prepared update of an index.

    Attributes:
        folder: folder of the index.
        sources: sources of its documents.
        config: its settings.
        embedder: encoder that makes the vectors; None if words alone are searched.
        notes: notes on settings chosen for the user.
    """

    folder: Path
    sources: list[Source]
    config: IndexConfig
    embedder: NamedEmbedder | None
    notes: tuple[str, ...]

    def update(self, progress: Progress, *, wait: bool = False) -> UpdatedIndex:
        """Bring the index up to date.

        Args:
            progress: called with the progress.
            wait: wait for another process that writes to the index, instead of an error.
        """
        report = update_index(self.folder, self.sources, self.config, self.embedder, progress=progress, wait=wait)
        name = None if self.embedder is None else self.embedder.identity.name
        return UpdatedIndex(folder=self.folder, encoder=name, report=report)


@takes(IndexSettings)
def index(
    *sources: str | Path,
    name: str | None = None,
    forget: Sequence[str | Path] = (),
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: IndexSettings | None = None,
    **fields: Any,
) -> UpdatedIndex:
    """Make documents searchable, or bring their index up to date; unchanged files are not read again.

    Args:
        *sources: files and folders with documents (text, PDF, Word, EPUB, HTML, mail, tables, source code).
        name: name of the index in the workspace, or its folder; the first source's name unless given.
        forget: sources to take out of the index.
        workspace: folder that holds all results of lavra; `LAVRA_WORKSPACE` or `./lavra-workspace` unless given.
        progress: whether progress is shown, or a function that is called with it.
        settings: all settings at once; settings given by name win over it, and both over those kept in the index.
        **fields: settings by name.

    Returns:
        The index's folder and a report of its contents and of the skipped files.

    Raises:
        InputError: a source or the encoder does not exist.
        ConfigError: a setting is unknown or out of range, or neither a source nor a name is given.

    Example:
        >>> found = lavra.index("documents", name="handbook", encoder="none", progress=False)
        >>> found.report.counts.documents
        2
    """
    plan = plan_index(
        [Path(one) for one in sources],
        name=name,
        forget=[Path(one) for one in forget],
        workspace=Workspace.open(workspace),
        given=fields,
        settings=settings,
    )
    with progress_shown(progress) as shown:
        return plan.update(shown)


def plan_index(
    named: Sequence[Path],
    *,
    name: str | None,
    forget: Sequence[Path],
    workspace: Workspace,
    given: Mapping[str, Any],
    settings: IndexSettings | None = None,
) -> IndexPlan:
    """Find the index and its sources, and open its encoder.

    Args:
        named: files and folders to add.
        name: name of the index, or its folder.
        forget: files and folders to take out.
        workspace: workspace that has the index.
        given: settings by name, as plain data; they win over `settings`, and those over the settings kept in the index.
        settings: all settings at once.

    Raises:
        InputError: a source or an encoder does not exist.
        ConfigError: a setting is unknown or out of range, or neither a source nor a name is given.
    """
    folder = index_folder(name, named, workspace)
    kept, known = kept_state(folder)
    before = settings_of(kept) if kept is not None and settings is None else {}
    chosen = read_keywords(IndexSettings, settings, merge(before, given))
    return finish_plan(folder, sources_of(named, forget, known), chosen, kept, workspace, is_sized=_names_size(given))


def finish_plan(
    folder: Path,
    sources: list[Source],
    settings: IndexSettings,
    kept: IndexConfig | None,
    workspace: Workspace,
    *,
    is_sized: bool,
) -> IndexPlan:
    """Open the encoder, and fit the chunks to its context.

    Args:
        folder: folder of the index.
        sources: sources of its documents.
        settings: the new settings.
        kept: the settings that the index was made with.
        workspace: workspace that has encoders.
        is_sized: whether the user named the size of chunks, which is then kept.
    """
    embedder, encoder_note = _embedder(settings, workspace)
    settings, cut = _fitting(settings, embedder, is_typed=is_sized)
    config = settings.config(None if embedder is None else embedder.identity)
    notes = tuple(note for note in (encoder_note, cut, _migrates(kept, config)) if note)
    return IndexPlan(folder=folder, sources=sources, config=config, embedder=embedder, notes=notes)


def _names_size(given: Mapping[str, Any]) -> bool:
    chunking = given.get("chunking", {})
    return not isinstance(chunking, Mapping) or "size" in chunking


def index_folder(name: str | None, sources: Sequence[Path], workspace: Workspace) -> Path:
    """The folder of an existing or new index: as named, else in the workspace by the name of the first source.

    Args:
        name: name of the index, or its folder; None if none is given.
        sources: the named files and folders.
        workspace: workspace that has the index.

    Raises:
        ConfigError: neither a name nor a source is given, and the workspace has no index.
    """
    if name is None and not sources:
        known = workspace.artifacts("indexes")
        if not known:
            raise ConfigError("no file or folder was named, and there is no index yet; write `lavra index FOLDER`")
        return known[0]
    if name is None:
        return workspace.indexes / safe_name(as_source(sources[0]).name)
    is_path = Path(name).name != name or (Path(name) / DATABASE).exists()
    return Path(name) if is_path else workspace.indexes / safe_name(name)


def kept_state(folder: Path) -> tuple[IndexConfig | None, dict[str, Path]]:
    """The settings and the sources of an index; None and no sources for a new index."""
    if not (folder / DATABASE).exists():
        return None, {}
    try:
        with open_index(folder) as index:
            return index.config, index.sources()
    except UnfinishedError:
        return None, {}


def sources_of(named: Sequence[Path], forgotten: Sequence[Path], known: dict[str, Path]) -> list[Source]:
    """Sources of the index: the known and the named sources, without the forgotten sources.

    Raises:
        InputError: a source to forget is not in the index.
        ConfigError: no source is left.
    """
    gone = {path.expanduser().absolute() for path in forgotten}
    before = {path.absolute(): name for name, path in known.items()}
    for path in gone - set(before):
        raise InputError(
            f"{path} is not a source of this index; its sources are {', '.join(map(str, before)) or 'none'}"
        )
    paths = [path for path in before if path not in gone]
    paths += [path for given in named if (path := given.expanduser().absolute()) not in before and path not in paths]
    if not paths:
        raise ConfigError("no file or folder is left for the index; name one, or delete its folder")
    return _with_own_names([as_source(path) for path in paths])


def _with_own_names(sources: list[Source]) -> list[Source]:
    """Give two folders of the same name different names, by the folder above each."""
    times = Counter(source.name for source in sources)
    return [
        FolderSource(path=one.path, label=f"{one.path.parent.name}/{one.path.name}")
        if isinstance(one, FolderSource) and times[one.name] > 1
        else one
        for one in sources
    ]


def _embedder(settings: IndexSettings, workspace: Workspace) -> tuple[NamedEmbedder | None, str]:
    """The encoder, and notes on its choice."""
    if settings.encoder == NO_ENCODER:
        return None, "encoder: none, so only words are searched"
    if settings.encoder != AUTO:
        embedder = open_embedder(settings.encoder, key_variable=settings.encoder_key)
        return embedder, f"encoder: {settings.encoder}"
    chosen = usual_encoder(workspace)
    return (open_embedder(chosen.name) if chosen.name else None), f"encoder: {chosen.why}"


def _fitting(settings: IndexSettings, embedder: NamedEmbedder | None, *, is_typed: bool) -> tuple[IndexSettings, str]:
    """Settings whose chunks the encoder can read, and notes on the change; a typed size is kept."""
    chunking, most = settings.chunking, None if embedder is None else embedder.max_tokens
    if most is None or chunking.size <= most or is_typed:
        return settings, ""
    shorter = replace(chunking, size=most, overlap=min(chunking.overlap, most // 4))
    return replace(settings, chunking=shorter), f"chunks: of {most} tokens, the most that this encoder reads"


def _migrates(before: IndexConfig | None, now: IndexConfig) -> str:
    """A sentence on the parts of an index that are made again because settings changed; empty where none are."""
    if before is None:
        return ""
    changed = [
        word
        for word, is_other in (
            ("the encoder", _hash(before) != _hash(now)),
            ("the chunks", before.chunking != now.chunking),
            ("the vector store", before.store != now.store),
        )
        if is_other
    ]
    return f"{' and '.join(changed)} changed: the index answers as before until the new one is whole" if changed else ""


def _hash(config: IndexConfig) -> str:
    return "" if config.encoder is None else config.encoder.hash
