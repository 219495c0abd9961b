"""The stages of `lavra up`."""
