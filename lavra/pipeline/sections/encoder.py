"""The section of the sentence encoder: its recall among held-out passages beside BM25's, whichever is higher."""

from __future__ import annotations

from typing import Final

from lavra.pipeline.results import Skipped
from lavra.pipeline.sections.skipped import skipped_section
from lavra.pipeline.stages.encoder import EncoderResult
from lavra.report.section import Bar, BarChart, Cell, Fact, Facts, Paragraph, Section, Table, Tone

_TITLE: Final = "A sentence encoder"
_PASSAGES: Final = {
    "signature": "signature → docstring",
    "question": "first sentence → signature and the rest",
    "continue": "beginning → how it goes on",
    "heading": "heading → its section",
    "sentence": "sentence → the rest of its paragraph",
}


def encoder_section(result: EncoderResult | Skipped) -> Section:
    """Recall by kind of pair: before training, after it, and BM25's."""
    if isinstance(result, Skipped):
        return skipped_section(_TITLE, result)
    score = f"recall@{result.cutoff}"
    return Section(
        title=_TITLE,
        summary=_verdict(result),
        blocks=(
            Facts(
                items=(
                    Fact(label="Encoder", value=f"{result.parameters / 1e6:.2f}M", unit="parameters"),
                    Fact(label="Steps", value=f"{result.steps:,}", note=f"of {result.batch_size} pairs"),
                )
            ),
            BarChart(
                title=f"Held-out passages among the first {result.cutoff}, more is better",
                bars=_bars(result),
                x_label=score,
            ),
            Table(
                columns=("looked for", "pairs", "passages", "before", "after", "BM25", "ahead of BM25 (95 %)"),
                rows=tuple(_row(kind, result) for kind in result.recall_after),
                caption=f"{score} among all held-out passages of a kind; training saw neither text of a pair",
            ),
            Paragraph(text=_words(result), tone=_tone(result)),
        ),
        seconds=result.seconds,
    )


def _tone(result: EncoderResult) -> Tone:
    if result.found_after <= result.found_before:
        return Tone.WARNING
    return Tone.NOTE if result.lost else Tone.GOOD


def _bars(result: EncoderResult) -> tuple[Bar, ...]:
    return tuple(
        bar
        for kind, recall in result.recall_after.items()
        for bar in (
            Bar(label=f"{kind}: this encoder", value=recall, ours=True),
            Bar(label=f"{kind}: BM25", value=result.recall_bm25[kind]),
        )
    )


def _row(kind: str, result: EncoderResult) -> tuple[Cell, ...]:
    low, high = result.ahead[kind]
    return (
        _PASSAGES[kind],
        result.pairs[kind],
        result.passages[kind],
        round(result.recall_before[kind], 3),
        round(result.recall_after[kind], 3),
        round(result.recall_bm25[kind], 3),
        f"{low:+.3f} to {high:+.3f}",
    )


def _verdict(result: EncoderResult) -> str:
    parts = [
        f"{recall:.0%} ({result.recall_before[kind]:.0%} before training, "
        f"BM25 {result.recall_bm25[kind]:.0%}) by {kind}"
        for kind, recall in result.recall_after.items()
    ]
    return f"Among its first {result.cutoff}, it finds the held-out passage in {', '.join(parts)}."


def _words(result: EncoderResult) -> str:
    sentences = [_taught(result), _beside_bm25(result)]
    if result.texts_cut:
        sentences.append(f"{result.texts_cut:,} texts were cut to {result.max_tokens} tokens in training.")
    if result.trivial:
        sentences.append(f"Too few passages to judge: {' and '.join(result.trivial)}.")
    return " ".join(sentences)


def _taught(result: EncoderResult) -> str:
    """Whether training helped."""
    before, after = result.found_before, result.found_after
    if after <= before:
        return f"Training did not help: it finds {after:.1%} of all held-out passages, and found {before:.1%} before."
    sentences = f"Training helped: it finds {after:.1%} of all held-out passages, and found {before:.1%} before."
    return sentences + (f" Not more than before for {' and '.join(result.not_better)}." if result.not_better else "")


def _beside_bm25(result: EncoderResult) -> str:
    if not result.lost:
        return "It finds at least as many as BM25."
    return (
        f"BM25 wins for {' and '.join(result.lost)}: texts that belong together share words, and BM25 compares "
        "words. Search with it, or give more --budget."
    )
