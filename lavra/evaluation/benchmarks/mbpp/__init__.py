"""MBPP: task files, and beside them the Python that lm-evaluation-harness runs with them."""
