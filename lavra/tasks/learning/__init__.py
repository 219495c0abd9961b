"""How tasks are learnt: model, rows and loss."""
