"""Items become requests of the `LanguageModel` port, and a model's answers become responses.

All items of a chunk are asked in one call of `score` and one call of `generate`, so that the model's side sees the
parts that prompts share: the examples of a task, the question before each choice.  Requests hold texts; the side that
has the tokenizer splits them, as lm-evaluation-harness does (`TemplateLM._encode_pair`).  A prompt that does not fit
loses tokens on the left, as in the harness, and the response counts them.

A model that cannot answer makes the item *unscored*, with the reason; no answer is ever made up in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lavra.base.errors import ContextLengthError, InputError, NoLogprobsError
from lavra.base.ports import LanguageModel
from lavra.base.types import Completion, GenerateRequest, SamplingConfig, Score, ScoreRequest
from lavra.evaluation.items import AnswerSettings, EvalItem, OutputType, Response, ScoredPair, Unscored
from lavra.tokens.windows import plan_windows

Ask = Callable[[Sequence[EvalItem]], list[Response]]


@dataclass(frozen=True, kw_only=True)
class PromptTokens:
    """The reading of prompts by the model's own tokenizer, where the caller has it.

    Attributes:
        encode: gives the ids of a whole prompt, with the special tokens that the model expects at the start.
        context: most tokens a prompt and its answer may have; `None` has no bound.
        rendered: prompts were written by a chat template, whose special tokens `encode` reads as such.  The ids of a
            continuation are then taken from this tokenizer too.
        split: gives the ids that are read and the ids that are scored of a request.  It is set where the model's side
            (a server) refuses requests that are too long; they are then cut here, to one token less than `context`,
            because such servers want room for one token.
    """

    encode: Callable[[str], Sequence[int]]
    context: int | None = None
    rendered: bool = False
    split: Callable[[ScoreRequest], tuple[tuple[int, ...], tuple[int, ...]]] | None = None


class Asker:
    """The requests to one model, made from items.

    Args:
        model: any implementation of the `LanguageModel` port.
        tokens: the model's tokenizer; without it the model's side cuts a prompt that leaves no room for its answer.
        seed: fixes answers that are sampled.
    """

    def __init__(self, model: LanguageModel, *, tokens: PromptTokens | None = None, seed: int = 1234) -> None:
        self._model = model
        self._tokens = tokens
        self._seed = seed

    def ask(self, items: Sequence[EvalItem]) -> list[Response]:
        """Ask the model all items and return a response to each, in their order.

        Raises:
            LavraError: the model's side failed for a reason that does not lie in an item (a server that is gone).
        """
        writing = [item for item in items if item.kind is OutputType.GENERATE_UNTIL]
        scoring = [item for item in items if item.kind is not OutputType.GENERATE_UNTIL]
        written = iter(_each(self._write, writing, again=partial(self._write, truncate=True)))
        scored = iter(_each(self._score, scoring))
        return [next(written if item.kind is OutputType.GENERATE_UNTIL else scored) for item in items]

    def _score(self, items: Sequence[EvalItem]) -> list[Response]:
        plans = [[self._plan(pair, item.kind) for pair in item.pairs] for item in items]
        scores = iter(self._model.score([one for plan in plans for requests, _ in plan for one in requests]))
        return [
            scored_response([_joined([next(scores) for _ in requests], dropped) for requests, dropped in plan])
            for plan in plans
        ]

    def _plan(self, pair: ScoredPair, kind: OutputType) -> tuple[list[ScoreRequest], int]:
        """The requests whose scores together are the pair's score, and the number of context tokens that were cut."""
        request = self._score_request(pair, kind)
        tokens = self._tokens
        if tokens is None or tokens.split is None or tokens.context is None:
            return [request], 0
        before, scored = tokens.split(request)
        most = tokens.context - 1
        if kind is OutputType.LOGLIKELIHOOD_ROLLING and len(before) + len(scored) > most:
            whole, window = (*before, *scored), most - 1  # the model does not read the last scored token
            parts = plan_windows(len(whole), window=window, stride=window, first=max(1, len(before)))
            return [ScoreRequest(text=whole[p.first : p.end], given=whole[p.start : p.first]) for p in parts], 0
        kept = before[max(0, len(before) + len(scored) - most) :] if len(scored) < most else before
        return [ScoreRequest(text=scored, given=kept or None)], len(before) - len(kept)

    def _score_request(self, pair: ScoredPair, kind: OutputType) -> ScoreRequest:
        if kind is OutputType.LOGLIKELIHOOD_ROLLING:
            return ScoreRequest(text=pair.continuation, given=pair.context, overlap=0)
        if self._tokens is None or not self._tokens.rendered or not pair.context:
            return ScoreRequest(text=pair.continuation, given=pair.context)
        context = pair.context.rstrip()
        before = tuple(self._tokens.encode(context))
        whole = tuple(self._tokens.encode(pair.context + pair.continuation))
        return ScoreRequest(text=whole[len(before) :], given=before)

    def _write(self, items: Sequence[EvalItem], truncate: bool = False) -> list[Response]:
        asked = [self._generate_request(item, truncate) for item in items]
        found = self._model.generate([request for request, _ in asked])
        return [written_response(completions, dropped) for completions, (_, dropped) in zip(found, asked, strict=True)]

    def _generate_request(self, item: EvalItem, truncate: bool) -> tuple[GenerateRequest, int]:
        how = item.generation or AnswerSettings()
        prompt, dropped = self._cut(item.prompt, how.max_tokens)
        request = GenerateRequest(
            prompt=prompt,
            max_tokens=how.max_tokens,
            sampling=SamplingConfig(
                temperature=how.temperature,
                top_p=how.top_p,
                top_k=how.top_k,
                seed=_seed(self._seed, item) if how.temperature > 0 else None,
            ),
            stop=tuple(stop for stop in how.until if stop),
            n=how.repeats,
            truncate_prompt=truncate,  # not every server knows this option: it is set only where it is needed
            logprobs=False,
        )
        return request, dropped

    def _cut(self, prompt: str, answer_tokens: int) -> tuple[str | tuple[int, ...], int]:
        """The prompt, without its oldest tokens where the answer would not fit; and the number of removed tokens."""
        tokens = self._tokens
        if tokens is None:
            return prompt, 0
        ids = tuple(tokens.encode(prompt))
        most = len(ids) if tokens.context is None else max(tokens.context - answer_tokens, 1)
        if len(ids) > most and tokens.context is not None and answer_tokens < tokens.context:
            return ids[-most:], len(ids) - most
        return (ids if tokens.rendered else prompt), 0


