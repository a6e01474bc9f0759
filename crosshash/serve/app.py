"""The application: its parts put together, and what lives as long as it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from crosshash.model.hash_model import HashModel
from crosshash.search.index import Index
from crosshash.serve import health_routes, item_routes, page_routes, search_routes
from crosshash.serve.errors import Refused, on_http, on_invalid, on_refused
from crosshash.serve.frame import Frame
from crosshash.serve.gate import Gate
from crosshash.serve.guard import Guard
from crosshash.serve.metrics import Metrics
from crosshash.serve.service import Service
from crosshash.serve.settings import ServeSettings

log = logging.getLogger("crosshash.serve")


def create_app(
    model: HashModel, opened: Callable[[], Index], settings: ServeSettings | None = None
) -> FastAPI:
    """An ASGI application that searches an index with its model.

    Args:
        model: Made the codes of the index.
        opened: Opens the index, ``lambda: Index.open("photos.index")``; called again for a reload.
            The application closes what it gives.
        settings: Limits and rights.

    Raises:
        ValueError: The index is of another model.
    """
    settings = settings or ServeSettings()
    service = Service(model, opened, settings)
    gate, metrics = Gate(settings.running, settings.waiting), Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        polling = asyncio.create_task(_refreshed(service, gate, settings.refresh))
        try:
            yield
        finally:
            polling.cancel()
            with suppress(asyncio.CancelledError):
                await polling
            await asyncio.to_thread(gate.close)
            await asyncio.to_thread(service.close)

    # FastAPI's own pages of documentation load scripts of other servers, which an offline machine
    # has not; /openapi.json has all that they show.
    app = FastAPI(
        title="crosshash",
        description="Search an index of binary codes by words, by a picture, or by an item.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service, app.state.gate, app.state.metrics = service, gate, metrics
    for routes in (search_routes, item_routes, health_routes, page_routes):
        app.include_router(routes.router)
    app.add_exception_handler(Refused, on_refused)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_middleware(Guard, settings=settings, gate=gate)
    app.add_middleware(Frame, metrics=metrics)  # around the other
    return app


async def _refreshed(service: Service, gate: Gate, seconds: float) -> None:
    """Look for what others wrote, every so many seconds; 0: never."""
    while seconds:
        await asyncio.sleep(seconds)
        try:
            await gate.work(service.refresh)
        except Exception:  # a database that is away comes back, and the next look finds it
            log.exception("looking for what others wrote failed")
