"""A server with a model and an index: OpenAI's protocol, a chat page at /, a search page at /search."""

import json
import urllib.request

import lavra


def post(url: str, body: dict[str, object]) -> dict[str, object]:
    """Send a JSON body and return the JSON answer."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


# In a separate program: lavra.serve("first", index=["handbook"]) serves until Ctrl-C.
with lavra.serve("first", index=["handbook"], answer_model="none", port=0, block=False) as server:
    print("open", server.url)
    print(post(f"{server.url}/v1/completions", {"model": "first", "prompt": "The", "max_tokens": 16}))
    question = [{"role": "user", "content": "When was the bridge opened?"}]
    print(post(f"{server.url}/v1/chat/completions", {"model": "handbook", "messages": question}))
