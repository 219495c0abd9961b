"""Floor 13: glue to other frameworks, a file for each; lavra runs without any of them."""
