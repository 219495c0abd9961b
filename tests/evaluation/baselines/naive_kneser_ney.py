"""Modified Kneser-Ney with dictionaries, after Chen & Goodman (1999): the reference for the fast implementation.

A position is (token, neighbours), the neighbour dropped last first.
"""

from __future__ import annotations

from collections import Counter, defaultdict


class NaiveKneserNey:
    def __init__(self, positions, order, vocab_size):
        self.vocab_size, self.order = vocab_size, order
        grams = [Counter() for _ in range(order)]
        for token, neighbours in positions:
            grams[-1][(tuple(neighbours[: order - 1]), token)] += 1
        for n in range(order - 2, -1, -1):
            # continuation count: distinct (n+2)-grams that shorten to this (n+1)-gram
            for context, token in grams[n + 1]:
                grams[n][(context[:-1], token)] += 1
        self.counts = grams
        self.discounts = [self._discounts(counts) for counts in grams]
        self.by_context = []
        for counts in grams:
            table = defaultdict(dict)
            for (context, token), count in counts.items():
                table[context][token] = count
            self.by_context.append(table)

    @staticmethod
    def _discounts(counts):
        n = Counter(counts.values())
        if min(n[1], n[2], n[3], n[4]) == 0:
            return {1: 0.5, 2: 1.0, 3: 1.5}
        y = n[1] / (n[1] + 2 * n[2])
        d = {i: i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)}
        return d if min(d.values()) > 0 else {1: 0.5, 2: 1.0, 3: 1.5}

    def probability(self, token, neighbours):
        return self._at(self.order - 1, token, tuple(neighbours[: self.order - 1]))

    def _at(self, n, token, context):
        below = self._at(n - 1, token, context[:-1]) if n else 1 / self.vocab_size
        followers = self.by_context[n].get(context)
        if not followers:
            return below
        discount = self.discounts[n]
        total = sum(followers.values())
        count = followers.get(token, 0)
        freed = sum(discount[min(c, 3)] for c in followers.values()) / total
        kept = (count - discount[min(count, 3)]) / total if count else 0.0
        return kept + freed * below
