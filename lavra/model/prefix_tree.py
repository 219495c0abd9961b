"""Texts that begin the same, laid out so that a decoder reads the shared beginnings once; numbers only, no torch.

Texts are put into a radix tree.  It is read as *rows*: a row holds a subtree, each token seeing its own ancestors only,
such as one question with its four choices.  The common beginning of many rows, such as the examples in front of all
questions of a subject, is a *trunk*: it is read once, and its keys and values stand before every row below it (as in
Hydragen, Juravsky et al. 2024, arXiv:2402.05099, and in the prefix trees of SGLang, Zheng et al. 2023,
arXiv:2312.07104).

The cost decides between rows and trunks: tokens read, and pairs attended to.  Each text is in exactly one row, behind
the trunks above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Int64s

TokenTexts = Sequence[Int64s]

# Costs in units of one token through a layer's matrices.
_KEY: Final = 6e-4  # cost of each key that a token attends to: 2 H C of some 3.5 million numbers, at half the speed
_REPEATED: Final = 0.02  # cost of each key of a trunk, copied for every row behind it
_ROW: Final = 2.0  # cost of a row
_TRUNK: Final = 24.0  # cost of a trunk: a separate pass with one row
_DEEPEST: Final = 48  # branchings below one another; texts that go on branching are read one by one


@dataclass(kw_only=True)
class TreeRow:
    """Tokens read at once behind a trunk.

    Attributes:
        tokens: (T,) ids.
        positions: (T,) each token's place in its texts.
        sees: (T, T) True where a token is the other or comes after it in a text; `None` for a single text.
        columns: for each text's number, the columns of its tokens behind the trunk, in order.
    """

    tokens: Int64s
    positions: Int64s
    sees: npt.NDArray[np.bool_] | None
    columns: dict[int, Int64s]


@dataclass(kw_only=True)
class Trunk:
    """The common beginning of texts, and the rows and trunks behind it.

    Attributes:
        row: tokens of the trunk, read once, behind the trunks above; `None` for the root, which is empty.
        length: number of tokens from the beginning of the texts to its end.
        rows: rows behind it.
        trunks: trunks that continue it.
    """

    row: TreeRow | None
    length: int
    rows: list[TreeRow] = field(default_factory=list)
    trunks: list[Trunk] = field(default_factory=list)


def plan_prefixes(texts: TokenTexts, *, longest_row: int, longest_trunk: int) -> Trunk:
    """Plan the reading of texts, no two of them equal.

    Args:
        texts: (N,) ids each, at least one.
        longest_row: most tokens of several texts in one row; a single text may have more.
        longest_trunk: most tokens whose keys and values are kept.

    Returns:
        The root of the tree.
    """
    order = sorted(range(len(texts)), key=lambda number: texts[number].tolist())
    root = Trunk(row=None, length=0)
    if not order:
        return root
    shared = [_shared(texts[a], texts[b]) for a, b in pairwise(order)]
    planner = _Planner(texts, longest_row, longest_trunk)
    for node in _branch(texts, order, shared, 0, 0):
        planner.lay_out(node, root, 0)
    return root


def _shared(a: Int64s, b: Int64s) -> int:
    """The number of tokens at the beginning that two texts share."""
    least = min(len(a), len(b))
    differs = np.flatnonzero(a[:least] != b[:least])
    return int(differs[0]) if len(differs) else least


@dataclass(eq=False)
class _Node:
    """Tokens `start` to `end` that all texts below share; `whole` are the texts that end with it."""

    text: int
    start: int
    end: int
    children: list[_Node] = field(default_factory=list)
    ends_here: int | None = None
    size: int = 0  # tokens of the subtree
    members: list[int] = field(default_factory=list)  # texts of the subtree

    def __post_init__(self) -> None:
        self.size = self.end - self.start + sum(child.size for child in self.children)
        own = [] if self.ends_here is None else [self.ends_here]
        self.members = own + [text for child in self.children for text in child.members]


def _branch(texts: TokenTexts, order: Sequence[int], shared: Sequence[int], start: int, level: int) -> list[_Node]:
    """The subtrees of sorted texts that are equal up to `start`."""
    if level > _DEEPEST:
        return [_Node(text, start, len(texts[text]), ends_here=text) for text in order]
    nodes, first = [], 0
    for place in range(1, len(order) + 1):
        if place < len(order) and shared[place - 1] > start:
            continue
        nodes.append(_subtree(texts, order[first:place], shared[first : place - 1], start, level))
        first = place
    return nodes


def _subtree(texts: TokenTexts, order: Sequence[int], shared: Sequence[int], start: int, level: int) -> _Node:
    """The subtree of texts that agree on the token at `start`, or of a text that ends there."""
    head = order[0]
    if len(order) == 1:
        return _Node(head, start, len(texts[head]), ends_here=head)
    end = min(shared)
    if len(texts[head]) > end:
        return _Node(head, start, end, _branch(texts, order, shared, end, level + 1))
    return _Node(head, start, end, _branch(texts, order[1:], shared[1:], end, level + 1), ends_here=head)


class _Planner:
    """Chooses rows and trunks."""

    def __init__(self, texts: TokenTexts, longest_row: int, longest_trunk: int) -> None:
        self.texts, self.longest_row, self.longest_trunk = texts, longest_row, longest_trunk
        self._costs: dict[tuple[int, int, int], float] = {}

    def lay_out(self, node: _Node, trunk: Trunk, carried: int) -> None:
        """Put a subtree behind a trunk; `carried` tokens stand between the two, in every row anew."""
        way = self._choose(node, trunk.length, carried)
        if way == "row":
            trunk.rows.append(self._row(node, trunk.length))
        elif way == "trunk":
            below = Trunk(row=self._trunk_row(node, trunk.length), length=node.end)
            trunk.trunks.append(below)
            for child in node.children:
                self.lay_out(child, below, 0)
        else:
            if node.ends_here is not None:
                alone = _Node(node.text, node.start, node.end, ends_here=node.ends_here)
                trunk.rows.append(self._row(alone, trunk.length))
            for child in node.children:
                self.lay_out(child, trunk, carried + node.end - node.start)

    def _choose(self, node: _Node, past: int, carried: int) -> str:
        ways = {"row": self._as_row, "trunk": self._as_trunk, "apart": self._apart}
        costs = {name: cost(node, past, carried) for name, cost in ways.items()}
        return min(costs, key=lambda name: costs[name])

    def _cost(self, node: _Node, past: int, carried: int) -> float:
        key = (id(node), past, carried)
        if key not in self._costs:
            ways = (self._as_row, self._as_trunk, self._apart)
            self._costs[key] = min(way(node, past, carried) for way in ways)
        return self._costs[key]

    def _as_row(self, node: _Node, past: int, carried: int) -> float:
        tokens = carried + node.size
        if node.children and tokens > self.longest_row:
            return float("inf")
        return _row_cost(tokens, past)

    def _as_trunk(self, node: _Node, past: int, carried: int) -> float:
        tokens = carried + node.end - node.start
        if not node.children or tokens < _TRUNK or node.end > self.longest_trunk:
            return float("inf")
        return _row_cost(tokens, past) + _TRUNK + sum(self._cost(child, node.end, 0) for child in node.children)

    def _apart(self, node: _Node, past: int, carried: int) -> float:
        if not node.children:
            return float("inf")
        carried += node.end - node.start
        own = 0.0 if node.ends_here is None else _row_cost(carried, past)
        return own + sum(self._cost(child, past, carried) for child in node.children)

    def _trunk_row(self, node: _Node, past: int) -> TreeRow:
        tokens = self.texts[node.text][past : node.end]
        columns = np.arange(len(tokens))
        return TreeRow(tokens=tokens, positions=columns + past, sees=None, columns=dict.fromkeys(node.members, columns))

    def _row(self, node: _Node, past: int) -> TreeRow:
        """The row of a subtree, with the tokens carried in front of it."""
        size = node.start - past + node.size
        made = TreeRow(
            tokens=np.empty(size, dtype=np.int64),
            positions=np.empty(size, dtype=np.int64),
            sees=np.zeros((size, size), dtype=np.bool_) if node.children else None,
            columns={},
        )
        self._fill(made, node, past, 0, np.zeros(0, dtype=np.int64))
        return made

    def _fill(self, row: TreeRow, node: _Node, start: int, column: int, before: Int64s) -> int:
        """Write a node's tokens from `start` on into columns from `column` on; the first column behind its subtree."""
        count = node.end - start
        own = np.arange(column, column + count)
        row.tokens[own] = self.texts[node.text][start : node.end]
        row.positions[own] = np.arange(start, node.end)
        if row.sees is not None:
            row.sees[column : column + count, before] = True
            row.sees[column : column + count, column : column + count] = np.tri(count, dtype=np.bool_)
        path = np.concatenate((before, own))
        if node.ends_here is not None:
            row.columns[node.ends_here] = path
        column += count
        for child in node.children:
            column = self._fill(row, child, child.start, column, path)
        return column


def _row_cost(tokens: int, past: int) -> float:
    return tokens + _KEY * tokens * (past + tokens) + _REPEATED * past + _ROW
