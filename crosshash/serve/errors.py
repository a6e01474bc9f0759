"""Errors of a request: a status and a sentence, as JSON, and nothing of the machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

QUOTED = 80  # characters of what was sent that an error repeats


class Refused(Exception):  # noqa: N818  (it is an answer, and not a fault)
    """A request that is answered by a status and a sentence.

    Attributes:
        status: HTTP status.
        sentence: What was expected, what came and how to mend it.
        headers: Of the answer.
    """

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(status, sentence)
        self.status = status
        self.sentence = sentence
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Json(JSONResponse):
    """JSON in ASCII: names of files may have no UTF-8 form. What is no number becomes null."""

    def render(self, content: Any) -> bytes:
        """The content as bytes."""
        try:
            text = json.dumps(content, allow_nan=False)
        except ValueError:
            read = json.loads(json.dumps(content), parse_constant=lambda _: None)
            text = json.dumps(read)
        return text.encode("ascii")


def answer(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Json:
    """An error as it is sent."""
    return Json({"error": sentence}, status, headers=dict(headers or {}))


def quoted(value: object) -> str:
    """A value of a request in an error, cut short."""
    text = ascii(value)
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}…"


async def on_refused(_: Request, error: Exception) -> Response:
    """The answer to a request that is refused."""
    assert isinstance(error, Refused)
    return answer(error.status, error.sentence, error.headers)


async def on_http(_: Request, error: Exception) -> Response:
    """The answer where there is no such place or method."""
    assert isinstance(error, HTTPException)
    return answer(error.status_code, f"{error.detail}; /openapi.json has what there is")


async def on_invalid(_: Request, error: Exception) -> Response:
    """The answer to parameters that are none."""
    assert isinstance(error, RequestValidationError)
    return answer(422, sentence_of(error.errors()))


def sentence_of(errors: Any) -> str:
    """The first of pydantic's errors as a sentence."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("query", "body"))
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    got = f", got {quoted(first['input'])}" if "input" in first else ""
    return f"{quoted(place)[1:-1] or 'the request'}: {first['msg']}{got}{more}"
