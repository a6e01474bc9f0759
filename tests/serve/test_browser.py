"""The page in a browser: it searches, shows what it finds, and runs nothing that an index holds."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx", reason="needs httpx, of the extra dev")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--virtual-time-budget=20000"]  # fmt: skip
HOSTILE = '<img src=x onerror="document.title=\'run\'"><script>document.title="run"</script>'


def dom(address: str, profile: Path) -> str:
    """The page as it is when its scripts have run."""
    done = subprocess.run(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    return done.stdout


def status(page: str) -> str:
    found = re.search(r'<p id="status"[^>]*>(.*?)</p>', page)
    assert found
    return unescape(found[1])


def test_the_page_searches_by_words(place: Any, listening: Any, tmp_path: Path) -> None:
    with place.opened() as index:
        code = place.model.encode_text("a red circle")
        index.add(code, [HOSTILE], [{"caption": HOSTILE, HOSTILE: HOSTILE}])
        index.add(code, ["several"], [{"labels": ["star"], "text": ["the first", "the second"]}])
    with listening(place.app(root=place.photos)) as address:
        page = dom(f"{address}/?q={quote('a red circle')}", tmp_path / "profile")
    assert status(page).startswith("8 results, nearest first")
    assert page.count('class="tile"') == 8
    assert ">the first<" in page
    assert "the second" not in page
    assert page.count('class="bit') >= 64
    assert "<title>crosshash: search</title>" in page
    assert "<img src=x" not in page
    assert "<script>document" not in page
    assert "&lt;img src=x" in page
    shown = re.findall(r'<img[^>]*src="(items/[^"]*/image)"', page)
    assert set(shown) == {f"items/{quote(id_, safe='')}/image" for id_ in place.ids}
    assert "Result 1: " in page
    assert "Search by it" in page


def test_the_page_searches_by_an_item_and_filters(
    place: Any, listening: Any, tmp_path: Path
) -> None:
    where = quote('{"year": {">=": 2022}, "colour": ["green", "white"]}')
    with listening(place.app(root=place.photos)) as address:
        url = f"{address}/?id={quote(place.ids[2], safe='')}&where={where}"
        page = dom(url, tmp_path / "profile")
    assert status(page) == "2 results, nearest first"
    assert page.count('class="condition"') == 2
    assert re.search(r'id="more"[^>]*aria-expanded="true"', page)
    assert "distance 0" in page


def test_the_page_says_what_is_wrong(place: Any, listening: Any, tmp_path: Path) -> None:
    with listening(place.app(root=place.photos)) as address:
        page = dom(f"{address}/?q=qqq%20zzz", tmp_path / "profile")
    assert "none of the words" in status(page)
    with listening(place.app(keys=("k" * 16,))) as address:
        page = dom(f"{address}/?q=a%20circle", tmp_path / "profile")
    assert re.search(r'<form id="keys" class="card">', page)
    assert status(page) == ""


def test_a_name_that_is_no_utf8_has_an_address(place: Any, listening: Any, tmp_path: Path) -> None:
    path = place.photos / "caf\udce9.png"
    path.write_bytes(Path(place.ids[0]).read_bytes())
    with place.opened() as index:
        index.add(np.zeros((1, 8), np.uint8), [str(path)])
    with listening(place.app(root=place.photos)) as address:
        page = dom(f"{address}/?q=a%20red%20circle", tmp_path / "profile")
    assert "caf%e9.png/image" in page
