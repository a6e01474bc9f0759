"""Faults of an encoder, of its codes and of how they were measured, each found by a check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.auditing.finding import Audit as Audit
    from crosshash.auditing.finding import Finding as Finding
    from crosshash.auditing.run import audit as audit
    from crosshash.auditing.subject import Subject as Subject
    from crosshash.auditing.subject import subject_of as subject_of
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.auditing.finding": ["Audit", "Finding"],
            "crosshash.auditing.run": ["audit"],
            "crosshash.auditing.subject": ["Subject", "subject_of"],
        },
    )
