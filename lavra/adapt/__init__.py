"""Floor 5: a model made yours: supervised finetuning, and parameter-efficient tuning wrapped around it from outside."""
