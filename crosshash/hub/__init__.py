"""Checkpoints: folders, names, cards."""
