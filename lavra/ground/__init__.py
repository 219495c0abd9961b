"""Floor 7: grounding: whether the evidence supports a claim, sentence by sentence.

It never reaches torch; an entailment model is a `Predictor` that is handed in.
"""
