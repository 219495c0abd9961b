"""Floor 8: the HTTP server: OpenAI's protocol over an engine, one module a group of endpoints, and a chat page."""
