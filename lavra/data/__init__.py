"""Floor 3: token files and the three objectives' batches (next-token, masked-token, span corruption)."""
