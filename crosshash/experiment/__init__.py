"""From a config to a checkpoint with figures: one experiment, or a zoo of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.experiment.assembly import build as build
    from crosshash.experiment.assembly import build_algorithm as build_algorithm
    from crosshash.experiment.assembly import read_data as read_data
    from crosshash.experiment.bench.bench import plan_suites as plan_suites
    from crosshash.experiment.bench.bench import run_suites as run_suites
    from crosshash.experiment.bench.report import write_report as write_report
    from crosshash.experiment.calibration import calibrate as calibrate
    from crosshash.experiment.evaluation import evaluate as evaluate
    from crosshash.experiment.fitting import fit as fit
    from crosshash.experiment.run import Codes as Codes
    from crosshash.experiment.run import Result as Result
    from crosshash.experiment.run import train as train
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.experiment.assembly": ["build", "build_algorithm", "read_data"],
            "crosshash.experiment.bench.bench": ["plan_suites", "run_suites"],
            "crosshash.experiment.bench.report": ["write_report"],
            "crosshash.experiment.calibration": ["calibrate"],
            "crosshash.experiment.evaluation": ["evaluate"],
            "crosshash.experiment.fitting": ["fit"],
            "crosshash.experiment.run": ["Codes", "Result", "train"],
        },
    )
