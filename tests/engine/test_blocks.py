"""The block pool against a naive record of holders."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lavra.engine.blocks import BlockPool, chain_hash

NUM_BLOCKS = 6


class PoolMachine(RuleBasedStateMachine):
    """Random holders take, find, share, publish and release blocks; a dictionary has the expected state."""

    def __init__(self):
        super().__init__()
        self.pool = BlockPool(NUM_BLOCKS, 4)
        self.held = []  # one list of blocks a holder
        self.content = {}  # hash -> block, as long as the block was not taken anew

    @rule(count=st.integers(0, NUM_BLOCKS))
    def take(self, count):
        free = self.pool.num_free
        blocks = self.pool.take(count)
        if count > free:
            assert blocks is None
            assert self.pool.num_free == free
            return
        assert len(set(blocks)) == count
        everybody = {block for one in self.held for block in one}
        assert not everybody & set(blocks)
        self.content = {key: block for key, block in self.content.items() if block not in blocks}
        self.held.append(blocks)

    @precondition(lambda self: any(self.held))
    @rule(data=st.data(), name=st.integers(0, 9))
    def publish(self, data, name):
        block = data.draw(st.sampled_from([block for one in self.held for block in one]))
        key = bytes([name])
        self.pool.publish(block, key)
        if key not in self.content and block not in self.content.values():
            self.content[key] = block

    @rule(names=st.lists(st.integers(0, 9), max_size=4, unique=True))
    def find(self, names):
        keys = [bytes([name]) for name in names]
        expected = []
        for key in keys:
            if key not in self.content:
                break
            expected.append(self.content[key])
        assert self.pool.find(keys) == expected
        self.held.append(expected)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data):
        place = data.draw(st.integers(0, len(self.held) - 1))
        self.pool.release(self.held.pop(place))

    @invariant()
    def counts_agree(self):
        holders = [sum(block in one for one in self.held) for block in range(NUM_BLOCKS)]
        assert [self.pool.holders(block) for block in range(NUM_BLOCKS)] == holders
        assert self.pool.num_free == holders.count(0)
        for name in range(10):
            key = bytes([name])
            found = self.pool.find([key])
            assert found == ([self.content[key]] if key in self.content else [])
            self.pool.release(found)


TestPool = PoolMachine.TestCase


def test_unfindable_blocks_are_reused_before_findable_ones():
    pool = BlockPool(3, 4)
    first, second, third = pool.take(3)
    pool.publish(first, b"a")
    pool.publish(second, b"b")
    pool.release([first, second, third])
    assert pool.take(1) == [third]
    assert pool.take(1) == [second]  # the last block of a sequence before the one its prefix is in
    assert pool.find([b"a"]) == [first]


def test_a_hash_knows_everything_before():
    one = chain_hash(b"", [1, 2])
    assert chain_hash(one, [3, 4]) != chain_hash(b"", [3, 4])
    assert chain_hash(one, [3, 4]) == chain_hash(chain_hash(b"", [1, 2]), [3, 4])
    assert chain_hash(b"other model", [1, 2]) != one


def test_releasing_a_free_block_is_an_assertion_error():
    with pytest.raises(AssertionError, match="released by nobody"):
        BlockPool(2, 4).release([0])
