"""Labelled data of every format as samples, with every issue of the data."""
