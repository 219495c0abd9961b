"""Floor 9: retrieval: documents are indexed, passages found, and questions answered with citations.

It calls embedders, rerankers and language models through the ports of `lavra.base.ports`, and never reaches torch.
"""
