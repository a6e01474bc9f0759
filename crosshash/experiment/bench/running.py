"""One run of a suite, from its config to its record."""

from __future__ import annotations

import shutil
import time
import traceback
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from crosshash.config import ExperimentConfig
from crosshash.data.features.cache import FeatureCache
from crosshash.data.model_inputs import encode_pairs
from crosshash.environment import PACKAGES
from crosshash.experiment.assembly import build_algorithm
from crosshash.experiment.bench.cases import Case
from crosshash.experiment.bench.ceiling import cosine_precision
from crosshash.experiment.bench.hits import text_queries
from crosshash.experiment.bench.identity import code_digest, compared_digest, config_digest
from crosshash.experiment.bench.kept import Epoch
from crosshash.experiment.bench.losses import kept_epochs
from crosshash.experiment.bench.measure import PeakMemory, encoding_flops, parameter_counts
from crosshash.experiment.bench.record import WAYS, Record, Store
from crosshash.experiment.run import Result, train
from crosshash.experiment.run_folder import has_state
from crosshash.experiment.run_record import read_record, spent
from crosshash.retrieval.metrics import mean_over_queries
from crosshash.retrieval.record import installed
from crosshash.training.files import CHECKPOINT

_LINES = 40  # of a traceback

Outputs = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Job:
    """A run that is to be.

    Attributes:
        case: What.
        key: Of its record.
        data: Digest of its data.
        jobs: Runs that go on at once.
        keep: Keep its checkpoint.
        cache: Folder of features of frozen encoders; None: the user's.
    """

    case: Case
    key: str
    data: str
    jobs: int = 1
    keep: bool = False
    cache: str | None = None


def run_job(store: Store, job: Job) -> Record:
    """Train and measure, or go on with it where it was killed; its record is written either way.

    A run that fails gives a record that says why, and its folder is kept to look at. One that
    another process has in hand gives a record that is not kept.
    """
    begun = time.monotonic()
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    work = store.work(job.key)
    before = spent(work)
    precisions: dict[str, Any] = {}
    try:
        memory = PeakMemory()
        # What was killed between its checkpoint and its record is evaluated again.
        shutil.rmtree(work / CHECKPOINT, ignore_errors=True)
        result = train(
            job.case.config,
            work,
            resume=has_state(work),
            cache=None if job.cache is None else FeatureCache(job.cache),
            page=False,
            progress=False,
        )
        peak = memory.read()
        found = _measured(store, result, peak)
        precisions = _precisions(result)
    except FileExistsError as error:  # left over from a killed bench, and will write its record
        return failed_record(job, str(error), started=started)
    except Exception as error:  # noqa: BLE001  (the others run whatever this one does)
        told = "".join(traceback.format_exception(error)).splitlines()[-_LINES:]
        record = failed_record(job, f"{type(error).__name__}: {error}", "\n".join(told), started)
        store.write(record, {})
        return record
    kept = read_record(work)
    whole = round(before + time.monotonic() - begun, 1)
    record = _record(
        job,
        state="finished",
        started=started,
        seconds={"training": kept.seconds if kept else whole, "whole": whole},
        **found,
    )
    if job.keep:
        shutil.rmtree(store.model(job.key), ignore_errors=True)
        store.model(job.key).parent.mkdir(parents=True, exist_ok=True)
        (work / CHECKPOINT).rename(store.model(job.key))
    store.write(record, precisions)
    shutil.rmtree(work, ignore_errors=True)
    return record


def failed_record(job: Job, error: str, told: str = "", started: str = "") -> Record:
    """The record of a run that did not come to its end."""
    started = started or datetime.now(timezone.utc).isoformat(timespec="seconds")
    return _record(job, state="failed", started=started, error=error, traceback=told)


