"""JSON schemas for a constraint: `prepare.prepare_schema` rewrites a schema exactly, or refuses it with a reason.

Pure Python; only `lavra.engine.constraints` knows the library that walks grammars.
"""
