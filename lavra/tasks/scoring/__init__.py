"""How tasks are judged: from predictions to scores."""
