"""A cache of answers: the same model, request and tenant get them again without computing.

Only exact matches count.
A random answer is kept only where a seed makes it repeatable; a cancelled or failed answer is never kept.
`usage` names a hit.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

from lavra.base.types import Completion, Delta, FinishReason, GenerateRequest
from lavra.engine.stream import EngineStream, Piece, PieceWatch


class ResponseCache:
    """The latest completions, by everything they depend on; used by several threads.

    Args:
        most: requests remembered; 0 keeps none.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[Completion, ...]] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = self.misses = 0

    def key(self, model: str, request: GenerateRequest, tenant: str) -> Hashable | None:
        """The cache key of a request: everything its answer depends on; `None` where the answer may not be kept."""
        sampling = request.sampling
        if self._most == 0 or (sampling.temperature > 0 and sampling.seed is None):
            return None
        bias = tuple(sorted(request.logit_bias.items()))
        plain = dataclasses.replace(request, logit_bias={})
        fields = tuple(getattr(plain, field.name) for field in dataclasses.fields(plain) if field.name != "logit_bias")
        return (model, tenant, bias, *fields)

    def find(self, key: Hashable | None, watch: Callable[[], PieceWatch] | None = None) -> list[EngineStream] | None:
        """Find complete streams, or return `None`; `watch` makes the observer of their pieces, as in `Engine`."""
        if key is None:
            return None
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                self.misses += 1
                return None
            self._kept.move_to_end(key)
            self.hits += 1
        return [_replayed(one, watch() if watch else None) for one in found]

    def remembering(self, key: Hashable | None, count: int) -> Callable[[], PieceWatch] | None:
        """Make watches that keep an answer once all its completions are complete."""
        if key is None:
            return None
        done: list[Completion | None] = [None] * count
        numbers = iter(range(count))

        def make() -> PieceWatch:
            number = next(numbers)

            def watch(piece: Piece) -> None:
                if isinstance(piece, Delta) and piece.completion is not None:
                    done[number] = piece.completion
                    self._keep(key, done)

            return watch

        return make

    def _keep(self, key: Hashable, done: Sequence[Completion | None]) -> None:
        whole = tuple(one for one in done if one is not None and one.finish_reason is not FinishReason.CANCELLED)
        if len(whole) < len(done):
            return
        with self._lock:
            self._kept[key] = whole
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)


def _replayed(completion: Completion, watch: PieceWatch | None) -> EngineStream:
    usage = dataclasses.replace(completion.usage, response_cached=True)
    again = dataclasses.replace(completion, usage=usage)
    stream = EngineStream(lambda: None, watch)
    stream.deliver(
        Delta(
            text=again.text,
            tokens=again.tokens,
            logprobs=again.logprobs,
            top_logprobs=again.top_logprobs,
            completion=again,
        )
    )
    return stream
