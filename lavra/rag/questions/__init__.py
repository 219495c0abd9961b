"""Questions with known places of their answers: made from an index's own documents, or the user's."""
