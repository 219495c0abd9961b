"""The arguments of each verb: help, examples, flags and settings. No torch, so that a wrong flag answers at once."""
