"""The index on disk: documents, chunks and vectors in one folder, updated in place and read beside its writer."""
