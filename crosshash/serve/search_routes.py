"""Searching by words, by a picture, or by an item."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from crosshash.serve.errors import Json, Refused
from crosshash.serve.uploads import (
    Upload,
    checked,
    content_type,
    parsed,
    read_form,
    read_model,
)

router = APIRouter(tags=["search"])
TOPK = 24
WHERE_CHARACTERS = 8_192

Rank = Literal["asymmetric", "hamming"]
_WHERE = (
    'Conditions on metadata as JSON: {"label": "dog"}, {"label": ["dog", "cat"]}, '
    '{"year": {">=": 2020}}'
)


class Question(BaseModel):
    """What every search may say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    topk: int = TOPK
    where: dict[str, Any] | None = Field(None, description=_WHERE)
    rank: Rank = "asymmetric"


class TextQuestion(Question):
    """A search by words."""

    q: str


class ItemQuestion(Question):
    """A search by an item that is in the index."""

    id: str


def body_of(model: type[BaseModel], *, picture: bool = False) -> dict[str, Any]:
    """What OpenAPI says of a body that is read by hand, with its own limits."""
    content: dict[str, Any] = {"application/json": {"schema": model.model_json_schema()}}
    if picture:
        file = {"type": "string", "format": "binary"}
        form = {"type": "object", "properties": {"file": file}}
        content |= {"multipart/form-data": {"schema": form}, "image/*": {"schema": file}}
    return {"requestBody": {"content": content, "required": True}}


def where_of(text: str | None) -> dict[str, Any] | None:
    """Conditions as a parameter has them."""
    if not text:
        return None
    if len(text) > WHERE_CHARACTERS:
        raise Refused(422, f"where has at most {WHERE_CHARACTERS:,} characters")
    value = parsed(text, "where")
    if not isinstance(value, dict):
        raise Refused(422, 'where is a JSON object such as {"label": "dog"}')
    return value


async def by_text(request: Request, asked: TextQuestion) -> Json:
    """The hits of words."""
    state = request.app.state
    found = await state.gate.work(
        state.service.search, "text", asked.q, asked.topk, asked.where, asked.rank
    )
    return Json(found)


@router.get("/search/text", response_class=Json)
async def search_text(
    request: Request,
    q: str,
    topk: int = TOPK,
    where: str = Query("", description=_WHERE),
    rank: Rank = "asymmetric",
) -> Json:
    """Search by words."""
    return await by_text(request, TextQuestion(q=q, topk=topk, where=where_of(where), rank=rank))


@router.post("/search/text", response_class=Json, openapi_extra=body_of(TextQuestion))
async def post_search_text(request: Request) -> Json:
    """Search by words, which stand in no log of addresses then."""
    return await by_text(request, await read_model(request, TextQuestion))


@router.post(
    "/search/image", response_class=Json, openapi_extra=body_of(ItemQuestion, picture=True)
)
async def search_image(
    request: Request,
    topk: int = TOPK,
    where: str = Query("", description=_WHERE),
    rank: Rank = "asymmetric",
) -> Json:
    """Search by a picture, as a form's `file` or as the body, or by an item's `id`, as JSON.

    An item is searched by the code that it has, and always by Hamming distance.
    """
    kind, state = content_type(request), request.app.state
    service = state.service
    if kind == "application/json":
        item = await read_model(request, ItemQuestion)
        found = await state.gate.work(service.search_item, item.id, item.topk, item.where)
        return Json(found)
    asked = Question(topk=topk, where=where_of(where), rank=rank)
    if kind.startswith("image/"):
        picture = await request.body()
    elif kind == "multipart/form-data":
        async with read_form(request, files=1, max_part=WHERE_CHARACTERS) as form:
            picture, asked = await _of_form(form, asked)
    else:
        raise Refused(
            415, "send a picture, as the field `file` of a form or with its type, or JSON with `id`"
        )
    found = await state.gate.work(
        service.search, "image", picture, asked.topk, asked.where, asked.rank
    )
    return Json(found)


async def _of_form(form: Any, asked: Question) -> tuple[bytes, Question]:
    file = form.get("file")
    if not isinstance(file, Upload):
        raise Refused(422, "the form has no picture; send one as the field `file`")
    told = {name: form[name] for name in ("topk", "where", "rank") if name in form}
    if any(isinstance(value, Upload) for value in told.values()):
        raise Refused(422, "topk, where and rank are no files")
    if "topk" in told:
        told["topk"] = whole_number(told["topk"])
    if "where" in told:
        told["where"] = where_of(told["where"])
    return await file.read(), checked(Question, {**asked.model_dump(), **told})


def whole_number(text: str) -> int:
    """A number as a form has it."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refused(422, "topk is a whole number")
    return int(text)
