"""Floor 7: grounding: check whether the evidence supports a claim, sentence by sentence.

It never reaches torch; the caller hands in an entailment model as a `Predictor`.
"""
