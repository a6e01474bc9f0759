"""How well the unsupervised targets rank the flickr8k training pairs by their labels (MAP).

CROSSHASH_DATA=… python benchmarks/targets.py

Compares cosine similarities, DJSRH's second-order similarity over the whole training set, and
agreement of neighbourhoods, from MobileNetV2 features and bags of words.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from crosshash.backbones import create_text_encoder
from crosshash.data.readers.flickr8k import flickr8k
from crosshash.reports.tables import markdown_table
from crosshash.similarity import label_similarity, nearest_anchors, neighbourhood_similarity

QUERIES = 400


def ranking_map(similarity: Tensor, labels: Tensor) -> float:
    """MAP of the first rows as queries over all other rows."""
    rows = torch.arange(QUERIES)
    scores = similarity[:QUERIES].clone()
    scores[rows, rows] = -torch.inf
    relevant = label_similarity(labels[:QUERIES], labels)
    relevant[rows, rows] = 0
    hits = relevant.gather(1, scores.argsort(dim=1, descending=True, stable=True))
    precision = hits.cumsum(1) / torch.arange(1, hits.shape[1] + 1)
    return float(((precision * hits).sum(1) / hits.sum(1)).mean())


def main() -> None:
    dataset, protocol = flickr8k("flickr8k", images="features")
    train = dataset.select(protocol.train)
    captions = train.captions()
    words = create_text_encoder("bow", size=1386).fit(captions).prepare(captions, unknown="allow")
    image = torch.from_numpy(train.images)  # type: ignore[arg-type]
    text = words["bow"].float()
    labels = torch.from_numpy(train.labels)
    image_unit = functional.normalize(image - image.mean(0), dim=1)
    text_unit = functional.normalize(text, dim=1)
    text_unit = functional.normalize(text_unit - text_unit.mean(0), dim=1)
    both = 0.5 * image_unit @ image_unit.T + 0.5 * text_unit @ text_unit.T
    targets = {
        "image cosine, centred": image_unit @ image_unit.T,
        "text cosine, centred": text_unit @ text_unit.T,
        "mean of both": both,
        "DJSRH second order, 0.4": 0.6 * both + 0.4 * both @ both.T / len(both),
        "second order alone": both @ both.T,
    }
    for share in (0.01, 0.03, 0.08, 0.16, 0.3):
        near = nearest_anchors(image, text, alpha=0.5, anchors=5000, share=share)
        frequency = torch.bincount(near.flatten(), minlength=len(image)) / len(image)
        targets[f"neighbourhoods, share {share}"] = neighbourhood_similarity(near, frequency)
    rows = [{"target": name, "MAP": ranking_map(s, labels)} for name, s in targets.items()]
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
