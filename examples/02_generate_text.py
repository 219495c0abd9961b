"""Text from a model: at once, in pieces, drawn with a seed, and several completions of one prompt."""

import lavra

model = lavra.load("first")  # the name that 01_train_from_text.py gave it
print(model, f"{model.num_parameters:,} parameters")

print(model.generate("The", max_tokens=32))  # greedy

for piece in model.stream("The", max_tokens=32, temperature=0.8, top_p=0.95, seed=1):
    print(piece, end="", flush=True)
print()

for completion in model.n_best("The", 3, max_tokens=16, temperature=0.8, seed=1):
    print(repr(completion), completion.usage.completion_tokens)
