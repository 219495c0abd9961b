"""How a class of `transformers` has a head: the class, the names, the tensors that are read.

The heads are those of the `…ForSequenceClassification`, `…ForTokenClassification`, `…ForQuestionAnswering` and
`…ForMultipleChoice` classes, so that a model finetuned here opens there with equal logits.  Each family names its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from lavra.base.tasks import HeadKind


class Reads(Enum):
    """Which hidden states a head reads."""

    POOLED = "pooled"  # the first token's, through BERT's pooler
    FIRST = "first"  # the first token's
    LAST = "last"  # the last real token's, the only one of a decoder that has read everything
    EVERY = "every"  # each token's


@dataclass(frozen=True, kw_only=True)
class HeadForm:
    """One head as a `transformers` class has it.

    Attributes:
        architecture: the class.
        prefix: what the base model's tensors stand below there.
        reads: which hidden states go in.
        output: name of the last matrix.
        bias: whether it has a bias.
        dense: name of a layer with tanh in front of it, where there is one.
        dropout: share dropped in front of the head where `config.json` does not say; None is the model's own.
        encoder_only: whether an encoder-decoder is used without its decoder.
    """

    architecture: str
    prefix: str
    reads: Reads
    output: str
    bias: bool = True
    dense: str | None = None
    dropout: float | None = 0.0
    encoder_only: bool = False


def decoder_heads(name: str, prefix: str, *, tags: str, span_prefix: str | None = None) -> dict[HeadKind, HeadForm]:
    """The heads of a decoder.

    `transformers` has no class for multiple choice there: it is a classification with one output, a choice's score.

    Args:
        name: what its classes begin with, such as `GPT2`.
        prefix: what the base model's tensors stand below.
        tags: name of the matrix that tags tokens.
        span_prefix: the prefix in the class for questions, where it is another one.
    """
    last = HeadForm(
        architecture=f"{name}ForSequenceClassification", prefix=prefix, reads=Reads.LAST, output="score", bias=False
    )
    every = replace(last, reads=Reads.EVERY, bias=True)
    spans = prefix if span_prefix is None else span_prefix
    return {
        HeadKind.SEQUENCE: last,
        HeadKind.CHOICE: last,
        HeadKind.TOKEN: replace(every, architecture=f"{name}ForTokenClassification", output=tags, dropout=0.1),
        HeadKind.SPAN: replace(every, architecture=f"{name}ForQuestionAnswering", prefix=spans, output="qa_outputs"),
    }