def _joined(scores: Sequence[Score], dropped: int) -> Score:
    """Join the scores of a pair's parts; `dropped` tokens of its context were cut before it was sent."""
    first, *others = scores
    if not others and not dropped:
        return first
    return replace(
        first,
        tokens=tuple(token for score in scores for token in score.tokens),
        logprobs=tuple(logprob for score in scores for logprob in score.logprobs),
        greedy=tuple(greedy for score in scores for greedy in score.greedy),
        num_bytes=sum(score.num_bytes for score in scores),
        context_tokens=sum(score.context_tokens for score in scores),
        truncated_tokens=dropped + sum(score.truncated_tokens for score in scores),
        warnings=tuple(dict.fromkeys(warning for score in scores for warning in score.warnings)),
    )


def scored_response(scores: Sequence[Score]) -> Response:
    """Turn the scores of an item's pairs into a response.

    A token that has no log-probability, because nothing stands before it and the model has no token that begins a
    text, counts as 0, and the port's warning says so.
    """
    return Response(
        logprobs=tuple(sum(one for one in score.logprobs if one is not None) for score in scores),
        greedy=tuple(bool(score.greedy) and all(score.greedy) for score in scores),
        prompt_tokens=sum(score.context_tokens + len(score.tokens) for score in scores),
        truncated_tokens=max((score.truncated_tokens for score in scores), default=0),
        warnings=tuple(dict.fromkeys(warning for score in scores for warning in score.warnings)),
    )


def written_response(completions: Sequence[Completion], dropped: int = 0) -> Response:
    """Turn the completions of an item's prompt into a response; `dropped` prompt tokens were cut before sending."""
    return Response(
        texts=tuple(one.text for one in completions),
        prompt_tokens=max((one.usage.prompt_tokens for one in completions), default=0),
        completion_tokens=sum(one.usage.completion_tokens for one in completions),
        truncated_tokens=dropped + max((one.usage.truncated_tokens for one in completions), default=0),
        warnings=tuple(dict.fromkeys(warning for one in completions for warning in one.warnings)),
    )


def _each(ask: Ask, items: Sequence[EvalItem], again: Ask | None = None) -> list[Response]:
    """Ask all items at once; where the model refuses, ask them singly, to find the refused item.

    Args:
        ask: sends several items to the model.
        items: the items to ask.
        again: a second way to ask a refused item.
    """
    if not items:
        return []
    try:
        return ask(items)
    except NoLogprobsError as error:
        return [Response(unscored=Unscored.NO_LOGPROBS, warnings=(str(error),)) for _ in items]
    except InputError as error:
        if len(items) > 1:
            return [response for item in items for response in _each(ask, [item], again)]
        if again is not None:
            return _each(again, items)
        reason = Unscored.TOO_LONG if isinstance(error, ContextLengthError) else Unscored.REFUSED
        return [Response(unscored=reason, warnings=(str(error),))]


def _seed(seed: int, item: EvalItem) -> int:
    """Derive a seed for the item, so that its answer does not depend on the other items of the chunk."""
    digest = hashlib.sha256(f"{seed}/{item.task}/{item.doc_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
