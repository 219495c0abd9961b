"""pass@k: the chance that at least one of k programs that a model writes for a problem passes the problem's tests.

From n programs of which c pass, 1 - C(n-c, k) / C(n, k) is unbiased (Chen et al. 2021, "Evaluating Large Language
Models Trained on Code", eq. 1), where 1 - (1 - c/n)^k is not.  It is computed as their product of n-c terms near 1,
so that no binomial overflows.
"""

from __future__ import annotations

import numpy as np

from lavra.base.errors import InputError


def pass_at_k(num_programs: int, num_passed: int, k: int) -> float:
    """The estimate for one problem, 0 to 1; the score of a benchmark is the mean over its problems.

    Args:
        num_programs: programs written for the problem (n).
        num_passed: programs that pass (c).
        k: number of programs to try.

    Raises:
        InputError: `k` is not from 1 to n, or c not from 0 to n.
    """
    if not 1 <= k <= num_programs:
        raise InputError(f"pass@{k} of {num_programs} programs is not defined; write at least {max(k, 1)} per problem")
    if not 0 <= num_passed <= num_programs:
        raise InputError(f"{num_passed} of {num_programs} programs passed; give a number from 0 to {num_programs}")
    failed = num_programs - num_passed
    if failed < k:
        return 1.0  # any k programs hold one that passes
    # C(n-c, k) / C(n, k) = product over i = n-c+1 .. n of (1 - k/i)
    return float(1.0 - np.prod(1.0 - k / np.arange(failed + 1, num_programs + 1)))
