"""Figures of networks: drawn from what flows through them, nothing left out, nothing clipped."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from matplotlib import get_data_path
from PIL import ImageFont
from torch import Tensor, nn

from crosshash.backbones import Features, create_image_backbone, create_text_encoder
from crosshash.layers import Encoder, HashHead
from crosshash.methods import METHODS
from crosshash.model import HashModel

ROOT = Path(__file__).parents[1]
METHODS_HERE = sorted(n for n in METHODS.names() if METHODS[n].__module__.startswith("crosshash."))
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def website() -> Any:
    """The modules that make figures, as MkDocs finds them."""
    sys.path.insert(0, str(ROOT / "website"))
    try:
        import method_pages
        import network_figure
        import network_trace
        import networks
    finally:
        sys.path.remove(str(ROOT / "website"))

    class Website:
        pages, figure, trace, networks_ = method_pages, network_figure, network_trace, networks

        def svg(self, method: str) -> ElementTree.Element:
            page = next(p for p in method_pages.pages() if p.uri == f"methods/{method}.md").write()
            (found,) = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
            return ElementTree.fromstring(found)

    return Website()


def boxes(svg: ElementTree.Element) -> list[tuple[str, list[float], list[ElementTree.Element]]]:
    """Class, place (x, y, right, bottom) and texts of each box."""
    found: list[tuple[str, list[float], list[ElementTree.Element]]] = []
    for part in svg:
        if part.tag == f"{SVG}rect":
            x, y, width, height = (float(part.attrib[n]) for n in ("x", "y", "width", "height"))
            found.append((part.attrib["class"], [x, y, x + width, y + height], []))
        elif part.tag == f"{SVG}text" and "class" not in part.attrib:
            found[-1][2].append(part)
    return found


def told(svg: ElementTree.Element) -> dict[str, list[str]]:
    """What stands in each box, by its bold line; names that are broken up are made whole."""
    found = {}
    for _, _, texts in boxes(svg):
        bold = [text.text or "" for text in texts if text.get("font-weight")]
        plain = [text.text or "" for text in texts if not text.get("font-weight")]
        found["".join(bold)] = plain
    return found


@pytest.mark.parametrize("method", METHODS_HERE)
def test_a_figure_has_a_title_and_words_for_those_who_do_not_see_it(
    method: str, website: Any
) -> None:
    svg = website.svg(method)
    assert svg.attrib["role"] == "img"
    title, about = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert title is not None
    assert about is not None
    assert svg.attrib["aria-labelledby"].split() == [title.get("id"), about.get("id")]
    assert title.text == f"The network of {website.pages.title(method)}"
    assert re.match(
        r"Images: backbones\.\w+, .*Texts: text, .*Steps of training: ", about.text or ""
    )
    for name in told(svg):
        if not name[0].isdigit() and len(name) > 1:
            assert name in (about.text or "").replace("., ", ".")


@pytest.mark.parametrize("method", METHODS_HERE)
def test_letters_stay_in_their_boxes_and_boxes_apart(method: str, website: Any) -> None:
    svg = website.svg(method)
    width, height = (float(value) for value in svg.attrib["viewBox"].split()[2:])
    assert width == 360  # a phone's, at which letters are not made smaller
    size = float(svg.attrib["font-size"])
    fonts = {
        weight: ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans{name}.ttf", size)
        for weight, name in ((None, ""), ("700", "-Bold"))
    }
    found = boxes(svg)
    for _, (left, top, right, bottom), texts in found:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        for text in texts:
            half = fonts[text.get("font-weight")].getlength(text.text or "") / 2
            x, y = float(text.attrib["x"]), float(text.attrib["y"])
            assert left < x - half < x + half < right, text.text
            assert top < y - size < y + size / 4 < bottom, text.text
    for n, (_, one, _) in enumerate(found):
        for _, other, _ in found[:n]:
            apart = one[2] <= other[0] or other[2] <= one[0]
            assert apart or one[3] <= other[1] or other[3] <= one[1]


@pytest.mark.parametrize("method", METHODS_HERE)
def test_lines_run_beside_the_boxes(method: str, website: Any) -> None:
    svg = website.svg(method)
    width = float(svg.attrib["viewBox"].split()[2])
    lines = svg.findall(f"{SVG}polyline")
    assert lines
    for line in lines:
        points = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
        for (a, b), (x, y) in pairwise(points):
            assert 0 < min(a, x) <= max(a, x) < width
            for _, (left, top, right, bottom), _ in boxes(svg):
                across = max(a, x) > left and min(a, x) < right
                assert not (across and max(b, y) > top and min(b, y) < bottom)


@pytest.mark.parametrize("method", METHODS_HERE)
def test_every_weight_of_a_checkpoint_is_in_a_box(method: str, website: Any) -> None:
    config = website.networks_.read_config(
        ROOT / "configs" / method / "base.yaml", {"data": "mirflickr"}
    )
    with torch.device("meta"):
        names = list(website.networks_._network(config).state_dict())
    kept = [name for name in told(website.svg(method)) if "." in name or len(name) > 1]
    assert [n for n in names if not any(f"{n}.".startswith(f"{box}.") for box in kept)] == []


def test_widths_and_names_are_those_of_the_config(website: Any) -> None:
    found = told(website.svg("dcmh"))
    assert found["backbones.image"] == ["cnnf, trained", "3×224×224 → 4,096"]
    assert found["image_net.codes"] == ["HashHead", "4,096 → 64"]
    assert found["text_net.encoder"] == ["Encoder", "1,386 → 8,192"]
    assert found["F"] == found["G"] == ["signs: 64 bits"]
    assert found["bank"] == ["CodeBank", "F, G, B, labels"]
    assert found["1. image"] == ["inter, quantization, balance"]
    assert found["3. codes"] == ["in closed form"]
    assert "alexnet, frozen" in told(website.svg("amgfh"))["backbones.image"]
    # Attention stands between a map and what the backbone makes of it.
    drawn = website.networks_.drawn("hfah").boxes
    assert drawn["image_net.attention"].reads == {"backbones.image"}
    assert drawn["image_net.attention"].widths == ["256×6×6", "256×6×6"]
    assert drawn["backbones.image.classifier"].reads == {"image_net.attention"}
    # A shared block has what comes from both sides.
    mith = website.networks_.drawn("mith")
    assert mith.sides["concepts.residual"] == "both"
    assert mith.boxes["concepts.residual"].reads == {
        *("image_net.vector", "image_net.token", "text_net.vector"),
    }


def test_what_only_training_has_is_dashed_and_knows_what_it_reads(website: Any) -> None:
    by_class = [(kind, texts[0].text) for kind, _, texts in boxes(website.svg("amgfh"))]
    assert [name for kind, name in by_class if kind == "training"] == ["guide", "discriminator"]
    css = (ROOT / "docs" / "assets" / "site.css").read_text(encoding="utf-8")
    assert re.search(r"\.network \.training \{[^}]*stroke-dasharray", css)
    amgfh = website.networks_.drawn("amgfh")
    # The fusion module sees what it guides as constants, which is seen all the same.
    assert amgfh.training["guide"].reads == {"projection", "text"}
    assert amgfh.training["discriminator"].reads == {"image_head", "text_head"}
    hash_step, judge = amgfh.steps
    assert hash_step.terms["fit"] == {"guide", "image_head", "text_head"}
    assert "agree_image" not in hash_step.terms  # of weight 0
    assert judge.trains == ["discriminator"]
    hfah = website.networks_.drawn("hfah")
    assert [(step.phase, step.once) for step in hfah.steps] == [
        ("labels", True),
        ("first_codes", True),
        ("networks: label", False),
        ("networks: modalities", False),
        ("networks: discriminators", False),
        ("codes", False),
    ]
    assert website.networks_.drawn("dnph").training["proxies"].widths == ["24×64"]
    page = next(p for p in website.pages.pages() if p.uri == "methods/dmsfh.md").write()
    assert "`label`: `bank.labels`, `heads.image`<br>" in page
    assert "| 1. image | `backbones.image`, `image_net.codes`, `heads.image` |" in page


def test_a_figure_is_the_same_each_time(website: Any) -> None:
    once = website.figure.figure("DJSRH", website.networks_.drawn("djsrh"))
    website.networks_.drawn.cache_clear()
    assert website.figure.figure("DJSRH", website.networks_.drawn("djsrh")) == once


class Joined(HashModel):
    """Two layers side by side, of which one is a detour, and a tensor of its own."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.own = nn.Parameter(torch.ones(8))
        self.image_net = nn.ModuleDict({"one": nn.Linear(8, 4), "two": nn.Linear(8, 6)})
        self.last = nn.Sequential(Encoder(10, [5, 3]), HashHead(3, 8))
        self.text_net = nn.Linear(9, 8)

    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        x = (features["image"].pooled * self.own).relu()
        with torch.no_grad():
            two = self.image_net["two"](x).detach()
        return self.last(torch.cat([self.image_net["one"](x), two], dim=1))

    def hash_text(self, features: Features) -> Tensor:
        return self.text_net(features.pooled)


