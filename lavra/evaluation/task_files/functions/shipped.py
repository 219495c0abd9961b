"""Functions of the benchmarks that lavra ships.

The Python beside a shipped task file is what lm-evaluation-harness runs.  It stands alone, so that a copy of the folder
works without lavra.  What computes in it is pure, and lavra calls that part of the very file.  `process_docs`, which
takes a `datasets.Dataset`, stands for the function of rows beside it.  Where the file needs a library of an extra,
lavra has its own function (`overlap`).
"""

from __future__ import annotations

# (folder, name as the task file writes it, module:function that lavra calls, fingerprint of the Python it stands for)
SHIPPED_FUNCTIONS = (
    ("assin2", "assin2.macro_f1", "lavra.evaluation.benchmarks.assin2.assin2:macro_f1", "2a59a852240c4844"),
    ("assin2", "assin2.pearson_corr", "lavra.evaluation.benchmarks.assin2.assin2:pearson_corr", "5e3d27ec917f7e6f"),
    ("assin2", "assin2.process_docs", "lavra.evaluation.benchmarks.assin2.assin2:pair_rows", "d197b08a485e2e52"),
    (
        "assin2",
        "assin2.process_results_sts",
        "lavra.evaluation.benchmarks.assin2.assin2:process_results_sts",
        "a70912933414f196",
    ),
    (
        "bigbench",
        "json_tasks.process_docs",
        "lavra.evaluation.benchmarks.bigbench.json_tasks:example_rows",
        "6567a7e9e124fc5f",
    ),
    ("enem", "questions.process_docs", "lavra.evaluation.benchmarks.enem.questions:text_rows", "a6c2d20c222175ba"),
    (
        "faquad",
        "portuguese.process_docs",
        "lavra.evaluation.benchmarks.faquad.portuguese:question_rows",
        "773951b5a0fe0c81",
    ),
    (
        "faquad",
        "portuguese.process_results",
        "lavra.evaluation.benchmarks.faquad.portuguese:process_results",
        "7b125ca9b94e639f",
    ),
    (
        "flores",
        "parallel.process_docs",
        "lavra.evaluation.benchmarks.flores.parallel:sentence_rows",
        "3a973399b96247eb",
    ),
    ("glue", "similarity.pearson_corr", "lavra.evaluation.benchmarks.glue.similarity:pearson_corr", "5e3d27ec917f7e6f"),
    (
        "glue",
        "similarity.process_results_stsb",
        "lavra.evaluation.benchmarks.glue.similarity:process_results_stsb",
        "a55b1321a72d1534",
    ),
    (
        "glue",
        "similarity.spearman_corr",
        "lavra.evaluation.benchmarks.glue.similarity:spearman_corr",
        "5096dd00a9de9dd3",
    ),
    (
        "hellaswag",
        "hellaswag.process_docs",
        "lavra.evaluation.benchmarks.hellaswag.hellaswag:ending_rows",
        "362eaa8872bf6879",
    ),
    ("lener_br", "entities.micro_f1", "lavra.evaluation.benchmarks.lener_br.entities:micro_f1", "4652c6ec2642ea0e"),
    (
        "lener_br",
        "entities.process_docs",
        "lavra.evaluation.benchmarks.lener_br.entities:sentence_rows",
        "8b1a4fda3bae30a8",
    ),
    (
        "lener_br",
        "entities.process_results",
        "lavra.evaluation.benchmarks.lener_br.entities:process_results",
        "faf960f4f068003f",
    ),
    ("piqa", "piqa.process_docs", "lavra.evaluation.benchmarks.piqa.piqa:labelled_rows", "d5e7c8db61f64af3"),
    ("summarization", "overlap.process_results", "overlap:summary_overlap", "a7dfbbbd0e8e1665"),
    ("super_glue", "macro.cb_multi_fi", "lavra.evaluation.benchmarks.super_glue.macro:cb_multi_fi", "fdc00281a73cdf62"),
    (
        "super_glue",
        "multirc.process_docs",
        "lavra.evaluation.benchmarks.super_glue.multirc:answer_rows",
        "d6946186c8661f0b",
    ),
    (
        "super_glue",
        "pronouns.default_doc_to_text",
        "lavra.evaluation.benchmarks.super_glue.pronouns:default_doc_to_text",
        "9a3f4a4dc84b291b",
    ),
    (
        "super_glue",
        "record.doc_to_choice",
        "lavra.evaluation.benchmarks.super_glue.record:doc_to_choice",
        "b34f56347fd70704",
    ),
    (
        "super_glue",
        "record.doc_to_target",
        "lavra.evaluation.benchmarks.super_glue.record:doc_to_target",
        "d2415b7939a3d5bb",
    ),
    (
        "super_glue",
        "record.doc_to_text",
        "lavra.evaluation.benchmarks.super_glue.record:doc_to_text",
        "4e0c180288d45623",
    ),
    (
        "super_glue",
        "record.process_docs",
        "lavra.evaluation.benchmarks.super_glue.record:query_rows",
        "10abb70ff1ff2878",
    ),
    (
        "super_glue",
        "record.process_results",
        "lavra.evaluation.benchmarks.super_glue.record:process_results",
        "0a60739adc43c135",
    ),
    (
        "truthfulqa",
        "answers.process_docs_gen",
        "lavra.evaluation.benchmarks.truthfulqa.answers:answer_rows",
        "ad429c84e623e179",
    ),
    (
        "truthfulqa",
        "answers.process_docs_mc",
        "lavra.evaluation.benchmarks.truthfulqa.answers:choice_rows",
        "37ab96e4fae677bf",
    ),
    (
        "truthfulqa",
        "answers.process_results_mc2",
        "lavra.evaluation.benchmarks.truthfulqa.answers:process_results_mc2",
        "30cd48edcda16609",
    ),
    ("truthfulqa", "overlap.process_results_gen", "overlap:truthful_overlap", "7b57f6468d8906b2"),
    (
        "wikitext",
        "wikitext.process_docs",
        "lavra.evaluation.benchmarks.wikitext.wikitext:page_rows",
        "2685e801f77b26d3",
    ),
    (
        "wikitext",
        "wikitext.process_results",
        "lavra.evaluation.benchmarks.wikitext.wikitext:process_results",
        "8307376f3d5f55c3",
    ),
    (
        "wikitext",
        "wikitext.wikitext_detokenizer",
        "lavra.evaluation.benchmarks.wikitext.wikitext:wikitext_detokenizer",
        "6f191550d2d4d3fc",
    ),
)
