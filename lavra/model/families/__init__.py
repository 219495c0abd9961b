"""The families, each in a file; `table` has their names."""
