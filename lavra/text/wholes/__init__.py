"""Read whole documents: every format that `lavra.text` reads, each in one piece with its pages and headings."""
