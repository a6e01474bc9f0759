"""The commands ``crosshash models``, ``publish`` and ``zoo …``: thin, over :mod:`crosshash.hub`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crosshash.cli.options import Imports, Json, Quiet
from crosshash.cli.output import complain, print_result

zoo = typer.Typer(help="The zoo: build its models from their recipes.", no_args_is_help=True)


@zoo.callback()
def _zoo() -> None:
    """The zoo: build its models from their recipes."""


def models(
    pattern: Annotated[
        str, typer.Argument(help="Part of the name, or a pattern with * and ?.")
    ] = "",
    method: Annotated[Optional[str], typer.Option(help="Only of this method.")] = None,  # noqa: UP045
    dataset: Annotated[Optional[str], typer.Option(help="Only of this data set.")] = None,  # noqa: UP045
    status: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Only published, local or recipe."),
    ] = None,
    json_: Json = False,
) -> None:
    """List the zoo: models that are there, and recipes to train.

    Example: `crosshash models --dataset wiki --status local`
    """
    from crosshash.hub.manifest import list_models, model_rows
    from crosshash.reports.tables import rich_table

    if status not in (None, "published", "local", "recipe"):
        raise ValueError(f"--status {status}: expected published, local or recipe")
    found = list_models(pattern, method=method, dataset=dataset, status=status)  # type: ignore[arg-type]
    values = [manifest.model_dump(mode="json", exclude_none=True) for manifest in found]
    table = rich_table(model_rows(found)) if found else "no model fits"
    print_result(values, json_, table)


def publish(
    folder: Annotated[Path, typer.Argument(help="A checkpoint folder.")],
    repo: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--repo", help="organisation/name; default: its name, under your account."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Upload nothing; print card and manifest.")
    ] = False,
    licence: Annotated[str, typer.Option(help="Of the weights, as SPDX names it.")] = "Apache-2.0",
    imports: Imports = None,
    json_: Json = False,
) -> None:
    """Publish a checkpoint on the Hugging Face Hub and print the manifest to commit.

    Example: `crosshash publish runs/amgfh-flickr8k-64/checkpoint --repo me/amgfh-flickr8k-64`
    """
    from crosshash.hub.publish import publish as run
    from crosshash.plugins import import_parts

    import_parts(imports or ())
    done = run(folder, repo, private=private, dry_run=dry_run, licence=licence)
    manifest = done.manifest or done.draft
    values: dict[str, Any] = {
        "repository": done.repository,
        "url": done.url,
        "published": done.manifest is not None,
        "files": done.files,
        "manifest": manifest.model_dump(mode="json", exclude_none=True),
    }
    if done.manifest is None:
        told = [
            f"would publish to {done.url}: {', '.join(done.files)}",
            f"\nREADME.md:\n\n{done.card}",
            "manifest, without repository and commit:\n",
        ]
    else:
        told = [f"published: {done.url}", f"\ncommit this as zoo/{manifest.name}.yaml:\n"]
    print_result(values, json_, *told, manifest.dump())


@zoo.command()
def build(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(help="Models, configs, or patterns with *; default: all recipes."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Gets NAME.yaml and checkpoints/NAME.")
    ] = Path("zoo"),
    runs: Annotated[Path, typer.Option(help="For the state of trainings.")] = Path("runs/zoo"),
    settings: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", help="key=value over every config; may come several times."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Build also what is there.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train every recipe that the data at hand allows; write folders, figures and manifests.

    What is built is skipped, what was killed goes on. Ends with exit code 1 where a recipe failed.

    Example: `crosshash zoo build "amgfh-wiki-*" -o zoo --set training.device=cuda`
    """
    from crosshash.experiment.zoo import Outcome, build_zoo
    from crosshash.reports.tables import rich_table

    def tell(outcome: Outcome) -> None:
        complain(f"{outcome.name}: {outcome.state} {outcome.error}".rstrip())

    outcomes = build_zoo(
        names or (),
        output,
        runs=runs,
        overrides=settings,
        again=again,
        progress=not quiet,
        done=None if quiet else tell,
    )
    rows = [outcome.row() for outcome in outcomes]
    # A reason is a sentence, which a column would break into words.
    shown = [name for name in rows[0] if name != "error"]
    reasons = [f"{outcome.name}: {outcome.error}" for outcome in outcomes if outcome.error]
    print_result(rows, json_, rich_table(rows, columns=shown), *reasons)
    if any(outcome.state == "failed" for outcome in outcomes):
        raise typer.Exit(1)


@zoo.command()
def figures(
    source: Annotated[Path, typer.Argument(help="Folder that `crosshash zoo build -o` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Gets NAME.yaml.")] = Path("zoo"),
    json_: Json = False,
) -> None:
    """Copy the figures of built models as manifests of recipes, without their folders.

    Example: `crosshash zoo figures built -o zoo`
    """
    from crosshash.experiment.zoo import copy_figures
    from crosshash.hub.manifest import model_rows
    from crosshash.reports.tables import rich_table

    rows = model_rows(copy_figures(source, output))
    print_result(rows, json_, rich_table(rows) if rows else "nothing new")
