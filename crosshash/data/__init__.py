"""Pairs of images and texts, one reader per data set, and the protocols they are tried under."""

from crosshash.data.pairs import DATASETS, PairedDataset
from crosshash.data.protocol import Protocol

__all__ = ["DATASETS", "PairedDataset", "Protocol"]
