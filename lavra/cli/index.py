"""`lavra index`: files in, a searchable index out, or one that is brought up to date."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from lavra.base.errors import ConfigError, InputError
from lavra.base.workspace import Workspace
from lavra.cli.arguments.index import (
    AUTO,
    NO_ENCODER,
    IndexSettings,
    read_index_settings,
    read_tune_settings,
    settings_of,
)
from lavra.cli.check_index import check
from lavra.cli.console import meter, print_json, print_rows
from lavra.cli.flags import read_workspace, safe_name
from lavra.cli.next_step import command
from lavra.cli.retrieval import find_index, open_embedder, usual_encoder
from lavra.cli.tune_index import tune_index
from lavra.rag.index.config import IndexConfig
from lavra.rag.index.encoder import NamedEmbedder
from lavra.rag.index.open import UnfinishedError, open_index
from lavra.rag.index.report import IndexReport, SkippedFile
from lavra.rag.index.schema import DATABASE
from lavra.rag.index.update import update_index
from lavra.text.sources import FolderSource, Source, as_source

SKIPPED_SHOWN = 10
LANGUAGES_SHOWN = 5


def run(args: argparse.Namespace) -> int:
    """Update the index and say what became of the files, or tune it; or check it."""
    workspace, tuning = read_workspace(args), read_tune_settings(args)
    if args.check:
        return check(find_index(args.index, workspace), as_json=args.json)
    folder = _folder(args, workspace)
    kept, known = _kept(folder)
    settings = read_index_settings(args, None if kept is None else settings_of(kept))
    sources = _sources(args.sources, args.forget, known)
    embedder, said = _embedder(settings, workspace)
    settings, cut = _fitting(settings, embedder, is_typed=hasattr(args, "chunking.size"))
    config = settings.config(None if embedder is None else embedder.identity)
    notes = [said, cut, _migrates(kept, config)]
    if not args.json:
        print_rows([("index", str(folder)), *(("", note) for note in notes if note)])
    with meter() as progress:
        report = update_index(folder, sources, config, embedder, progress=progress, wait=args.wait)
    if tuning is not None:
        return tune_index(folder, tuning, name=args.index, as_json=args.json)
    if args.json:
        print_json(
            {"path": str(folder), "encoder": None if embedder is None else embedder.identity.name, **asdict(report)}
        )
    else:
        _show(report, folder, args.index)
    return 0


def _folder(args: argparse.Namespace, workspace: Workspace) -> Path:
    """Where the index is or will be: as named, else in the workspace by the name of the first source."""
    name = args.index
    if name is None and not args.sources:
        known = workspace.artifacts("indexes")
        if not known:
            raise ConfigError("no file or folder was named, and there is no index yet; write `lavra index FOLDER`")
        return known[0]
    if name is None:
        return workspace.indexes / safe_name(as_source(args.sources[0]).name)
    is_path = Path(name).name != name or (Path(name) / DATABASE).exists()
    return Path(name) if is_path else workspace.indexes / safe_name(name)


def _kept(folder: Path) -> tuple[IndexConfig | None, dict[str, Path]]:
    """The settings and the sources of an index that is there."""
    if not (folder / DATABASE).exists():
        return None, {}
    try:
        with open_index(folder) as index:
            return index.config, index.sources()
    except UnfinishedError:
        return None, {}


def _sources(named: Sequence[Path], forgotten: Sequence[Path], known: dict[str, Path]) -> list[Source]:
    """What the index is to hold: what it has, what is named besides, without what is to be forgotten."""
    gone = {path.expanduser().absolute() for path in forgotten}
    before = {path.absolute(): name for name, path in known.items()}
    for path in gone - set(before):
        raise InputError(f"{path} is no source of this index; its sources are {', '.join(map(str, before)) or 'none'}")
    paths = [path for path in before if path not in gone]
    paths += [path for given in named if (path := given.expanduser().absolute()) not in before and path not in paths]
    if not paths:
        raise ConfigError("no file or folder is left for the index; name one, or delete its folder")
    return _with_own_names([as_source(path) for path in paths])


def _with_own_names(sources: list[Source]) -> list[Source]:
    """Two folders of one name are told apart by the folder above."""
    times = Counter(source.name for source in sources)
    return [
        FolderSource(path=one.path, label=f"{one.path.parent.name}/{one.path.name}")
        if isinstance(one, FolderSource) and times[one.name] > 1
        else one
        for one in sources
    ]


def _embedder(settings: IndexSettings, workspace: Workspace) -> tuple[NamedEmbedder | None, str]:
    """The encoder, and what is said of the choice."""
    if settings.encoder == NO_ENCODER:
        return None, "encoder: none, so only words are searched"
    if settings.encoder != AUTO:
        embedder = open_embedder(settings.encoder, key_variable=settings.encoder_key)
        return embedder, f"encoder: {settings.encoder}"
    chosen = usual_encoder(workspace)
    return (open_embedder(chosen.name) if chosen.name else None), f"encoder: {chosen.why}"


def _fitting(settings: IndexSettings, embedder: NamedEmbedder | None, *, is_typed: bool) -> tuple[IndexSettings, str]:
    """Settings whose chunks the encoder can read, and what is said of the change; a size that was typed is kept."""
    chunking, most = settings.chunking, None if embedder is None else embedder.max_tokens
    if most is None or chunking.size <= most or is_typed:
        return settings, ""
    shorter = replace(chunking, size=most, overlap=min(chunking.overlap, most // 4))
    return replace(settings, chunking=shorter), f"chunks: of {most} tokens, the most that this encoder reads"


def _migrates(before: IndexConfig | None, now: IndexConfig) -> str:
    """What is made anew because settings changed; empty where nothing is."""
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


def _show(report: IndexReport, folder: Path, name: str | None) -> None:
    counts = report.counts
    changes = f"{report.added:,} added, {report.changed:,} changed, {report.removed:,} removed"
    vectors = f"{report.embedded:,} made now, {report.reused:,} there before"
    rows = [
        ("documents", f"{counts.documents:,} ({changes}, {report.unchanged:,} unchanged)"),
        ("chunks", f"{counts.chunks:,}, {counts.distinct:,} of them distinct"),
        (
            "vectors",
            vectors if report.embedded + report.reused else "",
        ),
        ("languages", _languages(counts.languages)),
        ("mended", ", ".join(f"{reason}: {number:,}" for reason, number in report.troubles.items())),
        *(("warning", warning) for warning in report.warnings),
    ]
    print_rows([row for row in rows if row[1]])
    _show_skipped(report.skipped)
    print(f"\nsaved {folder} ({report.seconds:.1f} s)")
    print(f"next: {command('ask', '…', *(['--index', name] if name else []))}")


def _languages(languages: Mapping[str, int]) -> str:
    shown = [f"{language or 'not known'} {number:,}" for language, number in list(languages.items())[:LANGUAGES_SHOWN]]
    more = len(languages) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more > 0 else "")


def _show_skipped(skipped: Sequence[SkippedFile]) -> None:
    """The first files that were not indexed, and how many of each reason there are."""
    if not skipped:
        return
    reasons = Counter(one.reason for one in skipped)
    print(f"\n  not indexed: {', '.join(f'{reason}: {number:,}' for reason, number in reasons.most_common())}")
    print_rows([(one.name, ": ".join(filter(None, (one.reason, one.detail)))) for one in skipped[:SKIPPED_SHOWN]])
    if len(skipped) > SKIPPED_SHOWN:
        print(f"  and {len(skipped) - SKIPPED_SHOWN:,} more (--json names all)")
