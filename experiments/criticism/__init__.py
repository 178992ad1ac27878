"""Criticism: whether a fitted model generates such data, how well it predicts, and how far its probabilities hold."""
