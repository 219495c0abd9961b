"""HumanEval (Chen et al. 2021) and MBPP (Austin et al. 2021): programs that run their tests in a sandbox.

The caller passes the sandbox, so these functions start no program that the caller did not allow.  The other functions
of both benchmarks are pure: `lavra.evaluation.benchmarks.humaneval.programs` and `.mbpp.programs` have them.
"""

from __future__ import annotations

from collections.abc import Sequence

from lavra.evaluation.sandbox.recorded import RecordedSandbox
from lavra.evaluation.sandbox.run import CodeToRun
from lavra.metrics.pass_at_k import pass_at_k as estimate


def pass_at_k(
    *, references: Sequence[str], predictions: Sequence[Sequence[str]], k: int | Sequence[int], sandbox: RecordedSandbox
) -> dict[str, float]:
    """Compute `pass@k` of one problem, for each k.

    Args:
        references: tests of the problem.
        predictions: programs written for the problem.
        k: numbers of programs that may be tried.
        sandbox: sandbox in which the programs run.

    Raises:
        InputError: fewer programs than `k` were written.
    """
    (tests,), (programs,) = references, predictions
    passed = sandbox.passes([CodeToRun(solution=program, tests=tests) for program in programs])
    counts = [k] if isinstance(k, int) else k
    return {f"pass@{most}": estimate(len(passed), sum(passed), most) for most in counts}


def pass_at_1(
    *, references: Sequence[str], predictions: Sequence[str | Sequence[str]], sandbox: RecordedSandbox
) -> float:
    """Compute the share of one problem's programs that pass.

    Args:
        references: tests of the problem.
        predictions: program or programs written for the problem.
        sandbox: sandbox in which the programs run.
    """
    (written,) = predictions
    programs = [written] if isinstance(written, str) else written
    return pass_at_k(references=references, predictions=[programs], k=1, sandbox=sandbox)["pass@1"]


def list_fewshot_samples() -> list[dict[str, object]]:
    """The three examples of MBPP's paper, tasks 2 to 4, in lm-evaluation-harness' wording."""
    return [dict(example) for example in _EXAMPLES]


_EXAMPLES = (
    {
        "task_id": 2,
        "text": "Write a function to find the similar elements from the given two tuple lists.",
        "code": "def similar_elements(test_tup1, test_tup2):\r\n  res = tuple(set(test_tup1) & set(test_tup2))\r\n"
        "  return (res) ",
        "test_list": [
            "assert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)",
            "assert similar_elements((1, 2, 3, 4),(5, 4, 3, 7)) == (3, 4)",
            "assert similar_elements((11, 12, 14, 13),(17, 15, 14, 13)) == (13, 14)",
        ],
        "is_fewshot": True,
    },
    {
        "task_id": 3,
        "text": "Write a python function to identify non-prime numbers.",
        "code": "import math\r\ndef is_not_prime(n):\r\n    result = False\r\n"
        "    for i in range(2,int(math.sqrt(n)) + 1):\r\n        if n % i == 0:\r\n            result = True\r\n"
        "    return result",
        "test_list": [
            "assert is_not_prime(2) == False",
            "assert is_not_prime(10) == True",
            "assert is_not_prime(35) == True",
        ],
        "is_fewshot": True,
    },
    {
        "task_id": 4,
        "text": "Write a function to find the largest integers from a given list of numbers using "
        "heap queue algorithm.",
        "code": "import heapq as hq\r\ndef heap_queue_largest(nums,n):\r\n  largest_nums = hq.nlargest(n, nums)\r\n"
        "  return largest_nums",
        "test_list": [
            "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],3)==[85, 75, 65] ",
            "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],2)==[85, 75] ",
            "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],5)==[85, 75, 65, 58, 35]",
        ],
        "is_fewshot": True,
    },
)
