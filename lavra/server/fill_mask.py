"""`POST /v1/fill-mask`: the likeliest tokens in the gaps of texts, in the form of Hugging Face's pipeline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.errors import InputError
from lavra.base.ports import Gap
from lavra.base.types import FillRequest
from lavra.server.answers import FilledTexts
from lavra.server.fields import idle_fields
from lavra.server.schemas import FillMaskBody
from lavra.server.served import ServedModel
from lavra.server.server_state import ServerState
from lavra.tokens.tokenizer import Tokenizer

MOST_CANDIDATES: Final = 10_000  # in one answer: each candidate repeats the whole text


def fill_mask_router(state: ServerState) -> APIRouter:
    """The endpoint over a server's models."""
    router = APIRouter(tags=["fill-mask"])

    @router.post("/v1/fill-mask", response_model=FilledTexts)
    async def fill_mask(body: FillMaskBody) -> Response:
        """Candidates for the gaps of texts, from an encoder."""
        return JSONResponse(await run_in_threadpool(_fill, state, body))

    return router


def _fill(state: ServerState, body: FillMaskBody) -> dict[str, Any]:
    warnings = idle_fields(body, strict=state.config.strict)
    model = state.models.named(body.model)
    filler, targets = model.gaps(), tuple(body.targets or ())
    rows = _rows(model, [body.input] if isinstance(body.input, str) else body.input, body.top_k)
    found = filler.fill([FillRequest(text=ids, top_k=body.top_k, targets=targets) for ids in rows])
    tokens = sum(len(ids) for ids in rows)
    return {
        "object": "list",
        "model": model.name,
        "data": [
            {"object": "fill_mask", "index": index, "masks": _candidates(model.tokenizer, ids, gaps)}
            for index, (ids, gaps) in enumerate(zip(rows, found, strict=True))
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "warnings": warnings,
    }


def _rows(model: ServedModel, texts: Sequence[str], top_k: int) -> list[tuple[int, ...]]:
    """The ids of each text, special ones included.

    Raises:
        InputError: a text has no mask token, or an answer cannot hold all candidates.
    """
    tokenizer, num_gaps = model.tokenizer, 0
    mask_id = tokenizer.mask_id
    assert mask_id is not None  # else there would be no filler
    rows = [tuple(ids) for ids in tokenizer.encode_batch(texts, add_special_tokens=True)]
    for index, ids in enumerate(rows):
        gaps = ids.count(mask_id)
        if not gaps:
            raise InputError(
                f"input {index} has no gap to fill; write {tokenizer.token(mask_id)} where a word is missing"
            )
        num_gaps += gaps
    if num_gaps * top_k > MOST_CANDIDATES:
        raise InputError(
            f"{num_gaps} gaps with {top_k} candidates each are {num_gaps * top_k}, over {MOST_CANDIDATES} in one "
            "answer; lower top_k, or send fewer texts at a time"
        )
    return rows


def _candidates(tokenizer: Tokenizer, ids: tuple[int, ...], gaps: Sequence[Gap]) -> list[list[dict[str, Any]]]:
    """The candidates of each gap."""
    places = [place for place, token in enumerate(ids) if token == tokenizer.mask_id]

    def sequence(place: int, token: int) -> str:
        filled = [one for one in (*ids[:place], token, *ids[place + 1 :]) if one != tokenizer.pad_id]
        # With other gaps, special tokens stay: the gaps are special tokens too.
        return tokenizer.decode(filled, skip_special_tokens=len(places) == 1)

    return [
        [
            {
                "score": math.exp(logprob),
                "token": token,
                "token_str": tokenizer.decode([token]),
                "sequence": sequence(place, token),
            }
            for token, logprob in candidates
        ]
        for place, candidates in zip(places, gaps, strict=True)
    ]
