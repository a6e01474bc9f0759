"""What a record keeps for figures and galleries: the losses of epochs, and what queries found."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# The name of a thumbnail in a store; a record of somebody else's leads to nothing outside of it.
PictureName = Annotated[str, Field(pattern=r"^([0-9a-f]{32}\.jpg)?$")]


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Epoch(_Kept):
    """One epoch of a training.

    Attributes:
        epoch: Its number, 1 for the first.
        terms: Means of the unweighted loss terms, and what is solved in closed form, as the
            training's history names them.
        totals: By phase the weighted sum of its terms, which is minimised; a phase that is solved
            in closed form has none.
        validation: Figures on held-out pairs, where they were measured.
    """

    epoch: int
    terms: dict[str, float] = {}
    totals: dict[str, float] = {}
    validation: dict[str, float] = {}


class FoundImage(_Kept):
    """An image that a text found.

    Attributes:
        id: Of its pair.
        distance: Hamming distance of the codes.
        relevant: Whether it shares a label with the query.
        picture: Name of its thumbnail in ``pictures`` of the store; empty: it could not be read.
    """

    id: str
    distance: int
    relevant: bool
    picture: PictureName = ""


class TextQuery(_Kept):
    """A text of the queries and the first images that it found.

    Attributes:
        id: Of its pair.
        text: What was asked.
        found: Nearest first, in the order of the data set where distances are the same.
    """

    id: str
    text: str
    found: list[FoundImage]
