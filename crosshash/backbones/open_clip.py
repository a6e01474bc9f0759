"""What open_clip's names are called in transformers' form."""

from __future__ import annotations

from pathlib import Path

# Architecture and tag of open_clip, and the repository that has the same weights for transformers.
TRANSFORMERS_FORM = {
    "ViT-B-32": {
        "openai": "openai/clip-vit-base-patch32",
        "laion2b_s34b_b79k": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    },
    "ViT-B-16": {
        "openai": "openai/clip-vit-base-patch16",
        "laion2b_s34b_b88k": "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    },
    "ViT-L-14": {
        "openai": "openai/clip-vit-large-patch14",
        "laion2b_s32b_b82k": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    },
    "ViT-L-14-336": {"openai": "openai/clip-vit-large-patch14-336"},
    "ViT-H-14": {"laion2b_s32b_b79k": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"},
    "ViT-B-16-SigLIP": {"webli": "google/siglip-base-patch16-224"},
    "ViT-B-16-SigLIP2": {"webli": "google/siglip2-base-patch16-224"},
}


def refuse_open_clip(name: str, source: str) -> None:
    """Refuse open_clip's names and folders, with what to write instead.

    Args:
        name: As the user gave it, for the message.
        source: A folder, or what should be a name on the Hub.

    Raises:
        ValueError: It is open_clip's, in a form that transformers does not read.
    """
    family = name.partition(":")[0]
    folder = Path(source)
    if folder.is_dir():
        if (folder / "open_clip_config.json").is_file() and not (folder / "config.json").is_file():
            raise ValueError(
                f"{name}: a folder of open_clip; {family}: reads transformers' form: take the "
                "model's repository that has a config.json, a tokenizer and model.safetensors, "
                f"such as {family}:openai/clip-vit-base-patch32"
            )
        return
    if source.startswith(("hf-hub:", "hf_hub:")):
        repository = source.partition(":")[2]
        raise ValueError(f"{name}: write {family}:{repository}, without open_clip's prefix")
    for architecture, forms in TRANSFORMERS_FORM.items():
        if source.partition("/")[0].partition(":")[0] in (
            architecture,
            f"{architecture}-quickgelu",
        ):
            told = ", ".join(f"{family}:{repository} ({tag})" for tag, repository in forms.items())
            raise ValueError(f"{name}: a name of open_clip; its transformers form is {told}")
