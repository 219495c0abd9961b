"""Perplexity of texts for a model, bits per byte, and the tokens that surprise it most."""

import lavra

model = lavra.load("first")
texts = ["def read(path): return open(path).read()", "zq xv jw kp zq xv jw kp"]

for text, perplexity, bits in zip(texts, model.perplexity(texts), model.bits_per_byte(texts), strict=True):
    print(f"{perplexity:8.1f} perplexity, {bits:5.2f} bits per byte: {text}")

score = model.score(texts[0])
known = [(logprob, token) for token, logprob in zip(score.tokens, score.logprobs, strict=True) if logprob is not None]
print("least expected token:", min(known))
