"""Labelled data of every format as samples, with what is wrong with it."""
