"""The index on disk: documents, chunks and vectors in one folder that is updated in place and read beside the writer."""
