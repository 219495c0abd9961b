"""Search in indexed documents and answers with citations, over HTTP: endpoints, the alias of chat, and the page."""
