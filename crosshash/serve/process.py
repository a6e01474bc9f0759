"""The process: a server that ends what it began, and opens its index anew when told to."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import sys
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI

from crosshash.serve.errors import Refused

log = logging.getLogger("crosshash.serve")
CONNECTIONS = 1_000
"""That are open at once; a proxy in front keeps more."""


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def run(app: FastAPI, *, host: str, port: int, proxies: Sequence[str] = (), grace: int = 30) -> int:
    """Serve until SIGTERM or SIGINT; what runs then is ended first.

    SIGHUP opens the index anew.

    Args:
        app: Of :func:`~crosshash.serve.create_app`.
        host: The address to listen at.
        port: Its port; 0: any that is free, which the log tells.
        proxies: Addresses whose ``X-Forwarded-For`` is believed.
        grace: Seconds that requests have to end.

    Returns:
        0 when it was stopped, 1 where it could not start.
    """
    _log_to_stderr()
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",  # bounds the head of a request
        ws="none",
        lifespan="on",
        access_log=False,  # would have what people search for
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=grace,
        log_config=None,
    )
    server = uvicorn.Server(config)
    # The server raises the signal that stopped it once more when all is done.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        asyncio.run(_serve(server, app))
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0 if server.started else 1


async def _serve(server: uvicorn.Server, app: FastAPI) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def begin() -> None:
        task = asyncio.ensure_future(_reload(app))
        tasks.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(tasks.discard)

    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, begin)
    await server.serve()


async def _reload(app: FastAPI) -> None:
    state = app.state
    try:
        await asyncio.to_thread(state.service.reload)
        state.metrics.reloads.inc()
    except Refused as refused:
        log.warning("SIGHUP: %s", refused.sentence)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("uvicorn", "crosshash.serve"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
