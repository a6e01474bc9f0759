"""Codes from outside: files of them, scored by the project's evaluation, and a leaderboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.scoring.leaderboard import add_to_leaderboard as add_to_leaderboard
    from crosshash.scoring.measuring import score as score
    from crosshash.scoring.protocols import protocol_rows as protocol_rows
    from crosshash.scoring.submission import Submission as Submission
    from crosshash.scoring.submission import read_submission as read_submission
    from crosshash.scoring.submission import template as template
    from crosshash.scoring.submission import write_submission as write_submission
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.scoring.leaderboard": ["add_to_leaderboard"],
            "crosshash.scoring.protocols": ["protocol_rows"],
            "crosshash.scoring.measuring": ["score"],
            "crosshash.scoring.submission": [
                "Submission",
                "read_submission",
                "template",
                "write_submission",
            ],
        },
    )