def test_a_trace_follows_tensors_through_what_is_no_module(website: Any) -> None:
    backbone = create_image_backbone("features", dim=8)
    net = Joined({"image": backbone}, create_text_encoder("features", dim=9), 8)
    net.eval()
    trace = website.trace.Trace(net)
    with trace:
        codes = net.hash_image(net.image_features({"image": torch.rand(2, 8)}))
    assert {path: box.reads for path, box in trace.boxes.items()} == {
        "backbones.image": set(),
        "own": {"backbones.image"},
        "image_net.two": {"own"},
        "image_net.one": {"own"},
        "last.0": {"image_net.one", "image_net.two"},
        "last.1": {"last.0"},
    }
    assert trace.reads(codes) == {"last.1"}
    assert trace.boxes["own"].kind == "parameter"
    assert trace.boxes["last.0"].widths == ["10", "5", "3"]
    net.hash_text(net.text_features({"features": torch.rand(2, 9)}))
    assert "text_net" not in trace.boxes  # it looks only while it is entered


def test_long_names_are_broken_where_they_may_be(website: Any) -> None:
    wrapped = website.figure.wrapped
    assert wrapped("1. hash", 200) == ["1. hash"]
    assert wrapped("image_net.local.transformer", 120) == ["image_net.local.", "transformer"]
    assert wrapped("TransformerEncoderLayer × 2", 130) == ["TransformerEncoder", "Layer × 2"]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_clips_no_letter(website: Any, tmp_path: Path) -> None:
    css = (ROOT / "docs" / "assets" / "site.css").read_text(encoding="utf-8")
    figures = "".join(
        f'<figure class="network">{ElementTree.tostring(website.svg(method), "unicode")}</figure>'
        for method in METHODS_HERE
    ).replace("ns0:", "").replace("xmlns:ns0", "xmlns")  # fmt: skip
    script = """
    let clipped = [], seen = 0, box;
    for (const part of document.querySelectorAll("rect, svg > text")) {
      const own = part.getBBox();
      if (part.tagName === "rect") { box = own; continue; }
      seen += own.width > 0;
      const frame = part.classList.contains("head") ? part.ownerSVGElement.viewBox.baseVal : box;
      if (own.x < frame.x || own.x + own.width > frame.x + frame.width ||
          own.y < frame.y || own.y + own.height > frame.y + frame.height)
        clipped.push(part.textContent);
    }
    document.title = `${seen} texts, clipped: ${clipped.join("; ")}`;
    """
    page = tmp_path / "figures.html"
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><style>{css}</style><body class="md-typeset" '
        f'style="font-family: Helvetica, Arial, sans-serif">{figures}<script>{script}</script>',
        encoding="utf-8",
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    done = subprocess.run(
        [str(CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", str(page)],
        capture_output=True, text=True, timeout=150, check=True,
    )  # fmt: skip
    found = re.search(r"<title>(\d+) texts, clipped: (.*?)</title>", done.stdout)
    assert found
    assert int(found[1]) > 300
    assert found[2] == ""
