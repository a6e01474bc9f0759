"""Checkpoints: folders, names, cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.hub.checkpoint import read_checkpoint as read_checkpoint
    from crosshash.hub.errors import CheckpointError as CheckpointError
    from crosshash.hub.errors import HubError as HubError
    from crosshash.hub.export import export_onnx as export_onnx
    from crosshash.hub.export import export_program as export_program
    from crosshash.hub.golden import check_golden as check_golden
    from crosshash.hub.golden import write_golden as write_golden
    from crosshash.hub.manifest import Manifest as Manifest
    from crosshash.hub.manifest import list_models as list_models
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.hub.checkpoint": ["read_checkpoint"],
            "crosshash.hub.errors": ["CheckpointError", "HubError"],
            "crosshash.hub.export": ["export_onnx", "export_program"],
            "crosshash.hub.golden": ["check_golden", "write_golden"],
            "crosshash.hub.manifest": ["Manifest", "list_models"],
        },
    )
