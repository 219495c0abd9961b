"""Beam search over a runner: beams that begin the same share blocks of the cache.

    select    each selected beam holds its parent's blocks
    advance   a last block with several holders is copied for all but one of them, as the next token goes into it

Each search has its own runner, of the size that the search can need.  The rules of the search are those of
`lavra.generate.beam`.

Deliberately absent: beams among an engine's other requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from threading import Event

from lavra.base.arrays import Float32s
from lavra.base.errors import ConfigError
from lavra.base.ports import ForwardBatch, ForwardRow, Runner
from lavra.base.types import Completion, Delta, GenerateRequest
from lavra.engine.adapters import Variants
from lavra.engine.blocks import BlockPool
from lavra.generate.beam import BeamSearch, check_searched
from lavra.generate.pieces import PieceStream
from lavra.generate.planned_request import PlannedRequest
from lavra.tokens.tokenizer import Tokenizer

MakeRunner = Callable[[int], Runner]
"""Makes a runner with room for a number of tokens."""

_PART = 512  # tokens of a prompt that are read at once


@dataclass(frozen=True, kw_only=True)
class BeamPrompt:
    """The common beginning of all beams.

    Attributes:
        tokens: the prompt, virtual tokens included.
        source: ids that an encoder-decoder's encoder reads.
        adapter: name of the active adapter.
    """

    tokens: tuple[int, ...]
    source: tuple[int, ...] | None
    adapter: str | None


class BeamSearcher:
    """Requests for beams, each searched separately.

    Args:
        make_runner: called for each.
        tokenizer: the model's.
        variants: the model with each of its adapters.
        stop_ids: tokens that end a text.
        block_size: block size of the runners.
    """

    def __init__(
        self,
        make_runner: MakeRunner,
        tokenizer: Tokenizer,
        variants: Variants,
        stop_ids: frozenset[int],
        block_size: int,
    ) -> None:
        self._make_runner, self._tokenizer, self._variants = make_runner, tokenizer, variants
        self._stop_ids, self._block_size = stop_ids, block_size
        self._num_tokens = 1 + tokenizer.last_id

    def generate(self, request: GenerateRequest) -> list[Completion]:
        """`request.n` completions, best first.

        Raises:
            ConfigError: a setting is out of range, or beam search does not have it.
            InputError: the adapter is unknown.
            ContextLengthError: the prompt does not fit.
        """
        plan, prompt = self._plan(request)
        return self._search(plan, prompt, lambda: False)

    def submit(self, request: GenerateRequest) -> PieceStream:
        """The best completion, in one piece: beams know their text only at the end.

        Raises:
            As `generate`; and ConfigError if the request wants more than one completion.
        """
        if request.n != 1:
            raise ConfigError(f"n={request.n}: a stream is one completion; use generate for several")
        plan, prompt = self._plan(request)

        def write(cancelled: Event) -> Iterator[Delta]:
            best = self._search(plan, prompt, cancelled.is_set)[0]
            yield Delta(text=best.text, tokens=best.tokens, completion=best)

        return PieceStream(write)

    def _plan(self, request: GenerateRequest) -> tuple[PlannedRequest, BeamPrompt]:
        check_searched(request)
        variant = self._variants.named(request.adapter)
        plan = variant.plan(request)
        tokens = (*variant.prompt, *plan.prompt)
        return plan, BeamPrompt(tokens=tokens, source=variant.with_front(plan.source), adapter=variant.name)

    def _search(self, plan: PlannedRequest, prompt: BeamPrompt, cancelled: Callable[[], bool]) -> list[Completion]:
        width, size = plan.request.num_beams, self._block_size
        shared = len(prompt.tokens) // size
        own = -(-(len(prompt.tokens) + plan.max_tokens) // size) - shared
        with closing(self._make_runner((shared + width * (own + 1)) * size)) as runner:
            beams = RunnerBeams(runner, prompt)
            search = BeamSearch(plan, self._tokenizer, self._stop_ids, self._num_tokens)
            return search.run(beams, beams.read(), cancelled=cancelled)


class RunnerBeams:
    """The `BeamState` of a runner: sequences of equal length, one for each row.

    Args:
        runner: runner for this search alone.
        prompt: the prompt, which is not read yet.
    """

    def __init__(self, runner: Runner, prompt: BeamPrompt) -> None:
        self._runner, self._prompt = runner, prompt
        self._pool = BlockPool(runner.num_blocks, runner.block_size)
        self._tables: list[list[int]] = [self._take(-(-len(prompt.tokens) // runner.block_size))]
        self._length = 0  # length of each

    def read(self) -> Float32s:
        """Read the prompt; (1, V) logits of the first token."""
        tokens = self._prompt.tokens
        while self._length < len(tokens):
            part = tokens[self._length : self._length + _PART]
            logits = self._forward([part], int(self._length + len(part) == len(tokens)))
        return logits

    def advance(self, tokens: Sequence[int]) -> Float32s:
        """Read one more token for each row; (B, V) logits of the next."""
        copies = self._last_blocks()
        return self._forward([(token,) for token in tokens], 1, copies)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order."""
        chosen = [list(self._tables[row]) for row in rows]
        for block in (block for table in chosen for block in table):
            self._pool.share(block)
        for table in self._tables:
            self._pool.release(table)
        self._tables = chosen

    def _last_blocks(self) -> list[tuple[int, int]]:
        """Give every row an unshared block for the next token; returns the copies that this needs."""
        copies = []
        for table in self._tables:
            if self._length % self._runner.block_size == 0:
                table.extend(self._take(1))
            elif self._pool.holders(table[-1]) > 1:
                (own,) = self._take(1)
                copies.append((table[-1], own))
                self._pool.release(table[-1:])
                table[-1] = own
        return copies

    def _take(self, count: int) -> list[int]:
        blocks = self._pool.take(count)
        assert blocks is not None, "a search has a block for everything it can need"
        return blocks

    def _forward(
        self, parts: Sequence[tuple[int, ...]], num_logits: int, copies: Sequence[tuple[int, int]] = ()
    ) -> Float32s:
        rows = tuple(
            ForwardRow(
                tokens=part,
                start=self._length,
                blocks=tuple(table),
                num_logits=num_logits,
                source=self._prompt.source,
                adapter=self._prompt.adapter,
            )
            for part, table in zip(parts, self._tables, strict=True)
        )
        logits = self._runner.forward(ForwardBatch(rows=rows, copies=tuple(copies)))
        self._length += len(parts[0])
        return logits
