"""The form of a task's head in a class of `transformers`: the class, the names, the tensors it reads.

The heads are those of the `…ForSequenceClassification`, `…ForTokenClassification`, `…ForQuestionAnswering` and
`…ForMultipleChoice` classes, so that a model finetuned here opens there with equal logits.  Each family names its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from lavra.base.tasks import HeadKind


class HeadInput(Enum):
    """The hidden states that a head reads."""

    POOLED = "pooled"  # the first token's, through BERT's pooler
    FIRST = "first"  # the first token's
    LAST = "last"  # the last real token's, the only one of a decoder that has read everything
    EVERY = "every"  # the states of every token


@dataclass(frozen=True, kw_only=True)
class HeadForm:
    """A head in the form of a `transformers` class.

    Attributes:
        architecture: the class.
        prefix: prefix of the base model's tensors in the class.
        reads: the hidden states that it reads.
        output: name of the last matrix.
        bias: whether the matrix has a bias.
        dense: name of a layer with tanh in front of it; None without such a layer.
        dropout: share dropped in front of the head unless `config.json` gives it; None is the model's own.
        encoder_only: whether an encoder-decoder is used without its decoder.
    """

    architecture: str
    prefix: str
    reads: HeadInput
    output: str
    bias: bool = True
    dense: str | None = None
    dropout: float | None = 0.0
    encoder_only: bool = False


def decoder_heads(name: str, prefix: str, *, tags: str, span_prefix: str | None = None) -> dict[HeadKind, HeadForm]:
    """The heads of a decoder.

    `transformers` has no class for a decoder's multiple choice: it is a classification with one output, the score.

    Args:
        name: beginning of its class names, such as `GPT2`.
        prefix: prefix of the base model's tensors.
        tags: name of the matrix that tags tokens.
        span_prefix: the prefix in the class for questions, if it differs.
    """
    last = HeadForm(
        architecture=f"{name}ForSequenceClassification", prefix=prefix, reads=HeadInput.LAST, output="score", bias=False
    )
    every = replace(last, reads=HeadInput.EVERY, bias=True)
    spans = prefix if span_prefix is None else span_prefix
    return {
        HeadKind.SEQUENCE: last,
        HeadKind.CHOICE: last,
        HeadKind.TOKEN: replace(every, architecture=f"{name}ForTokenClassification", output=tags, dropout=0.1),
        HeadKind.SPAN: replace(every, architecture=f"{name}ForQuestionAnswering", prefix=spans, output="qa_outputs"),
    }
