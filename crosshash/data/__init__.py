"""Pairs of images and texts, one reader per data set, and the protocols they are tried under."""

from crosshash.data.dataset import PairedDataset
from crosshash.data.load import DATASETS, list_datasets, load_dataset
from crosshash.data.protocol import Protocol

__all__ = ["DATASETS", "PairedDataset", "Protocol", "list_datasets", "load_dataset"]
