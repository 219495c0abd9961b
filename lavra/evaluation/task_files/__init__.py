"""Task files of lm-evaluation-harness: read, resolved, and turned into items.

A task is a YAML file (`reading`, `task_file`), found by its name (`index`).  Its rows come from data files
(`documents`), its prompts from templates (`template`), examples (`shots`) and turns (`prompting`).  `task` combines
them, and `opening` opens the tasks that a user names.  Python that a file names is never run: `functions` has lavra's
own functions in its place.
"""
