"""Pure functions of benchmarks, which replace the Python beside their task files: one module for each benchmark.

`table` maps each function of a benchmark's file to the function that replaces it.  A function takes a row, rows,
answers or values and returns plain data; it draws no random numbers and uses no file and no network.
"""
