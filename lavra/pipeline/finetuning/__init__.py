"""`lavra finetune`: from labelled data and a model to a model that does the task, measured before and after."""
