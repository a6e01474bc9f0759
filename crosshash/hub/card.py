"""The card of a checkpoint: what it is, how to use it, what was measured and how."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from crosshash.model.hash_model import HashModel
from crosshash.reports.tables import markdown_table, visible
from crosshash.retrieval.calibration import KEY
from crosshash.retrieval.record import training_words

_LEARNED = (
    "Database *encoded*: all searched pairs have the codes that this model gives them. *Learned*: "
    "those that were trained on have the codes that training learned from their labels, which this "
    "checkpoint does not have."
)
FIGURES = "fit"  # in a model's figures: what was found by fitting it to vectors
_CALIBRATED = (
    "Probabilities of hits, learned from {how}. Their expected calibration error (10 bins of equal "
    "width; 0 is best) over all items and over the 10 nearest of each query. *Searched*: the "
    "queries over what they search, of which training pairs are nearer to what shares their labels "
    "than new items will be; *unseen*: half of the queries over the other half, none of which was "
    "trained on."
)
_DIRECTIONS = (("i2t", "image → text"), ("t2i", "text → image"))
_WAYS = (*_DIRECTIONS, ("i2i", "image → image"), ("t2t", "text → text"))
# What Markdown or HTML would read: marks, a "_" that is not inside of a word, and the starts of
# addresses, which GitHub and the Hub make links of.
_MARKS = re.compile(
    r"[\\`*\[\]<>&|~$#!]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE
)


def card(
    model: HashModel, name: str, *, source: str | None = None, licence: str = "Apache-2.0"
) -> str:
    """A model card in Markdown with the front matter that the Hugging Face Hub reads.

    Names, of labels and data sets too, are shown as they are, whatever Markdown or HTML is in them.

    Args:
        model: Its ``info`` has the figures.
        name: The checkpoint's name.
        source: What ``crosshash.load`` takes; default: the name.
        licence: SPDX identifier of the weights' licence.
    """
    figures = model.info.figures if "i2t" in model.info.figures else {}
    dataset = str(figures.get("record", {}).get("dataset", ""))
    backbones = ", ".join(
        f"{_shown(slot)}: {_shown(backbone.name)}" for slot, backbone in model.backbones.items()
    )
    parts = [
        "---\n"
        + yaml.safe_dump(
            _front_matter(model, name, figures, dataset, licence),
            sort_keys=False,
            allow_unicode=True,
        )
        + "---",
        f"# {_shown(name)}",
        f"{_what(model)} by Hamming distance. Image backbone {backbones}; text encoder "
        f"{_shown(model.text.name)}.{_shorter(model)}",
        "## Usage",
        _usage(model, source or name),
    ]
    if model.info.label_names:
        labels = ", ".join(map(_shown, model.info.label_names))
        parts.append(f"Labels it was evaluated with: {labels}.")
    if fitted := model.info.figures.get(FIGURES):
        parts += ["## Measured", held_out_words(fitted), markdown_table(fitted["rows"]).rstrip()]
    if figures:
        parts += ["## Measured", _table(figures), *_reliability(figures)]
        parts += ["## Protocol", _protocol(model)]
    paper = model.info.experiment.get("paper") or {}
    if paper:
        parts += ["## The paper's figures", _list(paper)]
    parts += ["## Limits", _limits(model, dataset), "## Licence", f"{_shown(licence)}."]
    return "\n\n".join(parts) + "\n"


def _what(model: HashModel) -> str:
    method, codes = model.method.upper(), f"{model.bits}-bit codes"
    if _one_kind(model):
        return f"Hashing by {method}: {codes} of one kind of vector, whose neighbours are found"
    return f"Cross-modal hashing by {method}: {codes} of images and of texts that find each other"


def _one_kind(model: HashModel) -> bool:
    return bool(model.info.figures.get(FIGURES, {}).get("one_kind"))


def _front_matter(
    model: HashModel, name: str, figures: Mapping[str, Any], dataset: str, licence: str
) -> dict[str, Any]:
    cross = [] if _one_kind(model) else ["cross-modal-hashing", "image-text-retrieval"]
    front: dict[str, Any] = {
        "library_name": "crosshash",
        "license": licence.lower(),
        "pipeline_tag": "feature-extraction",
        "tags": [*cross, "hashing", model.method],
    }
    if not figures:
        return front
    front["datasets"] = [dataset]
    front["metrics"] = ["mean_average_precision"]
    results = []
    for key, words in _DIRECTIONS:
        results.append(
            {
                "task": {"type": "image-text-retrieval", "name": f"Retrieval, {words}"},
                "dataset": {
                    "type": dataset,
                    "name": f"{dataset} ({figures['record'].get('protocol', 'own protocol')})",
                    "split": "query",
                },
                "metrics": [
                    {
                        "type": "mean_average_precision",
                        "name": f"MAP of {model.bits}-bit codes, {words}",
                        "value": round(float(figures[key]["map"]), 4),
                    }
                ],
            }
        )
    front["model-index"] = [{"name": name, "results": results}]
    return front


def _shorter(model: HashModel) -> str:
    if not model.nested:
        return ""
    return (
        f" The first {' and '.join(map(str, model.nested))} bits are codes by themselves: "
        f"`encode_image(…, bits={model.nested[-1]})`, and `encode_text` likewise."
    )


def _usage(model: HashModel, source: str) -> str:
    pixels = all(backbone.preprocess is not None for backbone in model.backbones.values())
    images = '["photo.jpg"]' if pixels else "features  # float32 (n, d), as for its training"
    texts = "features  # float32 (n, d)" if model.text.name == "features" else '["a red ball"]'
    return (
        "```python\nimport crosshash\n\n"
        f"model = crosshash.load({json.dumps(source, ensure_ascii=False)})\n"
        f"images = {images}\n"
        f"texts = {texts}\n"
        f"codes = model.encode_image(images)  # uint8 (n, {model.bits // 8}), packed\n"
        f'queries = model.encode_text(texts, output="real")\n'
        "index = crosshash.Index.for_model(model)\n"
        "index.add(codes, [str(row) for row in range(len(codes))])\n"
        'hits = index.search(queries, topk=1, rank="asymmetric")\n```'
    )


def held_out_words(fitted: Mapping[str, Any]) -> str:
    """On what the figures of a fit were measured, and how."""
    held = f"{fitted['held_out']:,}"
    chosen = ", whose epoch they chose" if fitted.get("chosen", True) else ""
    columns = " ".join({name: None for row in fitted["rows"] for name in row})
    told = {
        "R@": f"R@k: the own partner is among the k nearest of {held}.",
        "neighbours": "Neighbours @k: share of the k nearest vectors of the same kind that the k "
        "nearest codes hold.",
        "asymmetric": "Asymmetric: the query's real-valued outputs against stored signs.",
        "MAP": "MAP: shared labels, over all items that were trained on.",
    }
    return " ".join(
        [
            f"Measured on {held} of {fitted['pairs']:,} items, held out of a first "
            f"training{chosen}; the model was then trained on all.",
            *(words for column, words in told.items() if column in columns),
        ]
    )


def _table(figures: Mapping[str, Any]) -> str:
    parts = [_between(figures)]
    if "map_i2i" in figures:  # models that were measured before it was have none
        within = f"{figures['map_i2i']:.4f} | {figures['map_t2t']:.4f}"
        parts.append(
            "| | image → image | text → text |\n| --- | --- | --- |\n"
            f"| MAP within one modality | {within} |"
        )
    if nested := figures.get("nested"):
        rows = [
            f"| {_shown(bits)} | {found['map_i2t']:.4f} | {found['map_t2i']:.4f} |"
            for bits, found in nested.items()
        ]
        head = "| MAP of the first bits | image → text | text → image |\n| ---: | --- | --- |"
        parts.append("\n".join([head, *rows]))
    if figures.get("partners"):
        parts.append(_partners(figures, nested or {}))
    return "\n\n".join(parts)


def _partners(figures: Mapping[str, Any], nested: Mapping[str, Any]) -> str:
    """R@k of the queries' own other sides, a row for each length."""
    rows = []
    for found in [*nested.values(), figures]:
        ks = sorted({int(name[5:]) for name in found["partners"] if name[5:].isdigit()})
        for way, words in (("t2i", "text → image"), ("i2t", "image → text")):
            values = [
                f"{found['partners'][f'{way}_r{k}{kind}']:.3f}"
                for kind in ("", "_asymmetric")
                for k in ks
            ]
            rows.append(f"| {found['t2i']['bits']} | {words} | {' | '.join(values)} |")
    heads = " | ".join([*(f"R@{k}" for k in ks), *(f"R@{k} asymmetric" for k in ks)])
    head = f"| bits | | {heads} |\n| ---: | --- |{' --- |' * 2 * len(ks)}"
    told = (
        "R@k: a query's own other side is among the k nearest of all "
        f"{figures['t2i']['queries']:,} queries. "
        "Asymmetric: the query's real-valued outputs against stored signs."
    )
    return f"{told}\n\n" + "\n".join([head, *rows])


