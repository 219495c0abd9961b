"""Floor 13: glue to other frameworks, one file each; none of them is needed to run lavra."""
