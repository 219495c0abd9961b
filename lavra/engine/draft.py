"""Guess the next tokens with a smaller model (Leviathan et al. 2023, arXiv:2211.17192; Chen et al. 2023).

The small model writes a few tokens greedily, the large model reads them all in one pass and keeps the tokens it would
have chosen itself.  Here a guess is right if it equals the chosen token (greedy, or drawn with the request's own
random number), so no text changes and no correction is needed.

Deliberately absent: guessing for several sequences in one pass of the small model, and trees of guesses.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lavra.base.errors import ConfigError
from lavra.base.ports import ForwardBatch, ForwardRow, Runner
from lavra.engine.blocks import BlockPool

logger = logging.getLogger(__name__)


class DraftModel:
    """A small model's runner and the blocks of its own cache; used by the engine's thread.

    Args:
        runner: runner of the small model; closed with it.
        most: tokens guessed at once.

    Raises:
        ConfigError: the settings would never guess a token.
    """

    def __init__(self, runner: Runner, *, most: int = 4) -> None:
        if most < 1:
            raise ConfigError(f"a draft model cannot guess {most} tokens; give 1 or more, usually 4")
        self._runner, self.most = runner, most
        self._pool = BlockPool(runner.num_blocks, runner.block_size)

    def guesser(self) -> DraftGuesser:
        """A guesser for one sequence."""
        return DraftGuesser(self._runner, self._pool, self.most)

    @property
    def num_free(self) -> int:
        """Number of blocks without a holder."""
        return self._pool.num_free

    def close(self) -> None:
        """Close its runner."""
        self._runner.close()


class DraftGuesser:
    """The small model's state for one sequence."""

    def __init__(self, runner: Runner, pool: BlockPool, most: int) -> None:
        self._runner, self._pool, self._most = runner, pool, most
        self._blocks: list[int] = []
        self._read: list[int] = []  # tokens whose keys and values are in the blocks

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """The next tokens by the small model; an empty list if its cache has no room."""
        count = min(most, self._most)
        if count < 1 or not self._make_room(len(tokens) + count):
            return []
        try:
            return self._write(tokens, count)
        except Exception:
            logger.exception("the draft model failed; this pass goes on without its guesses")
            self._read = []
            return []

    def _write(self, tokens: Sequence[int], count: int) -> list[int]:
        self._forget_wrong(tokens)
        guesses: list[int] = []
        unread = list(tokens[len(self._read) :])
        while len(guesses) < count:
            guesses.append(self._next(unread))
            unread = guesses[-1:]
        return guesses

    def close(self) -> None:
        """Release the blocks."""
        self._pool.release(self._blocks)
        self._blocks, self._read = [], []

    def _forget_wrong(self, tokens: Sequence[int]) -> None:
        """Drop read tokens that differ from the written tokens; at least one token is left to read."""
        same = 0
        while same < min(len(self._read), len(tokens) - 1) and self._read[same] == tokens[same]:
            same += 1
        del self._read[same:]

    def _next(self, unread: Sequence[int]) -> int:
        row = ForwardRow(tokens=tuple(unread), start=len(self._read), blocks=tuple(self._blocks), num_logits=1)
        logits = self._runner.forward(ForwardBatch(rows=(row,)))
        self._read.extend(unread)
        return int(logits[0].argmax())

    def _make_room(self, length: int) -> bool:
        missing = -(-length // self._pool.block_size) - len(self._blocks)
        taken = self._pool.take(max(0, missing))
        if taken is None:
            return False
        self._blocks.extend(taken)
        return True
