"""The learning of tasks: model, rows and loss."""
