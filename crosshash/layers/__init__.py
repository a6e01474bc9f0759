"""Network blocks that several methods share, one idea per file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.layers.attention import SampleAttention as SampleAttention
    from crosshash.layers.discriminator import Discriminator as Discriminator
    from crosshash.layers.graph import GraphConv as GraphConv
    from crosshash.layers.graph import batch_graph as batch_graph
    from crosshash.layers.graph_fusion import GraphFusion as GraphFusion
    from crosshash.layers.heads import Encoder as Encoder
    from crosshash.layers.heads import HashHead as HashHead
    from crosshash.layers.heads import TokenHead as TokenHead
    from crosshash.layers.hybrid_attention import HybridAttention as HybridAttention
    from crosshash.layers.label_net import FeatureHash as FeatureHash
    from crosshash.layers.label_net import LabelNet as LabelNet
    from crosshash.layers.multiscale_conv import MultiScaleConv as MultiScaleConv
    from crosshash.layers.multiscale_conv import map_to_vector as map_to_vector
    from crosshash.layers.multiscale_conv import vector_to_map as vector_to_map
    from crosshash.layers.multiscale_text import MultiScaleEncoder as MultiScaleEncoder
    from crosshash.layers.multiscale_text import MultiScaleText as MultiScaleText
    from crosshash.layers.reconstruction import Reconstruction as Reconstruction
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.layers.attention": ["SampleAttention"],
            "crosshash.layers.discriminator": ["Discriminator"],
            "crosshash.layers.graph": ["GraphConv", "batch_graph"],
            "crosshash.layers.graph_fusion": ["GraphFusion"],
            "crosshash.layers.heads": ["Encoder", "HashHead", "TokenHead"],
            "crosshash.layers.hybrid_attention": ["HybridAttention"],
            "crosshash.layers.label_net": ["FeatureHash", "LabelNet"],
            "crosshash.layers.multiscale_conv": [
                "MultiScaleConv",
                "map_to_vector",
                "vector_to_map",
            ],
            "crosshash.layers.multiscale_text": ["MultiScaleEncoder", "MultiScaleText"],
            "crosshash.layers.reconstruction": ["Reconstruction"],
        },
    )
