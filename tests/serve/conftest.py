"""A small model, an index of pictures, and clients of a service over both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import crosshash
from crosshash.search.index import Index

COLOURS = ["red", "blue", "green", "white"]


@pytest.fixture(scope="session")
def model() -> crosshash.HashModel:
    return crosshash.load("amgfh-shapes-64")


@pytest.fixture(scope="session")
def scenes() -> list[bytes]:
    """Pictures as PNG files, of which no two have the same code."""
    dataset, _ = crosshash.load_dataset("shapes", n=8, seed=7)
    found = []
    for image in dataset.images:
        buffer = BytesIO()
        image.save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


@dataclass
class Place:
    """Pictures in a folder, and an index of them."""

    model: crosshash.HashModel
    photos: Path
    index: Path
    ids: list[str]

    def opened(self) -> Index:
        return Index.open(self.index)

    def app(self, **settings: Any) -> Any:
        from crosshash.serve import ServeSettings, create_app

        return create_app(self.model, self.opened, ServeSettings(**settings))


@pytest.fixture
def place(model: crosshash.HashModel, scenes: list[bytes], tmp_path: Path) -> Place:
    photos, ids = tmp_path / "photos", []
    (photos / "more").mkdir(parents=True)
    for number in range(6):
        path = photos / ("more" if number % 2 else "") / f"{number} é.png"
        path.write_bytes(scenes[number])
        ids.append(str(path))
    metadata = [{"colour": COLOURS[n % 4], "year": 2020 + n} for n in range(6)]
    with Index.for_model(model, {"model": "small"}, uri=tmp_path / "index") as index:
        index.add(model.encode_image(ids, progress=False), ids, metadata)
    return Place(model, photos, tmp_path / "index", ids)


@pytest.fixture
def client(place: Place) -> Iterator[Callable[..., Any]]:
    """Makes clients of services; keyword arguments are settings."""
    from fastapi.testclient import TestClient

    made: list[TestClient] = []

    def make(**settings: Any) -> TestClient:
        app = place.app(**{"root": place.photos, **settings})
        one = TestClient(app, raise_server_exceptions=False, base_url="http://127.0.0.1")
        one.__enter__()
        made.append(one)
        return one

    yield make
    for one in made:
        one.__exit__(None, None, None)


@pytest.fixture
def listening() -> Callable[[Any], AbstractContextManager[str]]:
    """Serves an application by a server of this process, and gives its address."""
    return _listening


@contextmanager
def _listening(app: Any) -> Iterator[str]:
    """The address of an application that a server of this process serves."""
    import uvicorn

    config = uvicorn.Config(app, port=0, http="h11", log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < until
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
