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


def read_model_config(name: str, source: str, *, offline: bool) -> Any:
    """The config, as transformers has it, of a model.

    Args:
        name: For messages.
        source: A folder or a name on the Hub.
        offline: Read the folder only.

    Raises:
        FileNotFoundError: There is no such folder, and no such name on the Hub.
        ValueError: It is of no model that transformers has, such as one of timm.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=False, local_files_only=offline)
    except OSError as error:
        raise FileNotFoundError(
            f"{name}: no config.json of transformers was found ({error}); check the name and the "
            "connection. A repository of open_clip alone has none: take the model's transformers "
            "form"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{name}: its config.json describes no model that transformers has ({error}); a model "
            "of timm is an image backbone by timm's own name for it, such as resnet50"
        ) from error


def check_weights(name: str, weights: str) -> None:
    """Refuse anything but ``"pretrained"`` and ``"random"``."""
    if weights not in ("pretrained", "random"):
        family = name.partition(":")[0]
        raise ValueError(
            f"{name}: weights are 'pretrained' or 'random', got {weights!r}; for a file of your "
            f"own, give its folder as {family}:<folder>"
        )


def read_model(
    name: str, source: str, config: Any, *, part: tuple[str, ...] = ("",), spare: str = "\0"
) -> Any:
    """The model, as transformers has it, with the weights of its safetensors files.

    Args:
        name: For messages.
        source: A folder or a name on the Hub.
        config: Of :func:`read_model_config`.
        part: Beginnings of the names of the tensors that must be there.
        spare: A piece of the names of those that may be missing.

    Raises:
        FileNotFoundError: There are no safetensors weights.
        ValueError: Tensors are missing or of another shape; names some.
    """
    from transformers import AutoModel

    try:
        model, report = AutoModel.from_pretrained(
            source,
            config=config,
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=False,
        )
    except OSError as error:
        raise FileNotFoundError(
            f"{name}: its weights were not found as model.safetensors ({error}); check the name, "
            "the connection, and that the repository has safetensors weights"
        ) from error
    missing = [key for key in report["missing_keys"] if spare not in key and key.startswith(part)]
    mismatched = [str(key[0]) for key in report["mismatched_keys"] if str(key[0]).startswith(part)]
    if missing or mismatched:
        raise ValueError(
            f"{name}: its weights do not fill the model: missing {sorted(missing)[:5]}, of another "
            f"shape {sorted(mismatched)[:5]}; give the folder of a whole model"
        )
    return model
