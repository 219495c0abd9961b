"""Cells for a notebook; see README.md."""

# %% [markdown]
# # A researcher: does a seed matter more than the method?
# Each cell runs by itself in an editor that knows `# %%` cells (VS Code, PyCharm, Spyder, Jupytext).

# %%
import lavra

# %% The same data, two methods, three seeds.
scores: dict[str, list[float]] = {"full": [], "lora": []}
for method, found in scores.items():
    for seed in range(3):
        run = lavra.finetune(
            "encoder", "reviews.csv", task="classify", method=method, seed=seed, epochs=3, name=f"try-{method}-{seed}"
        )
        found.append(run.after.value)

# %% Means and spreads.
for method, found in scores.items():
    print(f"{method}: {sum(found) / len(found):.3f} ({min(found):.3f} to {max(found):.3f})")

# %% Where they differ: samples that the last two models answer otherwise.
first, second = (lavra.predict_file(f"try-{method}-2", "reviews.csv").rows for method in scores)
print(sum(one["label"] != other["label"] for one, other in zip(first, second, strict=True)), "answers differ")
