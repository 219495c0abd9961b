"""A runner without a model: its logits are a function of the tokens in its blocks.

Any mistake with blocks (a wrong block, an early overwrite, a missing copy) changes its input, and so its next token.
"""

from __future__ import annotations

import zlib

import numpy as np

EMPTY = -1


class ScriptedRunner:
    """The next token is a function of all the tokens before it."""

    def __init__(self, vocab_size, *, num_blocks=64, block_size=4, period=0):
        self.vocab_size, self.num_blocks, self.block_size, self.period = vocab_size, num_blocks, block_size, period
        self.cells = np.full((num_blocks, block_size), EMPTY, dtype=np.int64)
        self.batches = []
        self.closed = 0

    def forward(self, batch):
        self.batches.append(batch)
        for old, new in batch.copies:
            self.cells[new] = self.cells[old]
        written = set()
        for row in batch.rows:
            assert row.tokens
            assert len(row.blocks) * self.block_size >= row.start + len(row.tokens)
            for place, token in enumerate(row.tokens, row.start):
                cell = (row.blocks[place // self.block_size], place % self.block_size)
                assert cell not in written, f"two rows write {cell}"
                written.add(cell)
                self.cells[cell] = token
        logits = [self.after(row, end) for row in batch.rows for end in self.ends(row)]
        return np.array(logits, dtype=np.float32).reshape(-1, self.vocab_size)

    def ends(self, row):
        last = row.start + len(row.tokens)
        return range(last - row.num_logits + 1, last + 1)

    def after(self, row, end):
        read = self.cells[list(row.blocks)].reshape(-1)[:end]
        assert (read != EMPTY).all(), "a row reads what nobody has written"
        return self.logits(read.tolist())

    def logits(self, tokens):
        """Logits of the next token; with a period, texts repeat themselves and guesses are often right."""
        seen = tokens[-3:] if self.period else tokens
        seed = zlib.crc32(np.asarray(seen, dtype=np.int64).tobytes())
        rng = np.random.default_rng(seed % self.period if self.period else seed)
        return rng.standard_normal(self.vocab_size).astype(np.float32) * 3

    def close(self):
        self.closed += 1
