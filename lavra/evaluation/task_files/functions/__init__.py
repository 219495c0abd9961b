"""Pure functions of benchmarks, in place of the Python beside their task files: a module a benchmark.

`table` says which function of which file each one stands for.  A function takes a row, rows, answers or values and
returns plain data; it draws no random numbers and touches no file and no network.
"""
