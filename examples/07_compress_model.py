"""A model in eight bits, with a card that says what it lost; a model that lost too much is refused."""

import lavra

made = lavra.compress("first", "int8", name="first-int8")

card = made.card
print(f"{card.source_bytes / 1e6:.1f} MB before, {card.bytes / 1e6:.1f} MB after")
print(f"mean divergence: {card.comparison.mean_kl:.5f} nats a token")
print(lavra.load("first-int8").generate("The", max_tokens=16))
