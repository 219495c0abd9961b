"""JSON schemas made ready for a constraint: `prepare.prepare_schema` rewrites one exactly, or says why it cannot.

Pure Python; the library that walks grammars is known to `lavra.engine.constraints` alone.
"""
