"""Around every request: headers that guard browsers, figures, and an answer whatever happens."""

from __future__ import annotations

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crosshash.serve.errors import answer
from crosshash.serve.metrics import Metrics

log = logging.getLogger("crosshash.serve")

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Frame:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            # The place of the fault is for the log, and what a client gets says nothing of it.
            log.exception("a request to %s failed", route_of(scope))
            if not status:
                fault = answer(500, "the service failed at this request; its log says more")
                await fault(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - begun
            self._metrics.count(route_of(scope), scope["method"], status, seconds)


def route_of(scope: Scope) -> str:
    """The pattern of the path that answers a request, of which there are few."""
    return str(getattr(scope.get("route"), "path", "none"))
