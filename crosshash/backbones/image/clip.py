"""The image half of CLIP, SigLIP and other dual encoders of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from crosshash.backbones.base import IMAGE_BACKBONES, Features, ImageBackbone
from crosshash.backbones.dual import (
    build_half,
    described,
    from_description,
    pooled_feature,
    read_architecture,
)
from crosshash.backbones.image._processor import (
    checked_steps,
    input_size,
    processor_transform,
    read_processor,
)
from crosshash.backbones.sources import check_weights, model_source
from crosshash.backbones.tuning import choose_trained, has_lora


@IMAGE_BACKBONES.register("clip")
class ClipImage(ImageBackbone):
    """A dual encoder's image tower with its projection: what ``get_image_features`` gives.

    Pictures are resized, cropped and normalised as the model's own image processor says, by PIL,
    as the published weights were trained. The map is the patch tokens of the tower's last hidden
    states on their grid, without class tokens, as the tower gives them; there is no map where there
    is no grid.

    Args:
        name: ``clip:`` and a name on the Hub or a folder, in transformers' form.
        weights: ``"pretrained"``, or ``"random"`` (config and processor are read all the same).
        preprocess: Replaces parts of the model's own preprocessing: ``size`` (of the shorter side,
            or [height, width]), ``crop`` ([height, width], or None), ``interpolation``, ``mean``,
            ``std`` (of pixels in [0, 1]).
        normalize: Bring pooled features to length 1, which the model's own are not.
        trainable_blocks: How many of the last blocks are trained where the backbone is not frozen,
            with the norm, pooling and projection behind them. Default: all of the tower.
        lora: Train low-rank adapters only: some of ``rank``, ``alpha``, ``dropout``, ``targets``,
            as :func:`crosshash.backbones.tuning.add_lora` says; needs peft. They become part of the
            weights when the model is saved.
        architecture: transformers' config, as a checkpoint has it, with the whole ``preprocess``;
            neither is then read by name.

    Raises:
        FileNotFoundError: Config, image processor or safetensors weights cannot be found.
        ValueError: It is no dual encoder, or an option is wrong.
    """

    reads_pixels = True

    def __init__(
        self,
        name: str,
        *,
        weights: str = "pretrained",
        preprocess: Mapping[str, Any] | None = None,
        normalize: bool = False,
        trainable_blocks: int | None = None,
        lora: Mapping[str, Any] | None = None,
        architecture: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_weights(name, weights)
        self.name = name
        if architecture is None:
            source = model_source(name)
            config = read_architecture(name, "image", source, offline=False)
            self.steps = checked_steps(name, read_processor(name, source), preprocess)
        else:
            config = from_description(name, "image", architecture)
            self.steps = checked_steps(name, preprocess or {})
        self.architecture = described(config)
        self.preprocess = processor_transform(self.steps)
        self.normalize = normalize
        patch = getattr(config.vision_config, "patch_size", None)
        self._patch = (patch, patch) if isinstance(patch, int) else patch
        self.model: Any = build_half(
            name, "image", config, model_source(name) if weights == "pretrained" else None
        )
        self._measure()
        self.trainable_blocks = trainable_blocks
        self.lora = None if lora is None else dict(lora)
        self._still = choose_trained(name, self.model, trainable_blocks, lora)
        self.train()

    def train(self, mode: bool = True) -> ClipImage:
        """Set training mode; blocks that are not trained stay in eval mode."""
        super().train(mode)
        for module in self._still:
            module.eval()
        return self

    @torch.no_grad()
    def _measure(self) -> None:
        """Learn widths from one empty picture."""
        size = input_size(self.steps)
        try:
            features = self(torch.zeros(1, 3, *size))
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{self.name}: its image tower does not take pictures of {size} ({error}); leave "
                "preprocess at the model's own size and crop"
            ) from error
        self.dim = int(features.pooled.shape[1])
        self.channels = 0 if features.map is None else int(features.map.shape[1])

    def _map(self, hidden: Tensor | None, size: tuple[int, int]) -> Tensor | None:
        if hidden is None or hidden.ndim == 4:  # of a CNN
            return hidden
        if hidden.ndim != 3 or self._patch is None:
            return None
        rows, columns = size[0] // self._patch[0], size[1] // self._patch[1]
        first = hidden.shape[1] - rows * columns  # class tokens come before
        if first < 0:
            return None
        return rearrange(hidden[:, first:], "n (h w) c -> n c h w", h=rows, w=columns)

    def forward(self, x: Tensor) -> Features:
        """Features of preprocessed pictures (n, 3, h, w)."""
        found = self.model.get_image_features(pixel_values=x)
        pooled = pooled_feature(found, self.normalize)
        return Features(pooled, self._map(found.last_hidden_state, (x.shape[-2], x.shape[-1])))

    def spec(self) -> dict[str, Any]:
        """Name, architecture, whole preprocessing; what else was given."""
        spec = {
            "name": self.name,
            "weights": "random",
            "architecture": self.architecture,
            "preprocess": self.steps,
        }
        # Adapters that are part of the weights are no option any more.
        given = {
            "normalize": self.normalize,
            "trainable_blocks": self.trainable_blocks,
            "lora": self.lora if has_lora(self.model) else None,
        }
        return {**spec, **{key: value for key, value in given.items() if value}}
