"""Documents whole: every format that `lavra.text` reads, each document in one piece with its pages and headings."""
