"""Runners, which compute forward passes: one module for each; `torch` for any device, `native` for the CPU."""
