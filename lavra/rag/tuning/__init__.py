"""Tuning: find the way of cutting and searching an index that answers questions best, measured on its own documents."""