def _record(job: Job, **known: Any) -> Record:
    case, config = job.case, job.case.config
    code = code_digest(config.method)
    identity = {"config": config_digest(config), "data": job.data, "code": code}
    known["identity"] = {**identity, **known.pop("identity", {})}
    return Record(
        key=job.key,
        name=case.name,
        suite=case.suite,
        variant=case.variant,
        encoder=case.encoder,
        label=case.label,
        settings=dict(case.settings),
        sweep=case.sweep,
        method=config.method,
        dataset=config.data.name,
        bits=config.bits,
        seed=config.seed,
        config=_plain(config),
        versions=installed(*PACKAGES),
        machine={"device": device_of(config), "threads": torch.get_num_threads(), "jobs": job.jobs},
        **known,
    )


def device_of(config: ExperimentConfig) -> str:
    """What a run computes on: the GPU's name, or ``cpu``."""
    if config.training.device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return "cpu"


def _plain(config: ExperimentConfig) -> dict[str, Any]:
    values = config.model_dump(mode="json")
    values["data"]["root"] = None  # where the data lies is of this machine alone
    return values


def _measured(store: Store, result: Result, memory: dict[str, Any]) -> dict[str, Any]:
    if result.report is None:
        raise ValueError(
            f"data set {result.dataset.name!r} has no labels or no queries, so that nothing can be "
            "measured; give labels and a split with queries"
        )
    dataset, protocol = result.dataset, result.protocol
    compared = compared_digest(dataset, protocol)
    query, retrieval = _outputs(result)
    return {
        "memory": memory,
        "parameters": parameter_counts(result.model),
        "flops": encoding_flops(result.model, dataset, int(protocol.query[0])),
        "figures": result.report.as_dict(),
        "identity": {"compared": compared},
        "ceiling": _ceiling(result, query, retrieval),
        **_histories(result),
        "hits": text_queries(
            dataset,
            protocol,
            query[1],
            retrieval[0],
            captions=result.captions,
            compared=compared,
            asked=~np.isnan(_precisions(result)["t2i"]),
            keep=store.keep_picture,
        ),
    }


def _outputs(result: Result) -> tuple[Outputs, Outputs]:
    """Real-valued outputs of the queries and of the searched pairs, images and texts each.

    They are computed where the run was; the model is on the CPU afterwards, as a training leaves
    it.
    """
    settings = result.config.training
    if settings.device != "cpu" and torch.cuda.is_available():
        result.model.cuda()
    query, retrieval = (
        encode_pairs(
            result.model, result.inputs.select(rows), output="real", workers=settings.workers
        )
        for rows in (result.protocol.query, result.protocol.retrieval)
    )
    result.model.cpu()
    return query, retrieval


def _ceiling(result: Result, query: Outputs, retrieval: Outputs) -> dict[str, float]:
    labels, protocol, asked = result.dataset.labels, result.protocol, result.config.evaluation
    if labels is None:
        return {}
    known = labels[protocol.query], labels[protocol.retrieval]
    sides = {"i2t": (query[0], retrieval[1]), "t2i": (query[1], retrieval[0])}
    return {
        way: float(mean_over_queries(cosine_precision(*side, *known, ties=asked.ties), asked.empty))
        for way, side in sides.items()
    }


def _histories(result: Result) -> dict[str, list[Epoch]]:
    """``history``, and ``selection`` where a second training gave the model."""
    labels, config = result.dataset.labels, result.config
    classes = 0 if labels is None else labels.shape[1]
    algorithm = build_algorithm(config, result.model, classes, int(result.training["pairs"]))
    epochs = config.training.epochs
    first = kept_epochs(result.history, algorithm, epochs)
    if not config.data.refit:
        return {"history": first}
    return {"history": kept_epochs(result.refit, algorithm, epochs), "selection": first}


def _precisions(result: Result) -> dict[str, np.ndarray]:
    """Average precision of each query, by direction."""
    found = {way: getattr(result.report, way).precisions for way in WAYS}
    return {way: values for way, values in found.items() if values is not None}
