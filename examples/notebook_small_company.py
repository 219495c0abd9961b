"""Cells for a notebook; see README.md."""

# %% [markdown]
# # A small company: answers from our own documents, on our own machine
# Nothing leaves the machine. Files that change are read again by the same cell.

# %%
import lavra

# %% Read what there is; say what was not read, and why.
made = lavra.index("documents", name="company")
print(made.report.counts.documents, "documents")
for skipped in made.report.skipped:
    print(skipped.name, skipped.reason)

# %% Ask, and see where each answer comes from.
answer = lavra.ask("When was the bridge opened?", "company")
print(answer)
for citation in answer.citations:
    print(citation.document, citation.line)

# %% For everyone in the office: a search page and a chat page at http://OUR-MACHINE:8000.
# lavra.serve(index=["company"], host="0.0.0.0", key_file="keys.txt")
