"""Conformance suite of the `Runner` port.

Subclass `RunnerConformance` in a test module (with a name starting with `Test`), define how to make the runner and
the logits of a whole text, and pytest tests what every runner owes the engine: logits do not depend on how a text is
cut into rows, where its blocks lie, which other texts and adapters are in the batch, or which pass computed its
beginning.

A runner whose arithmetic is the same whatever the batch sets `tolerance` to 0; its logits must then agree in every bit.
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError
from lavra.base.ports import ForwardBatch, ForwardRow, Runner


class RunnerConformance:
    """The contract of every `Runner`.

    Attributes:
        vocab_size: number of ids used, from 0 up.
        block_size: tokens in a block of the runners that are made.
        tolerance: largest difference allowed between two logits of the same position.
        source: ids that the encoder of an encoder-decoder reads; `None` for a decoder.
        adapters: names of the runner's adapters, each with the number of virtual tokens it puts in front of a text.
    """

    vocab_size: int = 64
    block_size: int = 4
    tolerance: float = 1e-4
    source: tuple[int, ...] | None = None
    adapters: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    def make_runner(self, num_blocks: int, block_size: int) -> Runner:
        """A runner over an empty cache."""
        raise NotImplementedError("a conformance suite says which runner it tests")

    def reference(self, tokens: tuple[int, ...]) -> Float32s:
        """(T, V) logits after each token of a text, computed in another way; it reads `source` where that is set."""
        raise NotImplementedError("a conformance suite says what the logits are")

    def adapted_reference(self, adapter: str, tokens: tuple[int, ...]) -> Float32s:
        """As `reference` with one of the adapters; the text begins with its virtual tokens."""
        raise NotImplementedError("a conformance suite says what the logits are with each of its adapters")

    def text(self, seed: int, length: int) -> tuple[int, ...]:
        """Random ids."""
        return tuple(int(one) for one in np.random.default_rng(seed).integers(0, self.vocab_size, length))

    def row(self, tokens: tuple[int, ...], start: int, blocks: list[int], num_logits: int) -> ForwardRow:
        """A row over exactly the blocks that it needs."""
        used = -(-(start + len(tokens)) // self.block_size)
        return ForwardRow(
            tokens=tokens, start=start, blocks=tuple(blocks[:used]), num_logits=num_logits, source=self.source
        )

    def read(self, runner: Runner, tokens: tuple[int, ...], cuts: list[int], blocks: list[int]) -> Float32s:
        """Read a text in parts and return all its logits."""
        edges = [0, *cuts, len(tokens)]
        parts = []
        for start, end in pairwise(edges):
            row = self.row(tokens[start:end], start, blocks, end - start)
            parts.append(runner.forward(ForwardBatch(rows=(row,))))
        return np.concatenate(parts)

    def same(self, ours: Float32s, theirs: Float32s) -> None:
        """Check that logits are equal within the tolerance."""
        assert ours.shape == theirs.shape
        assert ours.dtype == np.float32
        assert np.abs(ours - theirs).max(initial=0.0) <= self.tolerance

    def test_satisfies_the_protocol(self) -> None:
        runner = self.make_runner(8, self.block_size)
        assert isinstance(runner, Runner)
        assert (runner.num_blocks, runner.block_size) == (8, self.block_size)
        runner.close()

    def test_a_text_read_at_once(self) -> None:
        for length in (1, 3, 4, 5, 17):
            tokens = self.text(length, length)
            found = self.read(self.make_runner(8, self.block_size), tokens, [], list(range(8)))
            self.same(found, self.reference(tokens))

    def test_a_text_read_token_by_token(self) -> None:
        tokens = self.text(1, 14)
        found = self.read(self.make_runner(8, self.block_size), tokens, list(range(1, 14)), list(range(8)))
        self.same(found, self.reference(tokens))

    def test_a_text_read_in_any_parts(self) -> None:
        tokens = self.text(2, 19)
        rng = np.random.default_rng(2)
        for _ in range(8):
            cuts = sorted({int(one) for one in rng.integers(1, 19, 4)})
            found = self.read(self.make_runner(8, self.block_size), tokens, cuts, list(range(8)))
            self.same(found, self.reference(tokens))

    def test_blocks_may_lie_anywhere(self) -> None:
        tokens = self.text(3, 2 * self.block_size + 10)
        for seed in range(4):
            blocks = [int(one) for one in np.random.default_rng(seed).permutation(16)]
            found = self.read(self.make_runner(16, self.block_size), tokens, [7, 8], blocks)
            self.same(found, self.reference(tokens))

    def test_blocks_used_before_leave_no_trace(self) -> None:
        runner = self.make_runner(8, self.block_size)
        self.read(runner, self.text(4, 30), [], list(range(8)))
        tokens = self.text(5, 9)
        self.same(self.read(runner, tokens, [2], [5, 1, 7]), self.reference(tokens))

    def test_company_does_not_matter(self) -> None:
        """Read prompts, parts of prompts and single tokens of several texts in each pass."""
        runner = self.make_runner(64, self.block_size)
        rng = np.random.default_rng(6)
        texts = [self.text(10 + number, length) for number, length in enumerate((20, 9, 13, 1, 16))]
        places = [int(one) for one in rng.permutation(64)]
        blocks = [places[number * 8 : number * 8 + 8] for number in range(len(texts))]
        done = [0] * len(texts)
        found: list[list[Float32s]] = [[] for _ in texts]
        while any(position < len(text) for position, text in zip(done, texts, strict=True)):
            rows, who = [], []
            for number, text in enumerate(texts):
                count = min(int(rng.choice([0, 1, 1, 1, 3, 6])), len(text) - done[number])
                if count:
                    rows.append(
                        self.row(text[done[number] : done[number] + count], done[number], blocks[number], count)
                    )
                    who.append(number)
                    done[number] += count
            if not rows:
                continue
            logits, first = runner.forward(ForwardBatch(rows=tuple(rows))), 0
            for row, number in zip(rows, who, strict=True):
                found[number].append(logits[first : first + row.num_logits])
                first += row.num_logits
        for text, parts in zip(texts, found, strict=True):
            self.same(np.concatenate(parts), self.reference(text))

    def test_only_the_logits_asked_for(self) -> None:
        runner = self.make_runner(8, self.block_size)
        tokens = self.text(7, 11)
        silent = runner.forward(ForwardBatch(rows=(self.row(tokens[:6], 0, list(range(8)), 0),)))
        assert silent.shape[0] == 0
        last = runner.forward(ForwardBatch(rows=(self.row(tokens[6:], 6, list(range(8)), 2),)))
        self.same(last, self.reference(tokens)[-2:])

    def test_a_prefix_computed_for_another_text(self) -> None:
        runner = self.make_runner(16, self.block_size)
        common = self.text(8, 2 * self.block_size)
        first, second = common + self.text(9, 5), common + self.text(10, 6)
        self.read(runner, first, [], [3, 5, 7, 9])
        row = self.row(second[len(common) :], len(common), [3, 5, 11, 13], 6)
        self.same(runner.forward(ForwardBatch(rows=(row,))), self.reference(second)[len(common) :])

    def test_a_copied_block_goes_its_own_way(self) -> None:
        runner = self.make_runner(16, self.block_size)
        common = self.text(11, self.block_size + 2)
        begun = len(common)
        first, second = common + self.text(12, 5), common + self.text(13, 5)
        self.read(runner, common, [], [0, 1])
        rows = (self.row(first[begun:], begun, [0, 1, 2], 5), self.row(second[begun:], begun, [0, 9, 10], 5))
        found = runner.forward(ForwardBatch(rows=rows, copies=((1, 9),)))
        self.same(found[:5], self.reference(first)[begun:])
        self.same(found[5:], self.reference(second)[begun:])

    def test_wrong_guesses_are_overwritten(self) -> None:
        """Read a row of guesses, then another from the same start, as speculation does."""
        runner = self.make_runner(8, self.block_size)
        tokens = self.text(14, 12)
        self.read(runner, tokens[:5], [], list(range(8)))
        runner.forward(ForwardBatch(rows=(self.row(self.text(15, 6), 5, list(range(8)), 6),)))
        found = runner.forward(ForwardBatch(rows=(self.row(tokens[5:], 5, list(range(8)), 7),)))
        self.same(found, self.reference(tokens)[5:])

    def test_an_unknown_adapter_is_refused_before_anything_is_written(self) -> None:
        runner = self.make_runner(8, self.block_size)
        tokens, blocks = self.text(16, 6), list(range(8))
        self.read(runner, tokens[:5], [], blocks)
        rows = (
            self.row(self.text(17, 5), 0, blocks, 1),
            replace(self.row(self.text(18, 1), 0, [7], 1), adapter="nobody"),
        )
        try:
            runner.forward(ForwardBatch(rows=rows))
        except InputError as error:
            assert "nobody" in str(error)  # noqa: PT017 - pytest is not a dependency of this package
        else:
            raise AssertionError("a row that names an unknown adapter was computed")
        found = runner.forward(ForwardBatch(rows=(self.row(tokens[5:], 5, blocks, 1),)))
        self.same(found, self.reference(tokens)[5:])

    def test_rows_have_the_adapter_they_name(self) -> None:
        """Read with every adapter and without, twice each, prompts in parts and single tokens, in the same cache."""
        names = [None, *self.adapters] * 2
        runner = self.make_runner(8 * len(names), self.block_size)
        rng = np.random.default_rng(19)
        texts = [(self.adapters[name] if name else ()) + self.text(20 + n, 8) for n, name in enumerate(names)]
        done = [0] * len(names)
        found: list[list[Float32s]] = [[] for _ in names]
        while any(position < len(text) for position, text in zip(done, texts, strict=True)):
            rows, who = [], []
            for number in [int(one) for one in rng.permutation(len(names))]:
                start, text = done[number], texts[number]
                count = min(int(rng.choice([0, 1, 1, 3, 5])), len(text) - start)
                if count:
                    blocks = list(range(8 * number, 8 * number + 8))
                    row = self.row(text[start : start + count], start, blocks, count)
                    rows.append(replace(row, adapter=names[number]))
                    who.append(number)
                    done[number] += count
            if not rows:
                continue
            logits, first = runner.forward(ForwardBatch(rows=tuple(rows))), 0
            for row, number in zip(rows, who, strict=True):
                found[number].append(logits[first : first + row.num_logits])
                first += row.num_logits
        for name, text, parts in zip(names, texts, found, strict=True):
            expected = self.adapted_reference(name, text) if name else self.reference(text)
            self.same(np.concatenate(parts), expected)
