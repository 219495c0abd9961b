"""Floor 4: decoding in one process: sampling, beams, streams and scores of a torch model."""
