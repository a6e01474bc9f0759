"""Names of models that are read from the Hugging Face Hub or from a folder."""

from __future__ import annotations

from typing import Any

from crosshash.files import locate

HINT = "<name on the Hub or folder>"


def model_source(name: str) -> str:
    """Where ``<family>:<model>`` is read: the folder if there is one, else the name on the Hub.

    Raises:
        ValueError: No model is named.
    """
    family, _, model = name.partition(":")
    if not model:
        raise ValueError(f"{family}: needs a model: {family}:{HINT}")
    try:
        return str(locate(model))
    except FileNotFoundError:
        return model


def hub_name(name: str) -> str:
    """The Hub's name of ``<family>:<model>``; empty where it is a folder on this machine."""
    model = name.partition(":")[2]
    try:
        locate(model)
    except FileNotFoundError:
        return model
    return ""


def check_weights(name: str, weights: str) -> None:
    """Refuse anything but ``"pretrained"`` and ``"random"``."""
    if weights not in ("pretrained", "random"):
        family = name.partition(":")[0]
        raise ValueError(
            f"{name}: weights are 'pretrained' or 'random', got {weights!r}; for a file of your "
            f"own, give its folder as {family}:<folder>"
        )


def check_complete(
    name: str, report: dict[str, Any], *, part: tuple[str, ...] = ("",), spare: str = "\0"
) -> None:
    """Refuse a model whose weight file does not fill it.

    Args:
        name: For the message.
        report: What transformers says of the loading.
        part: Beginnings of the names of the tensors that count.
        spare: A piece of the names of those that may be missing.

    Raises:
        ValueError: Tensors are missing or of another shape; names some.
    """
    missing = [key for key in report["missing_keys"] if spare not in key and key.startswith(part)]
    mismatched = [str(key[0]) for key in report["mismatched_keys"] if str(key[0]).startswith(part)]
    if missing or mismatched:
        raise ValueError(
            f"{name}: its weights do not fill the model: missing {sorted(missing)[:5]}, of another "
            f"shape {sorted(mismatched)[:5]}; give the folder of a whole model"
        )
