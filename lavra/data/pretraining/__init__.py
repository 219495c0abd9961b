"""Text as token streams, and batches of a pretraining objective."""
