"""Answers from your documents: each sentence cites the document and the line it rests on."""

import lavra

made = lavra.index("documents", name="handbook")
print(made.report.counts.documents, "documents,", len(made.report.skipped), "files skipped")

for answer in lavra.ask(["When was the bridge opened?", "Who invented the telephone?"], "handbook"):
    print(answer)
    for number, citation in enumerate(answer.citations, start=1):
        print(f"  [{number}] {citation.document}, line {citation.line}: {citation.text}")
