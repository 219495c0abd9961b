"""Search with several wordings of a question, fused by their ranks.

`MultiQuery` searches with a model's own wordings too.  `Hypothetical` searches with a passage that a model imagines as
the answer (HyDE: Gao et al. 2023, "Precise Zero-Shot Dense Retrieval without Relevance Labels"); the passage need not
be true, it only has to resemble the wanted passages.  In both the question itself is searched with first, so that a
weak model can do limited harm.

Each costs a generation and another search, so each is off by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from lavra.base.errors import ConfigError
from lavra.base.ports import LanguageModel, Retriever
from lavra.base.retrieval import Found, Passage, SearchRequest
from lavra.base.types import Completion, GenerateRequest, SamplingConfig
from lavra.rag.questions.phrases import WORD
from lavra.rag.retrievers.arm import check_request
from lavra.text.function_words import english_or_portuguese

_RANK_CONSTANT: Final = 60  # Cormack, Clarke and Büttcher 2009
_WORDING_TOKENS, _PASSAGE_TOKENS = 40, 120
_LEAST_WORDS = 3  # fewest words of a wording or passage to search with
_MOST_CHARACTERS: Final = 1000  # most characters of a wording or passage to search with
_DEPTH: Final = 30  # number of passages of each search that are fused

_WORDING: Final = {
    "en": (
        "Ask the same question in other words.\n\n"
        "Question: When did the museum stop charging visitors?\nIn other words: Since what year is entry free?\n\n"
        "Question: {}\nIn other words:"
    ),
    "pt": (
        "Faça a mesma pergunta com outras palavras.\n\n"
        "Pergunta: Quando o museu deixou de cobrar dos visitantes?\n"
        "Com outras palavras: Desde que ano a entrada é gratuita?\n\n"
        "Pergunta: {}\nCom outras palavras:"
    ),
}
_PASSAGE: Final = {
    "en": (
        "Write a short passage of a reference work that answers the question.\n\n"
        "Question: How does basalt form?\n"
        "Passage: Basalt is a dark volcanic rock. It forms when lava cools quickly at the surface.\n\n"
        "Question: {}\nPassage:"
    ),
    "pt": (
        "Escreva um trecho curto de uma obra de referência que responda à pergunta.\n\n"
        "Pergunta: Como se forma o basalto?\n"
        "Trecho: O basalto é uma rocha vulcânica escura. Ele se forma quando a lava esfria depressa na superfície.\n\n"
        "Pergunta: {}\nTrecho:"
    ),
}


class MultiQuery:
    """A `Retriever` that also searches with other wordings.

    Args:
        inner: the retriever that searches.
        generator: writes the wordings.
        wordings: number of wordings.
        seed: decides the wordings behind the first, which are drawn.

    Raises:
        ConfigError: fewer than one wording.
    """

    def __init__(self, inner: Retriever, generator: LanguageModel, *, wordings: int = 2, seed: int = 0) -> None:
        if wordings < 1:
            raise ConfigError(f"wordings is {wordings}; ask for at least 1, or search without them")
        self._inner, self._generator, self._wordings, self._seed = inner, generator, wordings, seed

    def search(self, request: SearchRequest) -> Found:
        """See `Retriever.search`.

        Raises:
            InputError: the question is empty or too long, or k below 1; nothing is generated then.
        """
        check_request(request)
        prompt = _prompt(_WORDING, request.query)
        greedy = GenerateRequest(
            prompt=prompt, max_tokens=_WORDING_TOKENS, stop=("\n",), logprobs=False, truncate_prompt=True
        )
        drawn = [
            replace(greedy, sampling=SamplingConfig(temperature=0.8, top_p=0.95, seed=self._seed + number))
            for number in range(1, self._wordings)
        ]
        written = [texts[0] for texts in self._generator.generate([greedy, *drawn])]
        return _search_all(self._inner, request, _usable(request.query, written), "other wordings")


class Hypothetical:
    """A `Retriever` that also searches with an imagined answer.

    Args:
        inner: the retriever that searches.
        generator: writes the imagined answer.
    """

    def __init__(self, inner: Retriever, generator: LanguageModel) -> None:
        self._inner, self._generator = inner, generator

    def search(self, request: SearchRequest) -> Found:
        """See `Retriever.search`.

        Raises:
            InputError: the question is empty or too long, or k below 1; nothing is generated then.
        """
        check_request(request)
        asked = GenerateRequest(
            prompt=_prompt(_PASSAGE, request.query),
            max_tokens=_PASSAGE_TOKENS,
            stop=("\n\n",),
            logprobs=False,
            truncate_prompt=True,
        )
        ((written,),) = self._generator.generate([asked])
        return _search_all(self._inner, request, _usable(request.query, [written]), "an imagined answer")


def fuse_found(found: Sequence[Found], k: int) -> tuple[Passage, ...]:
    """Fuse passages of several searches by reciprocal rank, the best first, equal scores by number."""
    score: dict[int, float] = {}
    known: dict[int, Passage] = {}
    for one in found:
        for rank, passage in enumerate(one.passages, start=1):
            score[passage.chunk.id] = score.get(passage.chunk.id, 0.0) + 1.0 / (_RANK_CONSTANT + rank)
            known.setdefault(passage.chunk.id, passage)
    order = sorted(score, key=lambda id: (-score[id], id))[:k]
    return tuple(replace(known[id], score=score[id]) for id in order)


def _prompt(prompts: dict[str, str], query: str) -> str:
    return prompts["pt" if english_or_portuguese(query) == "pt" else "en"].format(" ".join(query.split()))


def _usable(query: str, written: Sequence[Completion]) -> list[str]:
    """The texts worth a search: of some words, none twice, none the question itself."""
    texts = [" ".join(one.text.split())[:_MOST_CHARACTERS] for one in written]
    known = {query.strip().lower()}
    kept = []
    for text in texts:
        if len(WORD.findall(text)) >= _LEAST_WORDS and text.lower() not in known:
            known.add(text.lower())
            kept.append(text)
    return kept


def _search_all(inner: Retriever, request: SearchRequest, texts: Sequence[str], what: str) -> Found:
    """Search with the question and with other texts, and fuse the passages found."""
    wide = replace(request, k=max(request.k, _DEPTH))
    first = inner.search(wide)
    if not texts:
        note = f"the model wrote nothing to search with, so {what} were left out"
        return replace(first, passages=first.passages[: request.k], warnings=(*first.warnings, note))
    found = [first, *(inner.search(replace(wide, query=text)) for text in texts)]
    warnings = tuple(dict.fromkeys(warning for one in found for warning in one.warnings))
    return Found(passages=fuse_found(found, request.k), warnings=warnings)
