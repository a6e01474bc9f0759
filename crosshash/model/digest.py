"""What tells one trained model from another."""

from __future__ import annotations

from crosshash.backbones.base import digest_of
from crosshash.model.hash_model import HashModel


def model_digest(model: HashModel) -> str:
    """SHA-256, 64 hexadecimal digits, over all that decides a model's codes.

    These are the method with its network's options, the backbones with their preprocessing, the
    text encoder with its vocabulary, and every tensor of the state, floating ones in ``float32``:
    a checkpoint loaded has the digest of the model saved, if it was saved in the model's own type.
    What the model only carries along (figures, label names, which parts are frozen, which lengths
    nested) does not count.
    """
    aside = ("frozen", "nested")
    described = {key: value for key, value in model.describe().items() if key not in aside}
    described["vocabulary"] = model.text.vocabulary
    state = model.state_dict().items()
    tensors = ((name, v.float() if v.is_floating_point() else v) for name, v in state)
    return digest_of(described, tensors)
