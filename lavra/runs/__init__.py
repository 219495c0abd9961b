"""Floor 10: the one run (measure, train, measure, save), and its preparation: finetuning, distilling, a budget."""
