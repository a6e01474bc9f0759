"""The page for people: three files of the package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

router = APIRouter(include_in_schema=False)
_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@cache
def file_of(name: str) -> bytes:
    """One of the page's files."""
    return (files("crosshash.serve") / "page" / name).read_bytes()


def _sent(name: str) -> Response:
    return Response(file_of(name), media_type=_TYPES[name], headers={"Cache-Control": "no-cache"})


@router.get("/")
async def page() -> Any:
    """The page."""
    return _sent("index.html")


@router.get("/page.css")
async def style() -> Any:
    """Its style."""
    return _sent("page.css")


@router.get("/page.js")
async def script() -> Any:
    """Its script."""
    return _sent("page.js")


@router.get("/icon.svg")
async def icon() -> Any:
    """Its icon."""
    return _sent("icon.svg")
