"""Cross-modal hashing: photographs and texts as short binary codes that find each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash import algorithms as algorithms
    from crosshash import auditing as auditing
    from crosshash import backbones as backbones
    from crosshash import codes as codes
    from crosshash import config as config
    from crosshash import data as data
    from crosshash import encoding as encoding
    from crosshash import experiment as experiment
    from crosshash import hub as hub
    from crosshash import layers as layers
    from crosshash import losses as losses
    from crosshash import methods as methods
    from crosshash import model as model
    from crosshash import plugins as plugins
    from crosshash import reports as reports
    from crosshash import retrieval as retrieval
    from crosshash import scoring as scoring
    from crosshash import search as search
    from crosshash import serve as serve
    from crosshash import similarity as similarity
    from crosshash import training as training
    from crosshash._version import __version__ as __version__
    from crosshash.backbones import list_backbones as list_backbones
    from crosshash.data.load import list_datasets as list_datasets
    from crosshash.data.load import load_dataset as load_dataset
    from crosshash.experiment.evaluation import evaluate as evaluate
    from crosshash.experiment.fitting import fit as fit
    from crosshash.experiment.run import train as train
    from crosshash.hub.load import load as load
    from crosshash.hub.manifest import list_models as list_models
    from crosshash.hub.publish import publish as publish
    from crosshash.hub.save import save as save
    from crosshash.methods.build import create as create
    from crosshash.methods.build import list_methods as list_methods
    from crosshash.model.hash_model import HashModel as HashModel
    from crosshash.search.index import Index as Index
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash._version": ["__version__"],
            "crosshash.backbones": ["list_backbones"],
            "crosshash.data.load": ["list_datasets", "load_dataset"],
            "crosshash.experiment.evaluation": ["evaluate"],
            "crosshash.experiment.fitting": ["fit"],
            "crosshash.experiment.run": ["train"],
            "crosshash.hub.load": ["load"],
            "crosshash.hub.manifest": ["list_models"],
            "crosshash.hub.publish": ["publish"],
            "crosshash.hub.save": ["save"],
            "crosshash.methods.build": ["create", "list_methods"],
            "crosshash.model.hash_model": ["HashModel"],
            "crosshash.search.index": ["Index"],
        },
        # Folders and files whose names are what users compose.
        rooms=[
            "algorithms",
            "auditing",
            "backbones",
            "codes",
            "config",
            "data",
            "encoding",
            "experiment",
            "hub",
            "layers",
            "losses",
            "methods",
            "model",
            "plugins",
            "reports",
            "retrieval",
            "scoring",
            "search",
            "serve",
            "similarity",
            "training",
        ],
    )
