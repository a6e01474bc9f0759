"""The sections of an experiment config, each checked by itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

_Rank = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of a config: unknown keys are refused, and nothing changes it afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class BackboneConfig(Section):
    """One image slot: which backbone, from which weights, trained or not."""

    name: str
    frozen: bool = True
    options: dict[str, Any] = Field(default_factory=dict)


class TextConfig(Section):
    """The text encoder: ``bow``, ``features``, or ``hf:``, ``clip:``, ``static:`` and a model."""

    name: str = "bow"
    frozen: bool = True
    vocabulary: Literal["train", "all"] = Field(
        default="train", description="pairs from which a vocabulary is learnt"
    )
    options: dict[str, Any] = Field(default_factory=dict)


class DataConfig(Section):
    """The data set, and which of its pairs train, choose the epoch, and are measured.

    Attributes:
        name: As it is registered.
        root: Its folder.
        captions: Which of an item's captions is its text: the ``first``; all of them, as one text
            (``join``); or ``each``: in training one that is drawn anew each time, else the first.
        validation: Pairs held out of the training set, by whose MAP the best epoch is chosen.
        refit: Train anew on all training pairs, those of ``validation`` too, for as many epochs as
            were best on these: the same seed and settings, each epoch at the learning rate that it
            had in the first training. The last network of this second training is kept.
        calibration: Training pairs left out of all training, on which the finished model's
            distances become probabilities; 0: those of ``validation`` serve, where there are any.
        holdout: Rehearse the protocol on so many held-out training pairs, to compare settings by.
        augment: Mirror and shift the pictures in training.
        options: Keyword arguments of its reader.
    """

    name: str
    root: str | None = None
    captions: Literal["first", "join", "each"] = "first"
    validation: int = Field(default=0, ge=0)
    refit: bool = False
    calibration: int = Field(default=0, ge=0)
    holdout: int = Field(default=0, ge=0)
    augment: bool = False
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("refit")
    @classmethod
    def _held_out(cls, refit: bool, info: ValidationInfo) -> bool:
        if refit and not info.data.get("validation"):
            raise ValueError(
                "it trains again on the pairs of data.validation, which holds none out; set "
                "data.validation, or leave data.refit out"
            )
        return refit


class EvaluationConfig(Section):
    """The conventions that change a figure, each by its name.

    Attributes:
        ties: Order of items at the same distance.
        denominator: Of the MAP@k that is quoted; all four are measured.
        empty: Queries with nothing relevant: left out of means, or counted as 0.
        topk: Each k of MAP@k.
        ranks: Each N of Precision@N; None: 1, 5, 10, 50, … as far as the retrieval set goes.
        radii: Hamming radii of F1.
        f1_average: ``query``: mean of the queries' F1; ``curve``: F1 of the mean precision and the
            mean recall, which is how the DMSFH paper's Table 5 has it.
        database: Codes of the searched pairs. ``encoded``: by the hash functions. ``both``: these
            figures, and beside them those of ``learned``: searched pairs that were trained on have
            their label-learned B, as in the shallow literature, others are encoded.
        asymmetric: Measure MAP by asymmetric distance too, of the queries' real values and the
            searched signs.
        partners: Measure too how often a query finds its own other side among the queries: R@1, 5
            and 10.
    """

    ties: Literal["expected", "best", "worst", "index"] = "expected"
    denominator: Literal["total", "min", "retrieved", "first"] = "total"
    empty: Literal["skip", "zero"] = "skip"
    topk: list[_Rank] = Field(default_factory=lambda: [50])
    ranks: Annotated[list[_Rank], Field(min_length=1)] | None = None
    radii: list[Annotated[int, Field(ge=0)]] = Field(default_factory=lambda: [0, 1, 2])
    f1_average: Literal["query", "curve"] = "query"
    database: Literal["encoded", "both"] = "encoded"
    asymmetric: bool = False
    partners: bool = False