def _reliability(figures: Mapping[str, Any]) -> list[str]:
    """How far the probabilities of hits are from the truth; nothing where they are not known."""
    if not (errors := figures.get("calibration_error")):
        return []
    lines = [
        "| items | | Hamming | its first 10 | asymmetric | its first 10 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for items, ways in errors.items():
        lines += [
            f"| {items} | {words} | {found['hamming']:.3f} | {found['hamming_first']:.3f} "
            f"| {found['asymmetric']:.3f} | {found['asymmetric_first']:.3f} |"
            for way, words in _WAYS
            if (found := ways.get(way))
        ]
    return [_CALIBRATED.format(how=_fitted(figures.get(KEY) or {})), "\n".join(lines)]


def _fitted(calibration: Mapping[str, Any]) -> str:
    items = f"{calibration['items']:,} held-out pairs" if "items" in calibration else "others"
    return f"{items}, before it trained on these too" if calibration.get("refit") else items


def _between(figures: Mapping[str, Any]) -> str:
    lines = ["| | image → text | text → image |", "| --- | --- | --- |"]
    image, text = figures["i2t"], figures["t2i"]
    if other := figures.get("learned"):
        for name, found in (("encoded", figures), ("learned", other)):
            maps = f"{found['map_i2t']:.4f} | {found['map_t2i']:.4f}"
            lines.append(f"| MAP, database {name} | {maps} |")
        lines.append(f"| chance | {image['chance']:.4f} | {text['chance']:.4f} |")
        lines.append(f"\n{_LEARNED}")
        return "\n".join(lines)
    for key, label in (("map", "MAP"), ("map_best", "MAP, best tie order"), ("chance", "chance")):
        if key in image:
            lines.append(f"| {label} | {image[key]:.4f} | {text[key]:.4f} |")
    return "\n".join(lines)


def _protocol(model: HashModel) -> str:
    values = dict(model.info.figures.get("record", {}))
    if training := values.pop("training", None):
        values["training"] = training_words(training)
    return _list(values)


def _list(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {_shown(key)}: {_shown(_words(value))}" for key, value in values.items())


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return str(value)


def _shown(text: Any) -> str:
    """Text in one line that Markdown shows as it is."""
    line = visible(" ".join(str(text).split()))
    return _MARKS.sub(lambda found: f"\\{found[0]}", line)


def _learned_from(model: HashModel) -> str:
    """By what the codes rank, as far as the model tells how it was trained."""
    figures = model.info.figures
    told = figures.get(FIGURES) or figures.get("record", {}).get("training") or {}
    if "supervised" not in told:
        return "The codes rank items by what they were trained with"
    if told["supervised"]:
        named = "above" if model.info.label_names else "that it was trained with"
        return f"The codes rank items by the labels {named}"
    source = "the vectors" if _one_kind(model) else "pairs"
    return f"The codes were learned from {source} alone, without labels"


def _limits(model: HashModel, dataset: str) -> str:
    own = str(model.info.experiment.get("limits") or "")
    limits = [_learned_from(model)]
    if dataset:
        limits[0] += f", measured on {_shown(dataset)} only"
    limits[0] += ". They say nothing about fairness."
    if model.text.name == "bow":
        limits.append(
            "Texts are bags of words: one whose words the vocabulary does not know has no "
            "meaningful code, and the order of words does not count."
        )
    if any(backbone.preprocess is None for backbone in model.backbones.values()):
        limits.append(
            "It reads features, not pictures: they must be computed exactly as for its training."
        )
    return " ".join([*limits, *([_shown(own)] if own else [])])
