"""Requests of other sites' pages, which a browser sends without asking its user."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from crosshash.serve.errors import Refused, quoted

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def check_origin(headers: Headers, hosts: Collection[str]) -> None:
    """Refuse a request under another name than the service's, or of another site's page.

    Args:
        headers: The request's.
        hosts: Names without ports; empty: any.
    """
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if hosts and name.lower() not in hosts:
        raise Refused(
            421, f"this service does not go by the name {quoted(name)}; start it with --name"
        )
    origin = headers.get("origin")
    if origin is not None and _host_of(origin) != host.lower():
        raise Refused(403, "a page of another site sent this; requests come from this one's page")


def _host_of(origin: str) -> str:
    """Host and port of an origin; empty where there is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
