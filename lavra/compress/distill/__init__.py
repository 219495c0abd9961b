"""Distillation: a smaller model learns from a larger one what labels alone do not say (docs/distillation.md)."""
