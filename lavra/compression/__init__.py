"""Floor 6: smaller models that say what it cost: calibrated rounding, quality cards, GGUF and ONNX."""
