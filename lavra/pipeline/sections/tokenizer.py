"""The section of the tokenizer: tokens of held-out text, and whether decoding returns the same text."""

from __future__ import annotations

from lavra.pipeline.stages.prepare import TokenizerResult
from lavra.report.section import Paragraph, Section, Tone


def tokenizer_section(result: TokenizerResult) -> Section:
    """Bytes a token, and documents that came back byte for byte."""
    trial = result.trial
    exact = trial.num_exact == trial.num_texts
    return Section(
        title="Tokenizer",
        summary=f"{result.vocab_size:,} tokens; one carries {result.bytes_per_token:.2f} bytes of held-out text.",
        blocks=(
            *_smaller(result),
            Paragraph(
                text=f"{trial.num_exact} of {trial.num_texts} held-out documents come back byte for byte."
                + ("" if exact else f" {trial}"),
                tone=Tone.GOOD if exact else Tone.NOTE,
            ),
        ),
    )


def _smaller(result: TokenizerResult) -> tuple[Paragraph, ...]:
    if result.vocab_size >= result.usual_size:
        return ()
    text = (
        f"There would be {result.usual_size:,} tokens if there were more text: each needs to be met often to be learnt."
    )
    return (Paragraph(text=text, tone=Tone.NOTE),)
