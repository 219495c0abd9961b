"""Vectors of texts: similarity of two texts, and the texts nearest to a question."""

import lavra

model = lavra.load("encoder")  # of 04_finetune_on_csv.py; any sentence encoder will do
texts = ["Bees make honey from nectar.", "The bridge was opened in 1931.", "Read a file line by line."]

print("vectors:", model.embed(texts).shape)
print(f"similarity: {model.similarity(texts[0], texts[1]):.2f}")
for match in model.search("Who makes honey?", texts, top_k=2):
    print(f"{match.score:.2f}  {match.text}")
