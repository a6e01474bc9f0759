"""A sheet of sample pairs as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont, ImageOps

from crosshash.files import atomic_file
from crosshash.needs import needs
from crosshash.rgb import to_rgb

_INK, _FAINT, _LABEL = (28, 30, 34), (120, 124, 132), (24, 90, 157)
_PAPER, _MAT = (255, 255, 255), (238, 239, 242)
_GAP = 16
_FORMATS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


@dataclass(frozen=True)
class Sample:
    """A pair to show; what it lacks is left out.

    Attributes:
        name: The pair's id.
        image: Its picture, or None where the data set has features.
        text: Its caption or words.
        labels: Names of its labels.
    """

    name: str
    image: PILImage.Image | None = None
    text: str = ""
    labels: Sequence[str] = ()


def sample_sheet(
    samples: Sequence[Sample],
    *,
    columns: int = 4,
    width: int = 240,
    lines: int = 4,
    title: str = "",
) -> PILImage.Image:
    """Draw pairs side by side: picture, id, text and labels.

    Args:
        samples: In reading order.
        columns: Pairs in a row.
        width: Pixels of a column; pictures fit into a square of that side.
        lines: Most lines of a text; a longer one ends in "…".
        title: A line above.

    Raises:
        ValueError: There is nothing to draw, or a number is below 1.
    """
    if not samples or min(columns, lines) < 1 or width < 32:
        raise ValueError(
            f"a sheet needs samples, columns >= 1, lines >= 1 and width >= 32, got {len(samples)} "
            f"samples, columns={columns}, lines={lines}, width={width}"
        )
    font, small, large = _font(14), _font(12), _font(20)
    line = 19
    pictures = any(sample.image is not None for sample in samples)
    labelled = any(sample.labels for sample in samples)
    height = line * (1 + lines + 2 * labelled) + (width + 6 if pictures else 0)
    columns = min(columns, len(samples))
    rows = -(-len(samples) // columns)
    top = _GAP + (34 if title else 0)
    sheet = PILImage.new(
        "RGB", (_GAP + columns * (width + _GAP), top + rows * (height + _GAP)), _PAPER
    )
    draw = ImageDraw.Draw(sheet)
    if title:
        fitted = _wrapped(draw, title, large, sheet.width - 2 * _GAP, 1)
        draw.text((_GAP, _GAP - 4), fitted[0] if fitted else "", fill=_INK, font=large)
    for place, sample in enumerate(samples):
        x = _GAP + (place % columns) * (width + _GAP)
        y = top + (place // columns) * (height + _GAP)
        if pictures:
            draw.rectangle((x, y, x + width - 1, y + width - 1), fill=_MAT)
            if sample.image is not None:
                picture = ImageOps.contain(to_rgb(sample.image), (width, width))
                offset = (x + (width - picture.width) // 2, y + (width - picture.height) // 2)
                sheet.paste(picture, offset)
            y += width + 6
        for text, ink, face, most in (
            (sample.name, _FAINT, small, 1),
            (sample.text, _INK, font, lines),
            (", ".join(sample.labels), _LABEL, small, 2),
        ):
            for part in _wrapped(draw, text, face, width, most):
                draw.text((x, y), part, fill=ink, font=face)
                y += line
    return sheet


def write_sample_sheet(path: str | Path, samples: Sequence[Sample], **options: Any) -> Path:
    """Write :func:`sample_sheet` as a picture file; an older one is replaced when it is whole.

    Raises:
        ValueError: The file's suffix is none of .jpeg, .jpg, .png and .webp.
    """
    target = Path(path)
    kind = _FORMATS.get(target.suffix.lower())
    if kind is None:
        raise ValueError(f"{target}: a sheet is written as {', '.join(_FORMATS)}")
    sheet = sample_sheet(samples, **options)
    with atomic_file(target) as temporary, temporary.open("wb") as file:
        sheet.save(file, format=kind)
    return target


def _font(size: int) -> Any:
    """DejaVu Sans, which has Latin, Greek and Cyrillic letters and comes with Matplotlib."""
    with needs("matplotlib", "the font of a sheet of samples"):
        from matplotlib import get_data_path

    path = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size) if path.is_file() else ImageFont.load_default()


def _wrapped(draw: Any, text: str, font: Any, width: int, most: int) -> list[str]:
    """Lines no wider than ``width``; where there are more than ``most``, the last ends in "…"."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        wider = f"{line} {word}" if line else word
        if not line or draw.textlength(wider, font=font) <= width:
            line = wider
            continue
        lines.append(line)
        line = word
        if len(lines) > most:
            break
    lines += [line] if line else []
    cut = len(lines) > most
    lines = lines[:most]
    for place, shown in enumerate(lines):
        ending = "…" if cut and place == most - 1 else ""
        if draw.textlength(shown + ending, font=font) > width:
            ending = "…"
            while shown and draw.textlength(shown + ending, font=font) > width:
                shown = shown[:-1]
        lines[place] = shown + ending
    return lines
