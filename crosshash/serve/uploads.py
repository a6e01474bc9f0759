"""What a request carries: JSON of bounded depth, and pictures of bounded size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, TypeVar

from fastapi import Request
from PIL import Image as PILImage
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from crosshash.serve.errors import Refused, sentence_of
from crosshash.untrusted import parse_json

Model = TypeVar("Model", bound=BaseModel)
Upload = UploadFile


def content_type(request: Request) -> str:
    """The type of a request's body, without its parameters."""
    told: str = request.headers.get("content-type", "")
    return told.partition(";")[0].strip().lower()


async def read_model(request: Request, model: type[Model]) -> Model:
    """A request's JSON body, checked."""
    if content_type(request) != "application/json":
        # Of the types that a page of another site may send unasked, none is taken for JSON.
        raise Refused(415, "the body is JSON: send it with `Content-Type: application/json`")
    return checked(model, parsed(await request.body(), "the body"))


def parsed(text: str | bytes, what: str) -> Any:
    """A JSON value of bounded depth, without NaN and without a key twice."""
    try:
        return parse_json(text, what)
    except ValueError as error:
        raise Refused(422, str(error)[:300]) from None


def checked(model: type[Model], value: Any) -> Model:
    """A value as a model of pydantic."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Refused(422, sentence_of(error.errors(include_url=False))) from None


@asynccontextmanager
async def read_form(request: Request, *, files: int, max_part: int) -> AsyncIterator[FormData]:
    """A multipart form, of which ``max_part`` bytes are taken of each field that is no file."""
    try:
        parser = MultiPartParser(
            request.headers, request.stream(), max_files=files, max_fields=8, max_part_size=max_part
        )
        form = await parser.parse()
    except MultiPartException as error:
        raise Refused(400, f"not a multipart form: {error.message}") from None
    except (LookupError, ValueError):
        raise Refused(400, "not a multipart form: its headers cannot be read") from None
    try:
        yield form
    finally:
        await form.close()


def check_picture(content: bytes, max_pixels: int) -> None:
    """Refuse what is no picture or has too many pixels, from its first bytes alone."""
    if not content:
        raise Refused(422, "the picture has no bytes; send one as the field `file`")
    try:
        with PILImage.open(BytesIO(content)) as image:
            width, height = image.size
    except PILImage.DecompressionBombError:
        raise _too_large("more pixels than can be read", max_pixels) from None
    except (OSError, SyntaxError, ValueError, OverflowError, MemoryError):
        raise not_a_picture() from None
    if width * height > max_pixels:
        raise _too_large(f"{width} x {height} pixels", max_pixels)


def not_a_picture() -> Refused:
    """The answer to bytes that are no picture."""
    return Refused(
        422, "the file cannot be read as a picture; send a whole JPEG, PNG, WebP, GIF, BMP or TIFF"
    )


def _too_large(what: str, most: int) -> Refused:
    return Refused(413, f"the picture has {what}, and at most {most:,} are read; scale it down")
