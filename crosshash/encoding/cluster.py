"""A folder of codes written by the machines of a Ray cluster, part by part, through Ray Data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from crosshash.encoding.folder import part_path, write_part
from crosshash.encoding.items import Item, Source
from crosshash.encoding.listing import iterate_parts
from crosshash.encoding.part import Settings, encode_part
from crosshash.encoding.run import PER_PART, Begun, Progress, Summary, begin
from crosshash.model.hash_model import HashModel

_MOST_BLOCKS = 10_000


def encode_on_cluster(
    load: Callable[..., HashModel],
    source: Source | str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    actors: int,
    name: str = "",
    items_per_part: int = PER_PART,
    progress: Progress | None = None,
    **settings: Any,
) -> Summary:
    """Write what :func:`~crosshash.encoding.encode_source` writes, by actors of a Ray cluster.

    Parts are handed out one by one. What an actor that dies had begun, Ray gives to another; a part
    that is finished is not made again. The cluster is the one that ``ray.init()`` finds
    (``RAY_ADDRESS``), or this machine.

    Args:
        load: Gives the model, ``load(device="cuda")``; it is sent to the actors, as
            ``functools.partial(crosshash.load, "runs/photos")``.
        source: What all machines see by the same name.
        folder: Likewise.
        actors: Processes with a model each; with a GPU each, where the cluster has as many.
        name: What the model is called, for ``codes.json``.
        items_per_part: Of each part but the last.
        progress: Told how many items are done, and how many there are.
        settings: ``bits``, ``batch_size``, ``workers``, ``dtype``, ``allow_unknown``,
            ``cache``.

    Raises:
        ImportError: Ray Data is not installed.
        ValueError: ``actors`` is below 1.
    """
    ray, data = _import_ray()
    if actors < 1:
        raise ValueError(f"actors is the number of processes with a model each, got {actors}")
    model = load(device="cpu")
    known = Settings(model.check_length(settings.pop("bits", None)), **settings)
    given: dict[str, Any] = {"settings": known, "name": name, "items_per_part": items_per_part}
    begun = begin(model, source, folder, **given)
    del model
    todo, header = begun.missing(), begun.header
    total, done = sum(map(header.size, todo)), 0
    if progress is not None:
        progress(0, total)
    if not todo:
        return begun.summary(0)
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    gpus = ray.cluster_resources().get("GPU", 0) >= actors
    blocks = min(len(todo), _MOST_BLOCKS)
    parts = data.from_items([{"part": part} for part in todo], override_num_blocks=blocks).map(
        _Actor,
        fn_constructor_kwargs={
            "load": load,
            "source": begun.source,
            "folder": Path(folder).absolute(),
            "options": given,
            "device": "cuda" if gpus else "cpu",
        },
        compute=data.ActorPoolStrategy(size=min(actors, blocks)),
        num_gpus=1 if gpus else 0,
    )
    context = data.DataContext.get_current()
    bars, context.enable_progress_bars = context.enable_progress_bars, False  # there is progress
    try:
        for row in parts.iter_rows():
            done += header.size(int(row["part"]))
            if progress is not None:
                progress(done, total)
    finally:
        context.enable_progress_bars = bars
    return begun.summary(len(todo))


class _Actor:
    """A process with a model, to which parts come by their numbers."""

    def __init__(
        self,
        load: Callable[..., HashModel],
        source: Source,
        folder: Path,
        options: dict[str, Any],
        device: str,
    ) -> None:
        self.model = load(device=device)
        self.settings = options["settings"]
        # Listed by each: what stands twice is known by hashes that are this process's own.
        self.begun: Begun = begin(self.model, source, folder, **options)
        self.parts: Iterator[tuple[int, list[Item]]] = iter(())
        self.next = self.begun.header.parts  # so that the first part asked for begins

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make the part of a row, if it is not there."""
        number, folder = int(row["part"]), self.begun.folder
        if not part_path(folder, number).exists():
            made = encode_part(self.model, self.begun.source, self.items(number), self.settings)
            write_part(folder, number, *made)
        return row

    def items(self, number: int) -> list[Item]:
        """Of a part; parts mostly come in order, so that the source is gone through once."""
        if number < self.next:
            self.parts = iterate_parts(self.begun.source, self.begun.listing)
        for at, items in self.parts:
            self.next = at + 1
            if at == number:
                return items
        raise ValueError(f"{self.begun.source} has no part {number}")


def _import_ray() -> tuple[Any, Any]:
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'a Ray cluster needs Ray Data: pip install "crosshash[ray]"', name=error.name
        ) from error
    return ray, ray.data
