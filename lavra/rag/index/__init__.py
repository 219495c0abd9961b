"""The index on disk: documents, chunks and vectors in one folder, updated in place and readable during an update."""
