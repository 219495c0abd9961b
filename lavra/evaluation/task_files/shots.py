"""Examples before a question: the same rows as lm-evaluation-harness draws, in the same order.

One random sequence serves a task's rows one after the other (`random.Random(1234)`), so the examples of row 7 depend on
the draws for rows 0 to 6.  The examples of a row are drawn on demand, after all earlier draws; all draws are kept.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from lavra.base.errors import ConfigError

SEED = 1234
_Row = Mapping[str, Any]


class Shots:
    """The examples of each row.

    Args:
        pool: rows from which examples are drawn.
        count: number of examples before each question.
        sampler: `default` draws at random, `first_n` takes the first.
        asked: the asked rows, if an example must not equal the row that it stands before; empty if that is not
            checked.
        seed: fixes the draws.
        task: name of the task, for errors.

    Raises:
        ConfigError: the pool is too small.
    """

    def __init__(
        self,
        pool: Sequence[_Row],
        count: int,
        sampler: str,
        asked: Sequence[_Row],
        *,
        seed: int = SEED,
        task: str = "",
    ) -> None:
        needed = count + (1 if asked and sampler == "default" else 0)
        if count and len(pool) < needed:
            raise ConfigError(
                f"task {task!r}: {count} examples are asked for and need {needed} rows to choose from; there are "
                f"{len(pool)}: ask for fewer (num_fewshot)"
            )
        self.pool, self.count, self.sampler, self.asked, self.task = pool, count, sampler, asked, task
        self._random = random.Random(seed)
        self._drawn: list[list[_Row]] = []

    def of(self, doc_id: int) -> list[_Row]:
        """The examples of a row, in order."""
        if not self.count:
            return []
        if self.sampler == "first_n":
            return self._first(doc_id)
        while len(self._drawn) <= doc_id:
            self._drawn.append(self._draw(len(self._drawn)))
        return self._drawn[doc_id]

    def _first(self, doc_id: int) -> list[_Row]:
        if not self.asked:
            return list(self.pool[: self.count])
        others = [row for row in self.pool if row != self.asked[doc_id]]
        self._check(others)
        return others[: self.count]

    def _draw(self, doc_id: int) -> list[_Row]:
        if not self.asked:
            return self._random.sample(self.pool, self.count)
        own = self.asked[doc_id]
        drawn = [row for row in self._random.sample(self.pool, self.count + 1) if row != own][: self.count]
        if len(drawn) < self.count:  # the pool has the row several times
            others = [row for row in self.pool if row != own]
            self._check(others)
            drawn = self._random.sample(others, self.count)
        return drawn

    def _check(self, others: Sequence[_Row]) -> None:
        if len(others) < self.count:
            raise ConfigError(
                f"task {self.task!r}: {self.count} examples are asked for, and {len(others)} rows differ from the row "
                "asked about: ask for fewer (num_fewshot)"
            )
