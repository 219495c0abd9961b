"""The page on which people judge answers, and its routes; `lavra.evaluation.human` keeps the judgements."""
