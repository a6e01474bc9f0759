"""Losses: pure functions from tensors to unweighted scalars."""
