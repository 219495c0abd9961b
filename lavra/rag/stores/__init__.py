"""Vector stores behind one port: exact search, FAISS, Milvus and Pinecone.

`table.open_store` opens any of them.  The embedded ones (exact, FAISS) keep their vectors in one file that is mapped
into memory, and their ids and facts beside it (`rows`); the others are servers, or Milvus in one process.
"""
