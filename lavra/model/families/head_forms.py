"""Where `transformers` keeps each kind of head in each family: the class, the names, the tensors that are read.

The heads are those of the `…ForSequenceClassification`, `…ForTokenClassification`, `…ForQuestionAnswering` and
`…ForMultipleChoice` classes, so that a model finetuned here opens there with equal logits.  A decoder and T5 have no
class for multiple choice: theirs is a classification with one output, the score of a choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

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


def _bert() -> dict[HeadKind, HeadForm]:
    pooled = HeadForm(
        architecture="BertForSequenceClassification",
        prefix="bert.",
        reads=Reads.POOLED,
        output="classifier",
        dropout=None,
    )
    return {
        HeadKind.SEQUENCE: pooled,
        HeadKind.CHOICE: replace(pooled, architecture="BertForMultipleChoice"),
        HeadKind.TOKEN: replace(pooled, architecture="BertForTokenClassification", reads=Reads.EVERY),
        HeadKind.SPAN: replace(
            pooled, architecture="BertForQuestionAnswering", reads=Reads.EVERY, output="qa_outputs", dropout=0.0
        ),
    }


def _roberta() -> dict[HeadKind, HeadForm]:
    forms = {
        kind: replace(form, architecture=form.architecture.replace("Bert", "Roberta"), prefix="roberta.")
        for kind, form in _bert().items()
    }
    first = replace(forms[HeadKind.SEQUENCE], reads=Reads.FIRST, dense="classifier.dense", output="classifier.out_proj")
    return {**forms, HeadKind.SEQUENCE: first}


def _decoder(name: str, prefix: str, *, tags: str, question_prefix: str) -> dict[HeadKind, HeadForm]:
    last = HeadForm(
        architecture=f"{name}ForSequenceClassification", prefix=prefix, reads=Reads.LAST, output="score", bias=False
    )
    every = replace(last, reads=Reads.EVERY, bias=True)
    return {
        HeadKind.SEQUENCE: last,
        HeadKind.CHOICE: last,
        HeadKind.TOKEN: replace(every, architecture=f"{name}ForTokenClassification", output=tags, dropout=0.1),
        HeadKind.SPAN: replace(
            every, architecture=f"{name}ForQuestionAnswering", prefix=question_prefix, output="qa_outputs"
        ),
    }


def _t5() -> dict[HeadKind, HeadForm]:
    last = HeadForm(
        architecture="T5ForSequenceClassification",
        prefix="transformer.",
        reads=Reads.LAST,
        dense="classification_head.dense",
        output="classification_head.out_proj",
    )
    every = replace(last, reads=Reads.EVERY, dense=None)
    return {
        HeadKind.SEQUENCE: last,
        HeadKind.CHOICE: last,
        HeadKind.TOKEN: replace(every, architecture="T5ForTokenClassification", output="classifier", encoder_only=True),
        HeadKind.SPAN: replace(every, architecture="T5ForQuestionAnswering", prefix="", output="qa_outputs"),
    }


HEAD_FORMS: Final[dict[str, dict[HeadKind, HeadForm]]] = {
    "bert": _bert(),
    "roberta": _roberta(),
    "gpt2": _decoder("GPT2", "transformer.", tags="classifier", question_prefix="transformer."),
    "falcon": _decoder("Falcon", "transformer.", tags="classifier", question_prefix="transformer."),
    "llama": _decoder("Llama", "model.", tags="score", question_prefix="transformer."),
    "mistral": _decoder("Mistral", "model.", tags="score", question_prefix="model."),
    "qwen2": _decoder("Qwen2", "model.", tags="score", question_prefix="transformer."),
    "t5": _t5(),
}


def head_form(family: str, kind: HeadKind) -> HeadForm:
    """The head of a kind in a family."""
    return HEAD_FORMS[family][kind]


def kinds_of(family: str, architecture: str) -> list[HeadKind]:
    """The kinds of head a class of `transformers` may be: none, one, or two where a family has one class for both.

    Args:
        family: the `model_type`.
        architecture: the class name.
    """
    return [kind for kind, form in HEAD_FORMS[family].items() if form.architecture == architecture]
