"""The blocks of the key-value cache: the number of holders of each, and the published prefixes in them.

A block holds `block_size` positions of one or several sequences that begin the same.  A full block is *published*
under the hash of all tokens up to its end, so a later prompt that begins with them takes it instead of computing it
(Kwon et al. 2023, "PagedAttention", arXiv:2309.06180, sections 4.3 and 4.4).  A released block keeps its content until
it is needed: free blocks are reused oldest first, unpublished blocks before published blocks.

Numbers only: the bytes are the runner's.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np


def chain_hash(before: bytes, tokens: Sequence[int]) -> bytes:
    """The hash of a block's tokens and of everything before them."""
    return hashlib.blake2b(before + np.asarray(tokens, dtype=np.int64).tobytes(), digest_size=16).digest()


class BlockPool:
    """Reference-counted blocks.

    Args:
        num_blocks: number of blocks.
        block_size: positions in a block.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks, self.block_size = num_blocks, block_size
        self._holders = [0] * num_blocks
        self._hash_of: list[bytes | None] = [None] * num_blocks
        self._by_hash: dict[bytes, int] = {}
        self._blank = list(range(num_blocks - 1, -1, -1))  # free, without useful content
        self._kept: OrderedDict[int, None] = OrderedDict()  # free, published, the longest unused first

    @property
    def num_free(self) -> int:
        """Number of blocks without a holder."""
        return len(self._blank) + len(self._kept)

    def holders(self, block: int) -> int:
        """Number of sequences that hold a block."""
        return self._holders[block]

    def take(self, count: int) -> list[int] | None:
        """Take `count` blocks for a new holder; `None` (and no block taken) if there are fewer."""
        if count > self.num_free:
            return None
        return [self._take_one() for _ in range(count)]

    def _take_one(self) -> int:
        if self._blank:
            block = self._blank.pop()
        else:
            block, _ = self._kept.popitem(last=False)
            self._forget(block)
        self._holders[block] = 1
        return block

    def find(self, hashes: Sequence[bytes]) -> list[int]:
        """Blocks of the longest published prefix, with a holder added to each."""
        found = []
        for one in hashes:
            block = self._by_hash.get(one)
            if block is None:
                break
            self.share(block)
            found.append(block)
        return found

    def num_published(self, hashes: Sequence[bytes]) -> int:
        """Number of blocks of the longest published prefix."""
        return next((place for place, one in enumerate(hashes) if one not in self._by_hash), len(hashes))

    def share(self, block: int) -> None:
        """Add a holder; a free published block is taken back into use."""
        if self._holders[block] == 0:
            del self._kept[block]
        self._holders[block] += 1

    def publish(self, block: int, content: bytes) -> None:
        """Make a full block findable by its content; of blocks with equal content the first stays findable."""
        if content not in self._by_hash and self._hash_of[block] is None:
            self._by_hash[content] = block
            self._hash_of[block] = content

    def release(self, blocks: Sequence[int]) -> None:
        """Remove a holder of each block; a sequence's last blocks are reused first, since prefixes are shared."""
        for block in reversed(blocks):
            assert self._holders[block] > 0, f"block {block} is released by nobody"
            self._holders[block] -= 1
            if self._holders[block]:
                continue
            if self._hash_of[block] is None:
                self._blank.append(block)
            else:
                self._kept[block] = None

    def _forget(self, block: int) -> None:
        content = self._hash_of[block]
        if content is not None:
            del self._by_hash[content]
            self._hash_of[block] = None
