"""Floor 6: smaller models and the cost of their making: calibrated rounding, quality cards, GGUF and ONNX."""
