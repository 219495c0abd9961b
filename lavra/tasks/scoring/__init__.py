"""The scores of tasks: from predictions to scores."""
