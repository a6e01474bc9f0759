"""Pairs of images and texts, one reader per data set, and the protocols they are tried under."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.data.dataset import PairedDataset as PairedDataset
    from crosshash.data.features.cache import FeatureCache as FeatureCache
    from crosshash.data.features.export import export_features as export_features
    from crosshash.data.features.vectors import read_vectors as read_vectors
    from crosshash.data.load import DATASETS as DATASETS
    from crosshash.data.load import list_datasets as list_datasets
    from crosshash.data.load import load_dataset as load_dataset
    from crosshash.data.model_inputs import PairInputs as PairInputs
    from crosshash.data.model_inputs import encode_pairs as encode_pairs
    from crosshash.data.model_inputs import prepare_inputs as prepare_inputs
    from crosshash.data.protocol import Protocol as Protocol
    from crosshash.data.protocol_file import read_protocol as read_protocol
    from crosshash.data.protocol_file import write_protocol as write_protocol
    from crosshash.data.readers._described import folder_metadata as folder_metadata
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.data.dataset": ["PairedDataset"],
            "crosshash.data.features.cache": ["FeatureCache"],
            "crosshash.data.features.export": ["export_features"],
            "crosshash.data.features.vectors": ["read_vectors"],
            "crosshash.data.load": ["DATASETS", "list_datasets", "load_dataset"],
            "crosshash.data.model_inputs": ["PairInputs", "encode_pairs", "prepare_inputs"],
            "crosshash.data.protocol": ["Protocol"],
            "crosshash.data.protocol_file": ["read_protocol", "write_protocol"],
            "crosshash.data.readers._described": ["folder_metadata"],
        },
    )
