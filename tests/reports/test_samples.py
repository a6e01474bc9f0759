from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosshash.reports.samples import Sample, sample_sheet, write_sample_sheet

RED = Image.new("RGB", (60, 30), (200, 0, 0))


def inked(sheet: Image.Image) -> np.ndarray:
    return (np.asarray(sheet) < 200).all(axis=2)


def test_pictures_stand_side_by_side_in_order() -> None:
    blue = Image.new("RGB", (10, 40), (0, 0, 200))
    sheet = sample_sheet(
        [Sample("a", RED), Sample("b", blue), Sample("c", RED)], columns=2, width=100
    )
    pixels = np.asarray(sheet)
    reds = np.argwhere((pixels == (200, 0, 0)).all(axis=2))
    blues = np.argwhere((pixels == (0, 0, 200)).all(axis=2))
    assert blues[:, 1].min() > reds[:, 1].max()  # the second column has the second pair alone
    assert reds[:, 0].max() > blues[:, 0].max()  # the third pair is in the second row
    assert blues[:, 0].max() - blues[:, 0].min() == 99  # scaled up to the column
    assert np.ptp(reds[:, 1]) == 99


def test_texts_and_labels_are_drawn_and_long_ones_cut() -> None:
    empty = sample_sheet([Sample("")], width=120)
    assert not inked(empty).any()
    short = inked(sample_sheet([Sample("", text="word")], width=120)).sum()
    long = sample_sheet([Sample("", text="word " * 200)], width=120)
    assert long.size == empty.size
    assert inked(long).sum() > 4 * short
    assert not inked(long)[:, 16 + 120 + 4 :].any()  # nothing leaves its column
    assert inked(sample_sheet([Sample("", text="w" * 400)], width=120))[:, 140:].sum() == 0
    labels = np.asarray(sample_sheet([Sample("", labels=["dog", "snow"])], width=120))
    assert (labels[..., 2].astype(int) - labels[..., 0] > 60).any()


def test_text_is_shown_as_it_is() -> None:
    sample_sheet([Sample("id", RED, "naïve café, 犬, ελ, [red]\n\ttabs", ["L"])], title="Ä [b]")


def test_features_have_no_place_for_pictures() -> None:
    with_picture = sample_sheet([Sample("a", RED, "x")], width=100)
    without = sample_sheet([Sample("a", None, "x")], width=100)
    assert with_picture.height - without.height == 106


@pytest.mark.parametrize(("suffix", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")])
def test_a_sheet_is_written_in_the_format_of_its_name(
    tmp_path: Path, suffix: str, kind: str
) -> None:
    path = write_sample_sheet(tmp_path / "new" / f"sheet.{suffix}", [Sample("a", RED, "text")])
    with Image.open(path) as sheet:
        assert sheet.format == kind


def test_wrong_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 samples"):
        sample_sheet([])
    with pytest.raises(ValueError, match="columns=0"):
        sample_sheet([Sample("a")], columns=0)
    with pytest.raises(ValueError, match=r"sheet\.pdf"):
        write_sample_sheet(tmp_path / "sheet.pdf", [Sample("a")])


def test_a_picture_of_16_bits_is_drawn_as_it_is_seen() -> None:
    grey = Image.fromarray(np.full((32, 32), 128 * 257, np.uint16))
    sheet = sample_sheet([Sample("a", grey)], width=64)
    assert (128, 128, 128) in {colour for _, colour in sheet.getcolors(1 << 16)}
