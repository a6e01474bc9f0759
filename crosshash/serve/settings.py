"""What a service may be asked for, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ServeSettings:
    """Limits and rights of a service; the defaults suit one machine and a few people.

    Attributes:
        root: The folder below which pictures of items are shown, wherever links lead; None: none.
        writable: Items may be added and removed.
        keys: API keys, of which a request has to bring one; none are asked for where it is empty.
        hosts: Names by which the service may be called; empty: any. A page of another site cannot
            reach a service on this machine under a name of its own then.
        max_body: Bytes of a request.
        max_pixels: Pixels of a picture, before it is decoded.
        max_text: Characters of a text that is searched for or added.
        max_topk: Hits of a search.
        max_items: Items of one request that adds.
        rate: Requests per second and client, over time; 0: any number.
        burst: Requests that a client may make at once.
        timeout: Seconds for a request, with its sending.
        running: Requests that are worked on at once, each in a thread.
        waiting: Requests that wait beside them; more are refused.
        refresh: Seconds between looks for what others wrote to the index; 0: none.

    Raises:
        ValueError: A limit is below what serves anybody.
    """

    root: Path | None = None
    writable: bool = False
    keys: tuple[str, ...] = field(default=(), repr=False)
    hosts: tuple[str, ...] = ()
    max_body: int = 16 << 20
    max_pixels: int = 50_000_000
    max_text: int = 2_000
    max_topk: int = 200
    max_items: int = 256
    rate: float = 50.0
    burst: int = 400
    timeout: float = 30.0
    running: int = 8
    waiting: int = 64
    refresh: float = 0.0

    def __post_init__(self) -> None:
        least = {"max_body": 1024, "timeout": 0.01, "rate": 0, "waiting": 0, "refresh": 0}
        others = ("max_pixels", "max_text", "max_topk", "max_items", "burst", "running")
        for name, low in {**least, **dict.fromkeys(others, 1)}.items():
            value = getattr(self, name)
            if not low <= value < float("inf"):  # NaN is neither
                raise ValueError(f"{name} is a finite number of at least {low}, got {value}")
