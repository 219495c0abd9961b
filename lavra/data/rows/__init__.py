"""From labelled samples to batches: framed rows of token ids."""
