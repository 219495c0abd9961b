"""The counts of a corpus as rows for people: amounts read, repaired, dropped (with reasons) and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SummaryRow = tuple[str, str]
EXACT_DUPLICATE, NEAR_DUPLICATE = DUPLICATES = ("exact duplicate", "near-duplicate")


def summary_rows(counts: Mapping[str, Any]) -> list[SummaryRow]:
    """Rows of label and value, in the order of the steps; every reason with a count has its row."""
    documents, sizes = counts["documents"], counts["bytes"]
    read = (documents["read"], sizes["read"])
    return [
        ("files read", f"{counts['files']['read']:,}"),
        *_each("files skipped", counts["files"]["skipped"]),
        *_each("file issue", counts.get("file_troubles", {})),  # corpora made before have none
        *_each("rows skipped", counts["rows_skipped"]),
        *_each("read as", counts["encodings"]),
        *_each("encoding issue", counts["encoding_troubles"]),
        ("documents read", _amount(*read)),
        *([("files or rows cut into several documents", f"{documents['cut']:,}")] if documents["cut"] else []),
        *_normalized(counts["normalized"]),
        *_dropped(counts),
        *_duplicates(counts["duplicates"]),
        ("kept", _amount(documents["kept"], sizes["kept"])),
        ("train", _amount(documents["train"], sizes["train"])),
        ("held out", _amount(documents["heldout"], sizes["heldout"])),
        *([("how it was split", split_sentence(counts["split"]))] if "split" in counts else []),
    ]


def split_sentence(split: Mapping[str, Any]) -> str:
    """A clause about the sizes of the two sides, from the `split` counts."""
    asked = f"{split['asked']:.1%} was asked for"
    if split["wanted"] != split["asked"]:
        asked += f", and so little text needs {split['wanted']:.1%}"
    what = "whole documents"
    if split["divided"]:
        longer = "1 document" if split["divided"] == 1 else f"{split['divided']:,} documents"
        their = "its" if split["divided"] == 1 else "their"
        what = f"sections of {longer} too long to be held out whole; {their} other sections are trained on, these never"
    return f"{split['share']:.1%} of the bytes held out ({asked}): {what}"


def _each(label: str, reasons: Mapping[str, int]) -> Iterator[SummaryRow]:
    """A row for each reason, the most frequent first."""
    for reason, number in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        yield f"{label}: {reason}", f"{number:,}"


def _normalized(rules: Mapping[str, Mapping[str, int]]) -> Iterator[SummaryRow]:
    for rule, changed in sorted(rules.items()):
        yield f"normalised: {rule}", f"{changed['documents']:,} documents, {changed['characters']:,} characters"


def _dropped(counts: Mapping[str, Any]) -> Iterator[SummaryRow]:
    """A row for each reason; among duplicates, long documents are compared by their sections."""
    was_cut = counts.get("split", {}).get("cut", 0) > 0
    for reason, dropped in sorted(counts["dropped"].items(), key=lambda item: (-item[1]["documents"], item[0])):
        share = dropped["bytes"] / max(1, counts["bytes"]["read"])
        what = "documents and sections" if was_cut and reason in DUPLICATES else "documents"
        yield f"dropped: {reason}", f"{dropped['documents']:,} {what}, {dropped['bytes'] / 1e6:,.2f} MB ({share:.1%})"


def _duplicates(found: Mapping[str, Any]) -> Iterator[SummaryRow]:
    kept = "" if found["removed"] == "all" else f" (removed: {found['removed']})"
    yield (
        "duplicates found",
        f"{found['exact']:,} exact, {found['near']:,} near, in {found['clusters']:,} clusters{kept}",
    )
    if found["planted"]:
        share = 100 * found["planted_found"] / found["planted"]
        hard = f"; of those near the threshold {found['planted_hard_found']:,} of {found['planted_hard']:,}"
        yield (
            "planted near-duplicates found",
            f"{found['planted_found']:,} of {found['planted']:,} ({share:.1f} %){hard}",
        )
    else:
        yield "planted near-duplicates found", "not measured (no document long enough, or turned off)"


def _amount(num_documents: int, num_bytes: int) -> str:
    return f"{num_documents:,} documents, {num_bytes / 1e6:,.2f} MB"
