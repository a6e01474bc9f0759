"""What every method's network keeps to: two unimodal hash functions and their codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from crosshash.backbones.base import Features, ImageBackbone, TextEncoder
from crosshash.backbones.forward import evaluating, floating_type
from crosshash.codes import check_bits
from crosshash.model.batch import Batch
from crosshash.model.encoding import (
    FeatureStore,
    Output,
    checked_length,
    collect,
    image_chunks,
    image_codes,
    text_chunks,
    text_codes,
)
from crosshash.model.info import ModelInfo as ModelInfo
from crosshash.model.info import one_line
from crosshash.model.standardization import Standardization

Standardize = Literal["image", "text"]


class HashModel(nn.Module, ABC):
    """Base of the methods' networks.

    A subclass names its image slots, takes the backbones, the text encoder and the bits, and
    implements :meth:`hash_image` and :meth:`hash_text`. Both are unimodal, and in eval mode an
    item alone gets the same code as in any batch. Threads may encode with one model at once.

    Args:
        backbones: One for each of the class's ``slots``; those in ``optional`` may be absent.
        text: The text encoder.
        bits: K, a multiple of 8.
        standardize: ``"image"`` and/or ``"text"``: bring each pooled feature to mean 0 and variance
            1 over the training set before all else; for features of unequal scale, such as
            histograms and topics. :meth:`fit_norms`, which the trainer calls first, sets the
            statistics; then they are fixed, so that a feature is one number in every batch.
        image_dropout: Share of the values of a pooled image feature that are left out in training,
            before all layers; no paper here has it. Over a frozen backbone less is remembered.

    Attributes:
        image_needs, text_needs: Parts of the features that it reads: ``"pooled"``, ``"map"``.
        nested: Shorter lengths at which the first bits are good codes by themselves, ascending.

    Raises:
        ValueError: The slots are not the class's, or the bits cannot be packed.

    Example:
        >>> import crosshash
        >>> model = crosshash.load("amgfh-shapes-64")
        >>> dataset, _ = crosshash.load_dataset("shapes", n=3, seed=7)
        >>> codes = model.encode_image(dataset.images, output="signs")
        >>> codes.shape, sorted(set(codes.ravel().tolist()))
        ((3, 64), [-1, 1])
    """

    slots: tuple[str, ...] = ("image",)
    optional: ClassVar[tuple[str, ...]] = ()
    image_needs: tuple[str, ...] = ("pooled",)
    text_needs: tuple[str, ...] = ("pooled",)
    image_net: nn.Module
    text_net: nn.Module

    def __init__(
        self,
        backbones: Mapping[str, ImageBackbone],
        text: TextEncoder,
        bits: int,
        *,
        standardize: Sequence[Standardize] = (),
        image_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not set(self.slots) - set(self.optional) <= set(backbones) <= set(self.slots):
            raise ValueError(
                f"{type(self).__name__} has the image slots {list(self.slots)}, "
                f"got backbones for {list(backbones)}"
            )
        self.slots = tuple(slot for slot in self.slots if slot in backbones)
        self.bits = check_bits(bits)
        widths = {slot: backbones[slot].dim for slot in self.slots if "image" in standardize}
        if "text" in standardize:
            widths["text"] = text.dim
        self.norms = Standardization(widths)
        self.image_dropout = nn.Dropout(image_dropout)
        self.backbones = nn.ModuleDict(dict(backbones))
        self.text: TextEncoder = text
        self.method = ""
        self.options: dict[str, Any] = {}
        self.frozen: set[str] = set()
        self.nested: tuple[int, ...] = ()
        self.info = ModelInfo()

    # Frozen parts

    def freeze(self, part: str) -> None:
        """Exclude an image slot, or ``"text"``, from training, its BatchNorm statistics included.

        Raises:
            ValueError: There is no such part.
        """
        module = self._part(part)
        module.requires_grad_(False)
        module.eval()
        self.frozen.add(part)

    def _part(self, part: str) -> nn.Module:
        if part == "text":
            return self.text
        if part not in self.backbones:
            raise ValueError(f"no part {part!r}; parts are 'text' and slots {list(self.slots)}")
        return self.backbones[part]

    def backbone(self, slot: str) -> ImageBackbone:
        """The backbone of a slot."""
        backbone = self.backbones[slot]
        if not isinstance(backbone, ImageBackbone):
            raise TypeError(f"slot {slot!r} holds a {type(backbone).__name__}, no image backbone")
        return backbone

    @property
    def frozen_prefixes(self) -> set[str]:
        """Prefixes of the frozen parts' names in ``state_dict``."""
        return {"text." if part == "text" else f"backbones.{part}." for part in self.frozen}

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Trained parameters of backbones and text encoder, which may have their own rate."""
        modules = [*self.backbones.values(), self.text]
        return [p for module in modules for p in module.parameters() if p.requires_grad]

    def image_parameters(self) -> list[nn.Parameter]:
        """What an image pass trains: backbones and ``image_net``."""
        return [*self.backbones.parameters(), *self.image_net.parameters()]

    def text_parameters(self) -> list[nn.Parameter]:
        """What a text pass trains: text encoder and ``text_net``."""
        return [*self.text.parameters(), *self.text_net.parameters()]

    def train(self, mode: bool = True) -> HashModel:
        """Set training mode; frozen parts stay in eval mode."""
        super().train(mode)
        for part in self.frozen:
            self._part(part).eval()
        return self

    def image_features(self, images: Mapping[str, Tensor | Features]) -> dict[str, Features]:
        """Features of each slot, from pixels or from a backbone's features."""
        found = {}
        for slot, value in images.items():
            pooled, map_ = self._standardized(slot, self._image(slot, value))
            found[slot] = Features(self.image_dropout(pooled), map_)
        return found

    def text_features(self, texts: Mapping[str, Tensor] | Features) -> Features:
        """Features of the texts, from prepared texts or from an encoder's features."""
        return self._standardized("text", self._text(texts))

    def _image(self, slot: str, value: Tensor | Features) -> Features:
        if isinstance(value, Features):
            return value
        backbone = self.backbones[slot]
        found: Features = backbone(value.to(floating_type(backbone)))
        return found

    def _text(self, texts: Mapping[str, Tensor] | Features) -> Features:
        found: Features = texts if isinstance(texts, Features) else self.text(texts)
        return found if "map" in self.text_needs else Features(found.pooled)

    @torch.no_grad()
    def fit_norms(self, batches: Iterable[Batch]) -> None:
        """Set mean and variance of standardized features to those of a training set, exactly.

        Without ``standardize`` no batch is read.

        Args:
            batches: Every row once.
        """
        if not self.norms:
            return
        with evaluating(self):
            self.norms.fit(self._raw(batch) for batch in batches)

    def _raw(self, batch: Batch) -> dict[str, Tensor]:
        """Pooled features of the parts that are standardized, as they come."""
        return {
            part: (
                self._text(batch.texts) if part == "text" else self._image(part, batch.images[part])
            ).pooled
            for part in self.norms
        }

    def _standardized(self, part: str, features: Features) -> Features:
        found: Features = self.norms(part, features)
        return found.to(self.dtype)

    @abstractmethod
    def hash_image(self, features: Mapping[str, Features]) -> Tensor:
        """Real-valued image codes (n, k), from the features of each slot."""

    @abstractmethod
    def hash_text(self, features: Features) -> Tensor:
        """Real-valued text codes (n, k)."""

    def forward(
        self, images: Mapping[str, Tensor | Features], texts: Mapping[str, Tensor] | Features
    ) -> tuple[Tensor, Tensor]:
        """F and G, each (n, k)."""
        image = self.hash_image(self.image_features(images))
        return image, self.hash_text(self.text_features(texts))

    def codes(self, batch: Batch) -> dict[str, Tensor]:
        """F and G of a batch by name, as a code bank keeps them."""
        F, G = self(batch.images, batch.texts)
        return {"F": F, "G": G}

    # Codes for users

    @property
    def lengths(self) -> tuple[int, ...]:
        """All lengths that its codes have: those of ``nested``, and ``bits``."""
        return (*self.nested, self.bits)

    def check_length(self, bits: int | None) -> int:
        """The length that is asked for, None being the full one; ValueError if it has no codes."""
        return checked_length(bits, self.lengths)

    @property
    def device(self) -> torch.device:
        """Where the weights are; the CPU for a model without any."""
        tensors = chain(self.parameters(), self.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The floating type of the hash layers; features come in any and are brought to it."""
        apart = ("backbones.", "text.", "norms.")
        named = chain(self.named_parameters(), self.named_buffers())
        own = (value.dtype for name, value in named if not name.startswith(apart))
        return next((t for t in own if t.is_floating_point), torch.get_default_dtype())

    @torch.inference_mode()
    def encode_image(
        self,
        images: Any,
        *,
        output: Output = "packed",
        bits: int | None = None,
        batch_size: int = 64,
        workers: int = 0,
        progress: bool = True,
        cache: FeatureStore | None = None,
    ) -> Any:
        """Codes of images.

        Args:
            images: Paths, PIL images, arrays (h, w, 3), ``uint8`` or floating in [0, 1] (255 times
                the value is rounded), or encoded pictures ``{"bytes": …, "path": …}``, alone or
                many, as a column of a Hugging Face data set has them; preprocessed pixels, a
                floating array (n, 3, h, w); or backbone features (n, d), a floating array, to a
                model of vectors any rows of numbers, or a mapping from slot to pixels or features.
            output: ``"packed"``: ``uint8`` (n, k/8); ``"signs"``: ``int8`` (n, k) in {-1, +1};
                ``"real"``: ``float32`` (n, k).
            bits: k, one of ``lengths``; None: all bits.
            batch_size: Images of a batch; no code depends on it.
            workers: Processes that decode pictures.
            progress: Show a bar when it takes long.
            cache: Keeps the features of pictures: a ``FeatureCache``, as a training has it.

        Raises:
            FileNotFoundError, CorruptImageError: A path does not exist, or is no picture; names it.
            ValueError: Features of another width or NaN, with the row; an address, which is not
                fetched; an array of other axes; nothing at all; or other bits.
        """
        bits = self.check_length(bits)
        chunks = image_chunks(
            {slot: self.backbone(slot) for slot in self.slots},
            images,
            needs=self.image_needs,
            device=self.device,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
            cache=cache,
        )
        with evaluating(self):
            codes = (image_codes(self, chunk)[:, :bits] for chunk in chunks)
            return collect(codes, output)

    @torch.inference_mode()
    def encode_text(
        self,
        texts: Any,
        *,
        output: Output = "packed",
        bits: int | None = None,
        unknown: Literal["raise", "allow"] = "raise",
        batch_size: int = 1024,
    ) -> Any:
        """Codes of texts.

        Args:
            texts: A string or many, in a list, an array or a table's column; bag-of-words rows or
                features, an array (n, d); or :class:`Features`.
            output: As in :meth:`encode_image`.
            bits: As in :meth:`encode_image`.
            unknown: ``"allow"`` gives texts without a known word the code of an empty text.
            batch_size: Texts that go through the network together; no code depends on it.

        Raises:
            ValueError: No word of a text is known, with the text; a text is no string; features
                have the wrong width or are NaN; there is nothing at all; or other bits.
        """
        bits = self.check_length(bits)
        chunks = text_chunks(
            self.text, texts, device=self.device, batch_size=batch_size, unknown=unknown
        )
        with evaluating(self):
            codes = (text_codes(self, chunk)[:, :bits] for chunk in chunks)
            return collect(codes, output)

    def __repr__(self) -> str:
        return one_line(self)

    def tree(self) -> str:
        """All modules inside, as torch prints them."""
        return super().__repr__()

    def describe(self) -> dict[str, Any]:
        """Everything that rebuilds the model but its weights, JSON-able."""
        return {
            "method": self.method,
            "bits": self.bits,
            "backbones": {slot: self.backbone(slot).spec() for slot in self.slots},
            "text": self.text.spec(),
            "frozen": sorted(self.frozen),
            "network": self.options,
            **({"nested": list(self.nested)} if self.nested else {}),
        }
