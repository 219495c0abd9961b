"""Teach a model to answer by conversations, with LoRA: a small adapter is trained, the model does not change."""

import json
from pathlib import Path

import lavra

turns = [("What is lavra?", "A toolkit for language models."), ("Who made you?", "You did.")] * 8
with Path("conversations.jsonl").open("w", encoding="utf-8") as file:
    for question, answer in turns:
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        file.write(json.dumps({"messages": messages}) + "\n")

result = lavra.finetune("first", "conversations.jsonl", task="chat", method="lora", rank=8, epochs=10, name="answers")
print(f"{result.parameters.trainable:,} weights trained")

model = lavra.load("answers")
print(model.chat("Who made you?", max_tokens=32))
for piece in model.chat("What is lavra?", stream=True, max_tokens=32):
    print(piece, end="", flush=True)
print()
