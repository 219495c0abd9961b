"""Cells for a notebook; see README.md."""

# %% [markdown]
# # An engineer: a smaller model behind a URL
# Compress, check what it cost, serve, and talk to it with any client of OpenAI's protocol.

# %%
import json
import urllib.request

import lavra

# %% Eight bits; the card refuses what costs too much.
made = lavra.compress("first", "int8", name="served", replace=True)
print(made.card.bytes / made.card.source_bytes)

# %% In the background of this notebook; `lavra.serve("served")` serves until Ctrl-C.
server = lavra.serve("served", port=0, block=False)
print(server.url)

# %% Which models it has.
with urllib.request.urlopen(f"{server.url}/v1/models") as answer:
    print([model["id"] for model in json.load(answer)["data"]])

# %%
server.stop()
