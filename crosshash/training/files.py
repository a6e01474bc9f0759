"""Names of what a training leaves in its folder, for whoever reads it; imports nothing heavy."""

from __future__ import annotations

HISTORY = "history.jsonl"  # a line of figures for each epoch
PRELIMINARY = "preliminary.jsonl"  # the same for each pass before the first epoch
STATE = "state.pt"  # what a killed training resumes from
POSITION = "position.json"  # where a training is that runs
CHECKPOINT = "checkpoint"  # the folder of the model at the end
REFIT = "refit"  # the folder of a second training, on all training pairs
LOCK = ".lock"  # held while a training runs
RECORD = "run.json"  # what is trained, and what became of it
PAGE = "report.html"  # the run as a page
