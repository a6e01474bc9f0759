"""A transformers image processor's settings, and the same steps on PIL pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image as PILImage
from torch import Tensor

from crosshash.registry import nearest

STEPS = ("size", "crop", "interpolation", "mean", "std")


def read_processor(name: str, source: str) -> dict[str, Any]:
    """Preprocessing of a folder or Hub repository, as :func:`processor_steps` gives it.

    Raises:
        FileNotFoundError: It has no image processor.
    """
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(
            source, trust_remote_code=False, backend="pil"
        )
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{name}: its image processor was not found ({error}); a dual encoder's folder has "
            "preprocessor_config.json or processor_config.json"
        ) from error
    return processor_steps(name, processor.to_dict())


def processor_steps(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an image processor's settings that decides a pixel, in JSON's types.

    Returns:
        ``size``: of the shorter side, or [height, width], or None where nothing is resized;
        ``crop``: [height, width] of the middle, or None; ``interpolation``: a filter of PIL;
        ``mean``, ``std``: of values in [0, 1].

    Raises:
        ValueError: It makes pictures of several sizes, or has steps that are not these.
    """
    size: Any = None
    if values.get("do_resize", True):
        given = dict(values.get("size") or {})
        given = {key: value for key, value in given.items() if value is not None}
        if set(given) == {"shortest_edge"}:
            size = int(given["shortest_edge"])
        elif set(given) == {"height", "width"}:
            size = [int(given["height"]), int(given["width"])]
        else:
            raise ValueError(
                f"{name}: its image processor resizes to {given}; expected shortest_edge, or "
                "height and width"
            )
    crop = None
    if values.get("do_center_crop"):
        crop = [int(values["crop_size"]["height"]), int(values["crop_size"]["width"])]
    # ToTensor divides by 255; another factor is put into mean and std.
    scale = (
        255 * (values.get("rescale_factor") or 1 / 255) if values.get("do_rescale", True) else 255
    )
    normalize = values.get("do_normalize", True)
    mean, std = (values["image_mean"], values["image_std"]) if normalize else ([0.0] * 3, [1.0] * 3)
    steps = {
        "size": size,
        "crop": crop,
        "interpolation": PILImage.Resampling(values.get("resample", 3)).name.lower(),
        "mean": [float(value) / scale for value in mean],
        "std": [float(value) / scale for value in std],
    }
    return checked_steps(name, steps)


def checked_steps(
    name: str, steps: Mapping[str, Any], changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Preprocessing with some of it replaced.

    Raises:
        ValueError: An unknown key, pictures of several sizes, an unknown filter, or mean or std
            without three channels.
    """
    for key in changes or {}:
        if key not in STEPS:
            raise ValueError(f"{name}: unknown preprocessing option {key!r}: {nearest(key, STEPS)}")
    found = {**steps, **(changes or {})}
    if set(found) != set(STEPS):
        raise ValueError(f"{name}: preprocess needs all of {', '.join(STEPS)}, got {found}")
    if found["crop"] is None and not isinstance(found["size"], (list, tuple)):
        raise ValueError(
            f"{name}: its preprocessing, {found}, leaves pictures of several sizes; give crop or "
            "size as [height, width]"
        )
    filters = [entry.name.lower() for entry in PILImage.Resampling]
    if found["interpolation"] not in filters:
        raise ValueError(f"{name}: interpolation is one of {filters}, got {found['interpolation']}")
    for key in ("mean", "std"):
        if not isinstance(found[key], (list, tuple)) or len(found[key]) != 3:
            raise ValueError(f"{name}: {key} has three channels, got {found[key]!r}")
    return {k: list(v) if isinstance(v, (list, tuple)) else v for k, v in found.items()}


def input_size(steps: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of a preprocessed picture."""
    height, width = steps["crop"] or steps["size"]
    return height, width


class FlooredCrop:
    """The middle of a picture, its upper left corner rounded down, as transformers has it.

    torchvision rounds it to the nearest, so that some pictures would be moved by a pixel.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, picture: PILImage.Image) -> PILImage.Image:
        """Crop; what lies outside of a smaller picture is black."""
        height, width = self.size
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        return picture.crop((left, top, left + width, top + height))


def processor_transform(steps: Mapping[str, Any]) -> Callable[[PILImage.Image], Tensor]:
    """The steps in their order, from a PIL picture in RGB to (3, h, w)."""
    from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize, ToTensor

    geometry: list[Any] = []
    if steps["size"] is not None:
        geometry.append(Resize(steps["size"], InterpolationMode(steps["interpolation"])))
    if steps["crop"] is not None:
        geometry.append(FlooredCrop(tuple(steps["crop"])))
    whole: Callable[[PILImage.Image], Tensor] = Compose(
        [*geometry, ToTensor(), Normalize(steps["mean"], steps["std"])]
    )
    return whole
