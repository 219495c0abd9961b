"""Run programs that a model wrote in a sandbox where they can do no harm, and report how they ended."""
