import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from crosshash.images import ImageArrays
from crosshash.reports.gallery import (
    Hit,
    Item,
    Query,
    Section,
    write_gallery,
    write_search_gallery,
)
from crosshash.reports.plots import loss_plot, precision_recall_plot

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Elements of a page, with a check that every tag is closed."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements, self.open, self.words = [], [], []
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag, kind=None):
        return [a for t, a in self.elements if t == tag and kind in (None, a.get("class"))]


def photo(seed=0, size=(400, 300)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def decoded(uri):
    head, data = uri.split(",", 1)
    return head, Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture
def sections():
    hits = [Hit(Item(text=f"caption {i}"), 30 + i, i % 2 == 0) for i in range(5)]
    back = [Hit(Item(image=photo(i)), 7, False) for i in range(5)]
    return [
        Section("Image → text", [Query(Item(image=photo(9)), hits)]),
        Section("Text → image", [Query(Item(text="a dog & a cat"), back)]),
    ]


def test_a_gallery_shows_queries_hits_distances_and_relevance(tmp_path, sections):
    summary = [("MAP", 0.71234), ("items", 18015), ("model", "amgfh")]
    path = write_gallery(tmp_path / "a.html", title="T", summary=summary, sections=sections)
    page = Page(path)
    assert [page.text.count(word) for word in ("caption", "distance 30", "distance 7")] == [5, 1, 5]
    assert len(page.all("li", "relevant")) == 3
    assert len(page.all("li", "miss")) == 7
    assert page.text.count("✓ relevant") == 1 + 3  # Sign and word: once in the key, then per hit.
    assert page.text.count("✗ not relevant") == 1 + 7
    assert "3 of 5 results are relevant" in page.text
    assert "0 of 5 results are relevant" in page.text
    assert "0.712" in page.text
    assert "18,015" in page.text
    assert page.text.index("caption 0") < page.text.index("caption 4")


def test_hits_of_unknown_relevance_are_neutral(tmp_path):
    hits = [Hit(Item(text="x"), 4), Hit(Item(text="y"), 5)]
    page = Page(write_search_gallery(tmp_path / "s.html", Item(text="two dogs"), hits))
    assert len(page.all("li", "neutral")) == 2
    assert "relevant" not in page.text
    assert "two dogs" in page.text
    assert page.all("h2") == []


def test_bars_show_distance_and_probability(tmp_path):
    hits = [Hit(Item(text="x"), 16, probability=0.8125), Hit(Item(text="y"), 80, probability=0.0)]
    page = Page(write_search_gallery(tmp_path / "s.html", Item(text="q"), hits, bits=64))
    widths = [span["style"] for span in page.all("span") if "style" in span]
    assert widths == ["width:25%", "width:81%", "width:100%", "width:0%"]
    assert "probability 0.81" in page.text.replace("\xa0", " ")
    page = Page(write_search_gallery(tmp_path / "s.html", Item(text="q"), hits[:1]))
    assert len(page.all("span", "bar")) == 1  # of how many bits is not told


def test_codes_are_squares_and_what_differs_is_framed(tmp_path):
    query = Item(text="q", code=np.array([0b0000_0011, 0], np.uint8))
    hit = Item(text="x", code=np.array([0b0000_0001, 0b1000_0000], np.uint8), labels=["a<b"])
    page = Page(write_search_gallery(tmp_path / "s.html", query, [Hit(hit, 2)]))
    assert [svg["aria-label"] for svg in page.all("svg")] == [
        "Query: its code, 16 bits",
        "Result 1: its code, 16 bits, 2 of which differ from the query's",
    ]
    places = {
        kind: [re.findall(r"M(\d)[.\d]* (\d)", path["d"]) for path in page.all("path", kind)]
        for kind in ("one", "other")
    }
    # Bit i of a byte is output i: column i of the byte's row.
    assert places["one"] == [[("0", "0"), ("1", "0")], [("0", "0"), ("7", "1")]]
    assert places["other"] == [[("1", "0"), ("7", "1")]]
    assert "framed where" in page.text
    assert "a<b" in page.text


def test_a_page_says_what_one_sees_and_how_queries_were_chosen(tmp_path):
    section = Section("Text → image", [Query(Item(text="q"), [])], note="the first <two>")
    page = Page(write_gallery(tmp_path / "a.html", title="T", lead="One & all", sections=[section]))
    assert "One & all" in page.text
    assert "the first <two>" in page.text


def test_numpy_truth_values_are_known_relevance(tmp_path):
    hits = [Hit(Item(text="x"), np.int32(4), np.True_), Hit(Item(text="y"), 5, np.False_)]
    page = Page(write_search_gallery(tmp_path / "s.html", Item(text="q"), hits))
    assert len(page.all("li", "relevant")) == len(page.all("li", "miss")) == 1
    assert "1 of 2 results are relevant" in page.text


def test_a_gallery_needs_no_other_file_and_no_script(tmp_path, sections):
    plots = [("curves", precision_recall_plot({"a": ([0, 1], [1, 0])}))]
    plots += [("losses", loss_plot([{"loss": 2.0}, {"loss": 1.0}]))]
    path = write_gallery(tmp_path / "a.html", title="T", sections=sections, plots=plots)
    page = Page(path)
    assert not page.all("script")
    assert not page.all("link")
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\((?!#)|@import", page.source)
    assert [svg["aria-label"] for svg in page.all("svg")] == ["curves", "losses"]
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")
    assert "prefers-color-scheme: dark" in page.source


def test_every_text_is_escaped(tmp_path):
    evil = "</p><script>alert('x')</script> & \"quoted\" $title ${body}"
    item = Item(image=photo(), text=evil)
    section = Section(evil, [Query(item, [Hit(item, 1, True)])])
    plots = [(evil, loss_plot([{evil: 1.0}], title=evil))]
    path = write_gallery(
        tmp_path / "a.html", title=evil, summary=[(evil, evil)], sections=[section], plots=plots
    )
    page = Page(path)
    assert not page.all("script")
    assert page.text.count(evil) >= 7
    assert all(evil in image["alt"] for image in page.all("img"))


def test_pictures_become_small_ones_with_a_description(tmp_path):
    hits = [Hit(Item(image=photo(1, (900, 300)), text="a long road"), 2, True)]
    page = Page(write_search_gallery(tmp_path / "s.html", Item(image=photo(0, (40, 30))), hits))
    query, hit = page.all("img")
    assert query["alt"] == "Query, a picture without description"
    assert hit["alt"] == "Result 1: a long road"
    assert decoded(query["src"])[1].size == (40, 30)  # Never enlarged.
    head, small = decoded(hit["src"])
    assert head == "data:image/jpeg;base64"
    assert small.size == (280, 93)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I"])
def test_pictures_of_any_mode_are_embedded(tmp_path, mode):
    image = photo().convert("RGB").convert(mode if mode != "LA" else "RGBA").convert(mode)
    page = Page(write_search_gallery(tmp_path / "s.html", Item(image=image), []))
    decoded(page.all("img")[0]["src"])[1].load()
    assert "No results." in page.text


def test_drawn_pictures_stay_exact(tmp_path):
    drawn = Image.new("RGB", (64, 64), (200, 30, 30))
    page = Page(write_search_gallery(tmp_path / "s.html", Item(image=drawn), []))
    head, small = decoded(page.all("img")[0]["src"])
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(small), np.asarray(drawn))


@pytest.mark.parametrize("kind", ["clear", "wide", "floating"])
def test_pictures_are_shown_as_models_see_them(tmp_path, kind):
    ramp = np.linspace(0, 255, 64).round().astype(np.uint8) * np.ones((64, 1), np.uint8)
    image = {
        "clear": Image.merge("LA", [Image.fromarray(ramp), Image.fromarray(ramp.T.copy())]),
        "wide": Image.fromarray(ramp.astype(np.uint16) * 257),
        "floating": Image.fromarray(ramp.astype(np.float32) / 255),
    }[kind]
    before = (image.mode, image.size, image.tobytes())
    page = Page(write_search_gallery(tmp_path / "s.html", Item(image=image), []))
    small = decoded(page.all("img")[0]["src"])[1]
    np.testing.assert_array_equal(np.asarray(small), np.asarray(ImageArrays([image])[0]))
    assert (image.mode, image.size, image.tobytes()) == before


def test_a_large_picture_of_the_callers_stays_large(tmp_path):
    image = photo(0, (900, 300))
    write_search_gallery(tmp_path / "s.html", Item(image=image), [])
    assert image.size == (900, 300)


def test_a_photograph_stands_as_its_camera_says(tmp_path):
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # Turned by a quarter.
    photo(0, (200, 100)).save(file, "JPEG", exif=exif)
    page = Page(write_search_gallery(tmp_path / "s.html", Item(image=Image.open(file)), []))
    assert decoded(page.all("img")[0]["src"])[1].size == (100, 200)


@pytest.mark.parametrize("item", [Item(), Item(text=""), Item(text=" \n")])
def test_an_item_without_picture_and_text_is_refused_and_nothing_is_written(tmp_path, item):
    path = tmp_path / "s.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="result 1: an item has a picture or a text"):
        write_search_gallery(path, Item(text="q"), [Hit(item, 1)])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_are_not_unicode_do_not_stop_the_page(tmp_path):
    path = write_search_gallery(tmp_path / "s.html", Item(text="\udcff.jpg"), [])
    assert "?.jpg" in Page(path).text


def test_the_same_gallery_is_the_same_file(tmp_path, sections):
    plots = [("losses", loss_plot([{"loss": 2.0}, {"loss": 1.0}]))]
    one, two = (
        write_gallery(tmp_path / name, title="T", sections=sections, plots=plots).read_bytes()
        for name in ("a.html", "b.html")
    )
    assert one == two


def test_real_photographs_make_a_page_of_reasonable_size(tmp_path, shared_data):
    files = sorted((shared_data / "flickr8k" / "images").iterdir())[:11]
    items = [Item(image=Image.open(file), text=file.name) for file in files]
    hits = [Hit(item, rank, None) for rank, item in enumerate(items[1:])]
    path = write_search_gallery(tmp_path / "s.html", items[0], hits)
    assert len(Page(path).all("img")) == 11
    assert path.stat().st_size < 11 * 30_000
