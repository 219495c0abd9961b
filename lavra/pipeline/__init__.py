"""Floor 11: stages that are not run twice, and the pipelines made of them (`up`, `pretrain`)."""
