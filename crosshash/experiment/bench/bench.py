"""Run what is missing of suites, several runs at once, and keep a record of each."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from crosshash.data.features.cache import FeatureCache
from crosshash.data.model_inputs import prepare_inputs
from crosshash.experiment.assembly import assemble
from crosshash.experiment.bench.cases import Choice, expand
from crosshash.experiment.bench.identity import DataDigests
from crosshash.experiment.bench.planning import Planned, plan_runs
from crosshash.experiment.bench.record import Record, Store
from crosshash.experiment.bench.running import Job, failed_record, run_job
from crosshash.experiment.bench.suite import find_suite, read_suite
from crosshash.experiment.bench.workers import run_jobs
from crosshash.retrieval.compiling import usable_threads

_LOCK = ".lock"
_PATIENCE = 1.0  # seconds in which one who only looks whether the store is held lets go of it


def plan_suites(
    suites: Sequence[str | Path],
    store: str | Path = "runs/bench",
    *,
    choice: Choice | None = None,
    retry: bool = False,
    any_code: bool = False,
) -> list[Planned]:
    """The runs of suites: which are there, and what the missing ones will take.

    Args:
        suites: YAML files, or names of bundled suites.
        store: The folder of records.
        choice: What is run in place of what the suites list.
        retry: Take failed runs for missing ones.
        any_code: As of :func:`~crosshash.experiment.bench.planning.plan_runs`.

    Raises:
        FileNotFoundError: There is no such suite, or no config for one of its combinations.
        ConfigError: A suite or a config is wrong.
    """
    known, digests = Store(store), DataDigests(Path(store))
    return _plan(suites, known, choice, digests, retry=retry, any_code=any_code)


def run_suites(
    suites: Sequence[str | Path],
    store: str | Path = "runs/bench",
    *,
    choice: Choice | None = None,
    jobs: int = 1,
    retry: bool = False,
    any_code: bool = False,
    keep: bool = False,
    cache: FeatureCache | None = None,
    begin: Callable[[list[Planned]], None] | None = None,
    done: Callable[[Record], None] | None = None,
) -> list[Planned]:
    """Run what is missing of suites, and keep a record of each run.

    A run that fails does not stop the others; one that was killed goes on where it stopped.

    Args:
        suites: YAML files, or names of bundled suites.
        store: The folder of records.
        choice: What is run in place of what the suites list.
        jobs: Runs at once, each in a process with its share of the threads; on GPUs at most one
            for each device. 1: in this process.
        retry: Run failed ones again.
        any_code: Do not run again what is there by other code, as after a change that decides no
            figure.
        keep: Keep the checkpoints, in ``models`` of the store.
        cache: Features of frozen encoders; default: the user's cache folder.
        begin: Called with the plan, before anything is run.
        done: Called after each run with its record.

    Returns:
        All runs, as they are afterwards.

    Raises:
        FileExistsError: Another process runs suites in the store.
        FileNotFoundError, ConfigError: As of :func:`plan_suites`.
        ValueError: ``jobs`` is below 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs is a number of runs at once, at least 1, got {jobs}")
    known, digests = Store(store), DataDigests(Path(store))
    known.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(known.folder / _LOCK)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        raise FileExistsError(
            f"another process runs suites in {known.folder} (it holds {known.folder / _LOCK}): "
            "wait until it ends, or choose another folder (--store)"
        ) from None
    try:
        for suite in suites:
            known.keep_printed(find_suite(suite).stem, read_suite(suite).printed)
        planned = _plan(suites, known, choice, digests, retry=retry, any_code=any_code)
        if begin is not None:
            begin(planned)
        _run(known, [one for one in planned if one.to_run], jobs, keep, cache, done)
    finally:
        lock.release()
    return _plan(suites, known, choice, digests, retry=False, any_code=any_code)


def _plan(
    suites: Sequence[str | Path],
    store: Store,
    choice: Choice | None,
    digests: DataDigests,
    *,
    retry: bool,
    any_code: bool,
) -> list[Planned]:
    cases = [case for suite in suites for case in expand(suite, choice)]
    planned = plan_runs(store, cases, digests, any_code=any_code)
    if not retry:
        return planned
    return [replace(one, state="missing") if one.state == "failed" else one for one in planned]


def _run(
    store: Store,
    planned: Sequence[Planned],
    jobs: int,
    keep: bool,
    cache: FeatureCache | None,
    done: Callable[[Record], None] | None,
) -> None:
    devices = _devices(planned)
    if devices and jobs > len(devices):
        warnings.warn(
            f"{jobs} runs at once for {len(devices)} GPUs: {len(devices)} at once", stacklevel=3
        )
        jobs = len(devices)
    jobs = max(1, min(jobs, len(planned)))
    folder = None if cache is None else str(cache.folder)
    listed = [Job(one.case, one.key, one.data, jobs, keep, folder) for one in planned]

    def end(job: Job, record: Record | None, ended: str) -> None:
        if record is None:
            record = failed_record(job, ended)
            store.write(record, {})
        if done is not None:
            done(record)

    if jobs == 1:
        for job in listed:
            end(job, run_job(store, job), "")
        return
    _warm(listed, cache)
    threads = max(1, usable_threads() // jobs)
    run_jobs(str(store.folder), listed, processes=jobs, threads=threads, devices=devices, done=end)


def _devices(planned: Sequence[Planned]) -> list[str]:
    """GPUs to share out among processes; none where all runs are on the CPU."""
    if all(one.case.config.training.device == "cpu" for one in planned):
        return []
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    count = torch.cuda.device_count()
    named = [name.strip() for name in shown.split(",") if name.strip()]
    return named[:count] if named else [str(number) for number in range(count)]


def _warm(jobs: Sequence[Job], cache: FeatureCache | None) -> None:
    """Compute the features of frozen encoders once, before several runs would at the same time."""
    seen: set[str] = set()
    for job in jobs:
        config = job.case.config
        values: dict[str, Any] = config.model_dump(mode="json")
        kind = json.dumps([job.data, values["method"], values["backbones"], values["text"]])
        frozen = [slot for slot in values["backbones"].values() if slot["frozen"]]
        pixels = any(slot["name"] != "features" for slot in frozen)
        words = config.text.frozen and config.text.name not in ("bow", "features")
        if kind in seen or not (pixels or words):
            continue
        seen.add(kind)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the run itself warns
                made = assemble(config)
                prepare_inputs(
                    made.model,
                    made.dataset,
                    captions=config.data.captions,
                    cache=cache,
                    workers=config.training.workers,
                    progress=False,
                )
        except Exception as error:  # noqa: BLE001  (the run itself fails of it, and is recorded)
            warnings.warn(f"{job.case.name}: no features beforehand ({error})", stacklevel=2)
