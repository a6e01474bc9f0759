"""Items: what is known of one, its picture, adding and removing."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from crosshash.serve.errors import Json, Refused
from crosshash.serve.ids import id_and_part
from crosshash.serve.pictures import SIZES
from crosshash.serve.search_routes import body_of
from crosshash.serve.uploads import Upload, content_type, parsed, read_form, read_model

router = APIRouter(tags=["items"])
METADATA_CHARACTERS = 65_536


class NewItem(BaseModel):
    """A text that is added."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    text: str
    metadata: dict[str, Any] | None = None


class NewItems(BaseModel):
    """Texts that are added, all of them or none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    items: list[NewItem] = Field(min_length=1)
    replace: bool = False


@router.get("/items/{id:path}/image", response_class=Response)
async def item_image(request: Request, size: int = Query(320, ge=SIZES[0], le=SIZES[1])) -> Any:
    """An item's picture, scaled down to `size` pixels a side, as JPEG."""
    id_, picture = id_and_part(request)
    if not picture:  # an id that ends in %2Fimage
        return await item(request)
    state = request.app.state
    content = await state.gate.work(state.service.picture, id_, size)
    return Response(
        content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"}
    )


@router.get("/items/{id:path}", response_class=Json)
async def item(request: Request) -> Any:
    """An item's metadata, and its packed code in hexadecimal digits."""
    state = request.app.state
    return Json(await state.gate.work(state.service.item, id_and_part(request)[0]))


@router.delete("/items/{id:path}", response_class=Json)
async def remove(request: Request) -> Any:
    """Take an item out of the index; its file stays where it is."""
    state, raw = request.app.state, id_and_part(request)
    id_ = f"{raw[0]}/image" if raw[1] else raw[0]
    return Json(await state.gate.work(state.service.remove, id_))


@router.post("/items", response_class=Json, openapi_extra=body_of(NewItems, picture=True))
async def add(request: Request) -> Any:
    """Add texts, as JSON, or a picture or a text, as a form of `id`, `file` or `text`, `metadata`.

    The code is kept and not the picture. `replace` replaces an item of the same id.
    """
    state, kind = request.app.state, content_type(request)
    if kind == "multipart/form-data":
        async with read_form(request, files=1, max_part=METADATA_CHARACTERS) as form:
            items, replace = [await _of_form(form)], form.get("replace") in ("1", "true", "on")
    else:
        asked = await read_model(request, NewItems)
        items, replace = [one.model_dump() for one in asked.items], asked.replace
    return Json(await state.gate.work(_add, state.service, items, replace), 201)


def _add(service: Any, items: list[dict[str, Any]], replace: bool) -> Any:
    return service.add(items, replace=replace)


async def _of_form(form: Any) -> dict[str, Any]:
    """An item as a form has it."""
    id_, file, text = form.get("id"), form.get("file"), form.get("text")
    if not isinstance(id_, str) or not id_:
        raise Refused(422, "the form has no `id`")
    if (file is None) == (text is None):
        raise Refused(422, "an item is a picture, `file`, or a `text`: the form has one of them")
    given = form.get("metadata")
    metadata = parsed(given, "metadata") if isinstance(given, str) and given else None
    if metadata is not None and not isinstance(metadata, dict):
        raise Refused(422, 'metadata are a JSON object such as {"label": "dog"}')
    if isinstance(file, Upload):
        return {"id": id_, "image": await file.read(), "metadata": metadata}
    if not isinstance(text, str):
        raise Refused(422, "`file` is a picture's file, and `text` a text")
    return {"id": id_, "text": text, "metadata": metadata}
