"""How probable it is that a hit at some distance is relevant, as held-out pairs have told."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, field_validator, model_validator

from crosshash.sections import Section

if TYPE_CHECKING:
    from crosshash.model.hash_model import HashModel

Kind = Literal["image", "text"]
Way = Literal["i2t", "t2i", "i2i", "t2t"]  # the query's kind first
Probabilities = npt.NDArray[np.float64]

WAYS: tuple[Way, ...] = ("i2t", "t2i", "i2i", "t2t")
KEY = "calibration"  # in a model's figures
MOST_STEPS = 256

_Probability = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Heights = Annotated[list[_Probability], Field(min_length=1)]


class Steps(Section):
    """A probability that falls in steps.

    Attributes:
        starts: Where each step begins, ascending from 0.
        heights: The probability from there to the next start, never rising, inside of 0…1.
    """

    starts: Annotated[list[_Share], Field(min_length=1, max_length=MOST_STEPS)]
    heights: Annotated[list[_Probability], Field(min_length=1, max_length=MOST_STEPS)]

    @model_validator(mode="after")
    def _falling(self) -> Steps:
        if len(self.starts) != len(self.heights):
            raise ValueError(f"{len(self.starts)} starts for {len(self.heights)} heights")
        if self.starts[0] != 0 or any(a >= b for a, b in pairwise(self.starts)):
            raise ValueError("starts ascend from 0")
        _check_falling(self.heights)
        return self

    def at(self, places: Any) -> Probabilities:
        """The heights at places in 0…1, of their shape; NaN stays NaN."""
        values = np.asarray(places, dtype=np.float64)
        step = np.searchsorted(self.starts, values, side="right") - 1
        found: Probabilities = np.array(self.heights)[np.clip(step, 0, None)]
        return np.where(np.isnan(values), np.nan, found)


class Table(Section):
    """The probabilities of one direction at one length.

    Attributes:
        hamming: k + 1 probabilities, one for each Hamming distance, never rising.
        asymmetric: By the asymmetric distance as a share of the query's |r|_1, 0…1.
        held_out: Expected calibration error on held-out pairs, by kind of distance: fitted on half
            of them, measured on the other half; empty where these are too few.
    """

    hamming: _Heights
    asymmetric: Steps
    held_out: dict[Literal["hamming", "asymmetric"], _Share] = Field(default_factory=dict)

    @field_validator("hamming")
    @classmethod
    def _falling(cls, values: list[float]) -> list[float]:
        _check_falling(values)
        return values


class Calibration(Section):
    """From a model's distances to the probability that a hit is relevant.

    Attributes:
        relevance: What ``relevant`` is. ``labels``: query and hit share a label; ``pairs``: the hit
            is the query's own partner.
        items: Held-out pairs, which were compared with each other.
        refit: It was fitted for the model that trained without these pairs, and is kept for the one
            that then trained on them too.
        tables: By code length (its digits) and direction.
    """

    relevance: Literal["labels", "pairs"]
    items: Annotated[int, Field(ge=2)]
    refit: bool = False
    tables: dict[str, dict[Way, Table]]

    @field_validator("tables")
    @classmethod
    def _lengths(cls, tables: dict[str, dict[Way, Table]]) -> dict[str, dict[Way, Table]]:
        for bits, ways in tables.items():
            for way, table in ways.items():
                if str(len(table.hamming) - 1) != bits:
                    raise ValueError(
                        f"{bits}.{way}: {len(table.hamming)} probabilities for the Hamming "
                        f"distances of {bits} bits, which has one more of them than bits"
                    )
        return tables

    def table(self, query: Kind, items: Kind, bits: int) -> Table | None:
        """The table of a direction; None where nothing was known of it."""
        way: Any = f"{query[0]}2{items[0]}"
        return self.tables.get(str(bits), {}).get(way)

    def probability(
        self,
        distances: Any,
        *,
        query: Kind,
        items: Kind,
        bits: int,
        sizes: Any = None,
        count: int | None = None,
    ) -> Probabilities | None:
        """The probability that each hit is relevant; never rises with distance.

        Args:
            distances: (q, n) Hamming distances; with ``sizes``, asymmetric ones.
            query: What the queries are.
            items: What is searched.
            bits: The codes' length.
            sizes: (q,) sums of the queries' real values without their signs, |r|_1.
            count: Number of items that are searched. Where relevant is the own partner alone, each
                hit is the less probable the more there are; None: as many as were held out.

        Returns:
            (q, n), inside of 0…1; None where this direction or length was not calibrated.

        Raises:
            ValueError: A Hamming distance is none of codes of that length.
        """
        table = self.table(query, items, bits)
        if table is None:
            return None
        if sizes is None:
            places = np.asarray(distances)
            if places.size and not 0 <= places.min() <= places.max() <= bits:
                raise ValueError(
                    f"Hamming distances of {bits} bits are 0…{bits}, got {places.min()}…"
                    f"{places.max()}; for asymmetric distances give sizes"
                )
            found: Probabilities = np.array(table.hamming)[places]
        else:
            whole = np.asarray(sizes, dtype=np.float64)[:, None]
            # A query of zeros is as sure of each side: half of the way.
            shares = np.asarray(distances, dtype=np.float64) / np.where(whole > 0, whole, 1.0)
            found = table.asymmetric.at(np.where(whole > 0, shares, 0.5))
        if self.relevance == "labels" or count is None:
            return found
        return _among(found, self.items, count)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values, which :func:`read_calibration` reads."""
        return self.model_dump(mode="json")


def read_calibration(values: Any) -> Calibration:
    """The calibration that :meth:`Calibration.as_dict` has written.

    Raises:
        ValueError: It is none, or is damaged; names the first place.
    """
    try:
        return Calibration.model_validate(values, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, (KEY, *first["loc"])))
        raise ValueError(f"{place}: {first['msg']}, got {str(first['input'])[:60]}") from None


def calibration_of(model: HashModel) -> Calibration | None:
    """What a model carries; None for one that no held-out pairs were kept for."""
    values: Mapping[str, Any] | None = model.info.figures.get(KEY)
    return None if values is None else read_calibration(values)


def _check_falling(values: list[float]) -> None:
    if any(a < b for a, b in pairwise(values)):
        raise ValueError("probabilities never rise with distance")


def _among(found: Probabilities, fitted: int, count: int) -> Probabilities:
    """Probabilities of the one partner among ``fitted`` items, among ``count`` of them.

    What partners and what others are at a distance stays as it was; only the others become more.
    """
    share = (fitted - 1) / max(count - 1, 1)
    changed: Probabilities = found * share / (found * share + 1 - found)
    return changed
