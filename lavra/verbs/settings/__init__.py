"""Settings of the verbs that have no settings on a lower floor; no module here needs torch."""
