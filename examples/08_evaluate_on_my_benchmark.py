"""A benchmark of your own, as a task file of lm-evaluation-harness, and a model's score on it with its interval."""

import json
from pathlib import Path

import lavra

questions = [("The capital of France is", "Paris"), ("The capital of Italy is", "Rome"), ("2 and 2 are", "4")] * 4
answers = sorted({answer for _, answer in questions})
with Path("facts.jsonl").open("w", encoding="utf-8") as file:
    for question, answer in questions:
        file.write(json.dumps({"question": question, "choices": answers, "gold": answers.index(answer)}) + "\n")

Path("facts.yaml").write_text("""
task: facts
dataset_path: json
dataset_kwargs: {data_files: {test: facts.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: gold
metric_list: [{metric: acc}]
metadata: {version: 1.0}
""")

result = lavra.evaluate("first", "facts.yaml")
for task in result.tasks:
    print(task.task, task.num_items, "items:", [(metric.name, metric.value) for metric in task.metrics])
print(*result.warnings, sep="\n")
