from __future__ import annotations

import pytest

import crosshash
from crosshash import HashModel
from crosshash.data import PairedDataset


@pytest.fixture(scope="session")
def pictures() -> PairedDataset:
    """Drawn scenes with captions, which no shipped model has seen."""
    return crosshash.load_dataset("shapes", n=12, seed=7)[0]


@pytest.fixture(scope="session")
def model() -> HashModel:
    """A trained model that reads pictures and words."""
    return crosshash.load("amgfh-shapes-64")


@pytest.fixture(scope="session")
def feature_model() -> HashModel:
    """A trained model that reads features and standardizes them."""
    return crosshash.load("amgfh-wiki-64")
