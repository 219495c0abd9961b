"""Floor 1: text in: every reader, the cleaner, duplicates, the split, and the corpus they make.

Documents flow one way: a source reads them, the normaliser gives them one spelling, filters drop some and give the
reasons, the duplicate index finds equal and nearly equal documents, and the split puts each cluster on one side.
`build_corpus` runs all of it.
"""
