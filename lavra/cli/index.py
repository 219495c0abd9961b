"""`lavra index`: make a searchable index of files, or bring an index up to date."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lavra.base.shell import command
from lavra.cli.arguments.index import read_index_settings, read_tune_settings
from lavra.cli.check_index import check
from lavra.cli.console import print_json, print_rows
from lavra.cli.flags import read_workspace
from lavra.cli.tune_index import tune_index
from lavra.rag.index.report import IndexReport, SkippedFile
from lavra.verbs.index import finish_plan, index_folder, kept_state, sources_of
from lavra.verbs.meter import meter
from lavra.verbs.retrieval import find_index
from lavra.verbs.settings.index import settings_of

SKIPPED_SHOWN = 10
LANGUAGES_SHOWN = 5


def run(args: argparse.Namespace) -> int:
    """Update the index and print the counts of files; or tune it; or check it."""
    workspace, tuning = read_workspace(args), read_tune_settings(args)
    if args.check:
        return check(find_index(args.index, workspace), as_json=args.json)
    folder = index_folder(args.index, args.sources, workspace)
    kept, known = kept_state(folder)
    settings = read_index_settings(args, None if kept is None else settings_of(kept))
    sources = sources_of(args.sources, args.forget, known)
    plan = finish_plan(folder, sources, settings, kept, workspace, is_sized=hasattr(args, "chunking.size"))
    if not args.json:
        print_rows([("index", str(folder)), *(("", args.in_flags(note)) for note in plan.notes)])
    with meter() as progress:
        made = plan.update(progress, wait=args.wait)
    if tuning is not None:
        return tune_index(folder, tuning, name=args.index, as_json=args.json)
    if args.json:
        print_json({"path": str(folder), "encoder": made.encoder, **asdict(made.report)})
    else:
        _show(made.report, folder, args.index)
    return 0


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
        ("mended", ", ".join(f"{reason}: {number:,}" for reason, number in report.issues.items())),
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
    """Print the first files that were not indexed, and the number of files for each reason."""
    if not skipped:
        return
    reasons = Counter(one.reason for one in skipped)
    print(f"\n  not indexed: {', '.join(f'{reason}: {number:,}' for reason, number in reasons.most_common())}")
    print_rows([(one.name, ": ".join(filter(None, (one.reason, one.detail)))) for one in skipped[:SKIPPED_SHOWN]])
    if len(skipped) > SKIPPED_SHOWN:
        print(f"  and {len(skipped) - SKIPPED_SHOWN:,} more (--json names all)")
