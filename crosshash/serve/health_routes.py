"""How the service does, and having it open its index anew."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from crosshash.serve.errors import Json, Refused

router = APIRouter(tags=["service"])


@router.get("/healthz", response_class=Json)
async def health(request: Request) -> Any:
    """Whether it lives, and answers searches: 503 where it does not. Asks for no key."""
    ready = not request.app.state.service.problem
    return Json({"live": True, "ready": ready}, 200 if ready else 503)


@router.get("/about", response_class=Json)
async def about(request: Request) -> Any:
    """What is served, and how much may be asked for."""
    state = request.app.state
    return Json(await state.gate.work(state.service.about))


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Any:
    """Figures in Prometheus's form."""
    state = request.app.state
    figures, gate = state.metrics, state.gate
    figures.items.set(await gate.work(state.service.items))
    figures.held.set(gate.held)
    figures.working.set(gate.working)
    figures.ready.set(not state.service.problem)
    return Response(figures.text(), media_type=figures.content_type)


@router.post("/admin/reload", response_class=Json)
async def reload(request: Request) -> Any:
    """Open the index anew; searches that run end with the old one. Needs keys, or --writable."""
    state = request.app.state
    settings = state.service.settings
    if not (settings.keys or settings.writable):
        raise Refused(
            403,
            "reloading over HTTP needs --api-key-file or --writable; or send the process a SIGHUP",
        )
    items = await state.gate.work(state.service.reload)
    state.metrics.reloads.inc()
    return Json({"items": items})
