"""Floor 10: the one run (measure, train, measure, save), and what prepares it: finetuning, distilling, a budget."""
