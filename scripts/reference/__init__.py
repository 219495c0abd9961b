"""The generators of reference pages, one module a kind of page; `scripts/reference_pages.py` runs them."""
