"""OpenAI's Responses API: items in, items and typed events out, kept for a while, and run in the background.

Reference: https://platform.openai.com/docs/api-reference/responses.  A request becomes a `ChatBody` (`asking`), the
conversation's events become the API's (`writing`), and a response that is kept stands in the `store`.

Deliberately absent: tools that run on OpenAI's machines (web search, file search, code interpreter, MCP), stored
prompts and conversations, images and files, reasoning items, and storage that outlives the process.
"""
