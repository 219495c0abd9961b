"""The suite of runners: the scripted one passes, and each broken variant fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lavra.base.errors import InputError
from lavra.testing.runner import RunnerConformance
from tests.engine.scripted import ScriptedRunner
from tests.testing.suites import check


class ToyRunner(ScriptedRunner):
    """The scripted runner, which refuses adapters here because it has none."""

    def forward(self, batch):
        named = [row.adapter for row in batch.rows if row.adapter is not None]
        if named:
            raise InputError(f"there is no adapter {named[0]!r}")
        return ScriptedRunner.forward(self, batch)


class WithRunner(RunnerConformance):
    tolerance = 0.0

    def __init__(self, kind=ToyRunner):
        self.kind = kind

    def make_runner(self, num_blocks, block_size):
        return self.kind(self.vocab_size, num_blocks=num_blocks, block_size=block_size)

    def reference(self, tokens):
        right = ToyRunner(self.vocab_size)
        return np.array([right.logits(list(tokens[: end + 1])) for end in range(len(tokens))])


class AfterTheFact(ToyRunner):
    """Refuses an unknown adapter only after everything is written."""

    def forward(self, batch):
        logits = ScriptedRunner.forward(self, batch)
        ToyRunner.forward(self, replace(batch, rows=tuple(row for row in batch.rows if row.adapter), copies=()))
        return logits


class NoCopies(ToyRunner):
    def forward(self, batch):
        return ToyRunner.forward(self, replace(batch, copies=()))


class OneRow(ToyRunner):
    """Every row reads the blocks of the first."""

    def forward(self, batch):
        rows = tuple(replace(row, blocks=batch.rows[0].blocks) for row in batch.rows[:1]) + batch.rows[1:]
        found = ToyRunner.forward(self, replace(batch, rows=rows))
        return found if len(batch.rows) == 1 else found[::-1]


class AllLogits(ToyRunner):
    def ends(self, row):
        return range(row.start + 1, row.start + len(row.tokens) + 1)


class InOrder(ToyRunner):
    """Assumes that blocks follow one another from the first."""

    def forward(self, batch):
        rows = tuple(replace(row, blocks=tuple(range(len(row.blocks)))) for row in batch.rows)
        return ToyRunner.forward(self, replace(batch, rows=rows))


class Appending(ToyRunner):
    """Never overwrites a cell: neither in reused blocks nor after wrong guesses."""

    def forward(self, batch):
        before = self.cells.copy()
        ToyRunner.forward(self, batch)
        self.cells = np.where(before == -1, self.cells, before)
        return ToyRunner.forward(self, replace(batch, rows=())) if not batch.rows else self.again(batch)

    def again(self, batch):
        logits = [self.after(row, end) for row in batch.rows for end in self.ends(row)]
        return np.array(logits, dtype=np.float32).reshape(-1, self.vocab_size)


class ByRow(ToyRunner):
    """A row reads its own new tokens only, not earlier ones."""

    def after(self, row, end):
        return self.logits(list(row.tokens[: end - row.start]))


class Wide(ToyRunner):
    def forward(self, batch):
        return ToyRunner.forward(self, batch).astype(np.float64)


class NoRunner(ToyRunner):
    close = None
    forward = None


def test_runners():
    broken = {
        "after the fact": (
            lambda: WithRunner(AfterTheFact),
            {"an_unknown_adapter_is_refused_before_anything_is_written"},
        ),
        "no copies": (lambda: WithRunner(NoCopies), {"a_copied_block_goes_its_own_way"}),
        "one row": (lambda: WithRunner(OneRow), {"company_does_not_matter", "rows_have_the_adapter_they_name"}),
        "all logits": (lambda: WithRunner(AllLogits), {"only_the_logits_asked_for"}),
        "in order": (lambda: WithRunner(InOrder), {"company_does_not_matter"}),
        "appending": (
            lambda: WithRunner(Appending),
            {"blocks_used_before_leave_no_trace", "wrong_guesses_are_overwritten"},
        ),
        "by row": (
            lambda: WithRunner(ByRow),
            {
                "a_text_read_token_by_token",
                "a_text_read_in_any_parts",
                "blocks_may_lie_anywhere",
                "a_prefix_computed_for_another_text",
            },
        ),
        "wide": (lambda: WithRunner(Wide), {"a_text_read_at_once"}),
        "no runner": (lambda: WithRunner(NoRunner), {"satisfies_the_protocol"}),
    }
    check(WithRunner(), broken)
