"""What goes wrong with checkpoints and with the Hub."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint folder that cannot be loaded; the message says why."""


class HubError(OSError):
    """The Hugging Face Hub did not give or take the files; the message says what to do."""
