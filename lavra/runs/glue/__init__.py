"""GLUE and SuperGLUE by finetuning: a fixed recipe, the benchmarks' own files, their official scores.

rows.py        the benchmarks' original files as rows
tasks.py       the nine and the eight tasks: files, rows, scores
scores.py      official scores of predicted rows, with the units that a bootstrap draws
finetuning.py  the recipe: train on at most 2,000 rows, predict the development set, score
"""
