"""Whether an encoder of a user's own can be saved and loaded, asked before it is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from crosshash.backbones import create_image_backbone, create_text_encoder, takes_weights
from crosshash.backbones.base import ASSETS, Features, ImageBackbone, Inputs, TextEncoder
from crosshash.backbones.decode import PictureReader
from crosshash.backbones.forward import evaluating
from crosshash.images import ImageSource

Sample = ImageSource | Sequence[str] | npt.NDArray[Any]


class RoundTripError(ValueError):
    """An encoder that would come back from a checkpoint as another one, or not at all."""


def check_round_trip(encoder: ImageBackbone | TextEncoder, sample: Sample) -> None:
    """Build an encoder again from its spec and assets, and compare its features.

    What comes with the package is known to do so and passes at once. Random numbers of the caller's
    are not touched.

    Args:
        encoder: As it goes into training; fitted.
        sample: A few items of the training set: pictures, texts, or rows of features.

    Raises:
        RoundTripError: ``spec()`` is not JSON, or does not build it; a file of ``save_assets`` is
            none that a checkpoint keeps; weights do not fit; or features differ, or are not as
            wide as the encoder says. The message says which.
    """
    if type(encoder).__module__.startswith("crosshash."):
        return
    image = isinstance(encoder, ImageBackbone)
    what = f"{'image backbone' if image else 'text encoder'} {type(encoder).__name__}"
    with torch.random.fork_rng(devices=[]), TemporaryDirectory() as folder:
        again = _built_again(encoder, Path(folder), what)
    try:
        again.load_state_dict(encoder.state_dict())
    except RuntimeError as error:
        raise RoundTripError(
            f"{what}: what its spec() builds has other weights, so that a checkpoint could not be "
            f"loaded: {error}"
        ) from None
    if isinstance(encoder, ImageBackbone) and encoder.reads_pixels is isinstance(
        sample, np.ndarray
    ):
        return  # preparing the data tells that these do not go together
    first, second = _inputs(encoder, sample), _inputs(again, sample)
    _compare(what, "prepared input", first, second)
    features, other = _features(encoder, first), _features(again, first)
    shape = tuple(features.pooled.shape)
    if shape != (len(sample), encoder.dim):
        raise RoundTripError(
            f"{what}: expected pooled features of shape {(len(sample), encoder.dim)}, the number "
            f"of items and its dim, got {shape}"
        )
    channels = 0 if features.map is None else features.map.shape[1]
    if channels != encoder.channels:
        raise RoundTripError(
            f"{what}: expected a map of channels={encoder.channels} channels (0: no map), got "
            f"{channels}"
        )
    _compare(what, "features", features._asdict(), other._asdict())


def _built_again(encoder: Any, folder: Path, what: str) -> Any:
    try:
        spec = json.loads(json.dumps(encoder.spec()))
    except (TypeError, ValueError) as error:
        raise RoundTripError(
            f"{what}: spec() is kept as JSON, which cannot hold {encoder.spec()!r} ({error}); give "
            "names, numbers and lists"
        ) from None
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
        raise RoundTripError(
            f"{what}: spec() is a dictionary with the name under which it is registered as 'name', "
            f"and its options, got {spec!r}"
        )
    try:
        if isinstance(encoder, ImageBackbone):
            weights = {"weights": "random"} if takes_weights(spec["name"]) else {}
            return create_image_backbone(**{**spec, **weights})
        written = encoder.save_assets(folder)
        _check_assets([path.relative_to(folder).as_posix() for path in written], what)
        again = create_text_encoder(**spec, assets=folder)
    except (LookupError, TypeError, ValueError, OSError) as error:
        if isinstance(error, RoundTripError):
            raise
        raise RoundTripError(f"{what}: spec() {spec} does not build it again: {error}") from error
    if not again.fitted:
        raise RoundTripError(
            f"{what}: built again it is not fitted; write what fit() learns in save_assets(folder) "
            "and read it from the option assets, or keep it in spec() or in a buffer"
        )
    return again


def _check_assets(names: list[str], what: str) -> None:
    lost = [n for n in names if not any(PurePosixPath(n).match(pattern) for pattern in ASSETS)]
    if lost:
        raise RoundTripError(
            f"{what}: save_assets writes {lost}, which a checkpoint does not keep; its files may "
            f"be {', '.join(ASSETS)}"
        )


def _inputs(encoder: Any, sample: Any) -> Inputs:
    """What goes through the encoder, by name; the sample is of its kind."""
    if isinstance(encoder, TextEncoder):
        return encoder.prepare(sample, unknown="allow")
    if encoder.reads_pixels:
        read = PictureReader(sample, encoder.preprocess)
        return {"pixels": read(range(len(sample)))}
    return {"rows": encoder.prepare(sample)}


def _features(encoder: Any, inputs: Inputs) -> Features:
    with evaluating(encoder), torch.inference_mode():
        given = inputs if isinstance(encoder, TextEncoder) else next(iter(inputs.values()))
        features: Features = encoder(given)
    return features


def _compare(
    what: str, kind: str, first: Mapping[str, Tensor | None], second: Mapping[str, Tensor | None]
) -> None:
    for name in {**first, **second}:
        one, two = first.get(name), second.get(name)
        if one is None and two is None:
            continue
        if one is None or two is None or one.shape != two.shape or one.dtype != two.dtype:
            difference = "of another shape or type"
        elif torch.allclose(one.double(), two.double(), rtol=1e-4, atol=1e-5, equal_nan=True):
            continue
        else:
            difference = f"up to {float((one.double() - two.double()).abs().max()):.3g} apart"
        raise RoundTripError(
            f"{what}: built again from its spec(), it gives another {kind} ({name}: {difference}); "
            "spec() must have every option that changes what it does"
        )
