"""Who may ask, how much at once, how long, and how many bytes: refused before work is done."""

from __future__ import annotations

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crosshash.serve.errors import Refused, answer
from crosshash.serve.gate import Gate
from crosshash.serve.keys import Keys
from crosshash.serve.origin import check_origin
from crosshash.serve.rate import Rates
from crosshash.serve.settings import ServeSettings

FREE = ("/healthz",)
"""Answered at once, whoever asks."""
PUBLIC = ("/", "/page.css", "/page.js", "/icon.svg")
"""Asks for no key: the page has nothing of the index in it, and lets its user type one."""


class Guard:
    """Lets a request through to the application, or answers it."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, gate: Gate) -> None:
        self._app, self._settings, self._gate = app, settings, gate
        self._keys = Keys(settings.keys)
        self._rates = Rates(settings.rate, settings.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["path"] in FREE:
            await self._app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            self._admit(scope)
            with self._gate.place(), anyio.move_on_after(self._settings.timeout) as limit:
                await self._app(scope, self._bounded(receive), sending)
            if limit.cancelled_caught and not started:
                seconds = self._settings.timeout
                raise Refused(504, f"the request took longer than {seconds:g} s; ask again later")
        except Refused as refused:
            if started:
                raise
            response = answer(refused.status, refused.sentence, refused.headers)
            await response(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        client = scope.get("client")
        self._rates.check(client[0] if client else "")
        check_origin(headers, self._settings.hosts)
        if scope["path"] not in PUBLIC:
            self._keys.check(headers)
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Refused(400, "Content-Length is a number of bytes")
        # Longer than any number of bytes that there is, and slow to read as one.
        if len(length) > 15 or int(length) > self._settings.max_body:
            raise self._too_large()

    def _bounded(self, receive: Receive) -> Receive:
        """What is received, refused as soon as it is too much, whatever was announced."""
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._settings.max_body:
                raise self._too_large()
            return message

        return bounded

    def _too_large(self) -> Refused:
        most = self._settings.max_body
        # The rest is not read, and would be taken for the next request.
        return Refused(413, f"the body has more than {most:,} bytes", Connection="close")
