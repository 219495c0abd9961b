"""Anthropic's Messages API: `/v1/messages`, `/v1/messages/count_tokens`, and models in its shape.

A request becomes a `ChatBody`, and the model's output becomes content blocks
(https://docs.anthropic.com/en/api/messages).  Absent: images, documents, thinking, batches, files, and tools that
Anthropic's own servers run.
"""
