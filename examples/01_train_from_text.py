"""From a folder of text to a model: read, clean, train a tokenizer and a model, measure, report."""

import lavra

# texts/ holds anything lavra reads: .txt, .md, PDF, Word, EPUB, HTML, tables, source code.
result = lavra.up("texts", budget="4m", name="first")

print(result.verdict)
print("model: ", result.model)
print("report:", result.report)  # one HTML file
