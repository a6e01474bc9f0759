"""The command ``serve``: thin, over a model, its index and the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from crosshash.cli.options import Imports, Model
from crosshash.cli.output import complain


def serve(
    model: Model,
    index: Annotated[str, typer.Argument(help="Folder of an index, or a server's address.")],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0: a free one.")] = 8000,
    root: Annotated[
        Optional[Path],  # noqa: UP045  (typer reads the annotation)
        typer.Option(help="Show pictures of items that are below this folder; else none."),
    ] = None,
    writable: Annotated[
        bool, typer.Option("--writable", help="Let clients add and remove items.")
    ] = False,
    api_key_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A file of keys, one a line, of which clients have to send one."),
    ] = None,
    refresh: Annotated[
        float, typer.Option(min=0, help="Look every so many seconds for what others wrote.")
    ] = 0,
    name: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="A name by which the service may be called; may come several times."),
    ] = None,
    proxy: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Address of a proxy whose X-Forwarded-For is believed."),
    ] = None,
    max_topk: Annotated[int, typer.Option(min=1, help="Hits of a search, at most.")] = 200,
    max_body: Annotated[float, typer.Option(min=0.001, help="MB of a request, at most.")] = 16,
    max_pixels: Annotated[
        float, typer.Option(min=0.001, help="Million pixels of a picture, at most.")
    ] = 50,
    max_text: Annotated[int, typer.Option(min=1, help="Characters of a text, at most.")] = 2000,
    rate: Annotated[
        float, typer.Option(min=0, help="Requests a second and client; 0: any number.")
    ] = 50,
    burst: Annotated[int, typer.Option(min=1, help="Requests of a client at once.")] = 400,
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds for a request.")] = 30,
    running: Annotated[int, typer.Option(min=1, help="Requests worked on at once.")] = 8,
    waiting: Annotated[int, typer.Option(min=0, help="Requests that wait beside them.")] = 64,
    imports: Imports = None,
) -> None:
    """Serve an index over HTTP, with a page to search it.

    Example: `crosshash serve runs/photos photos.index --root photos`
    """
    try:
        from crosshash.serve import ServeSettings, create_app, run
    except ImportError as error:
        raise ImportError(f'{error}; serving needs `pip install "crosshash[serve]"`') from error
    from crosshash.hub.load import load
    from crosshash.search.index import Index
    from crosshash.serve.keys import read_keys
    from crosshash.serve.origin import LOOPBACK
    from crosshash.serve.process import is_loopback

    local = is_loopback(host)
    if root is not None and not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; --root is the folder of the pictures")
    settings = ServeSettings(
        root=root,
        writable=writable,
        keys=() if api_key_file is None else read_keys(api_key_file),
        hosts=tuple(one.lower() for one in (*(LOOPBACK if local or name else ()), *(name or ()))),
        max_body=int(max_body * 1_000_000),
        max_pixels=int(max_pixels * 1_000_000),
        max_text=max_text,
        max_topk=max_topk,
        rate=rate,
        burst=burst,
        timeout=timeout,
        running=running,
        waiting=waiting,
        refresh=refresh,
    )
    network = load(model, imports=imports or ())

    def opened() -> Index:
        return (
            Index.for_model(network, {"model": model}, uri=index)
            if writable
            else (Index.open(index))
        )

    app = create_app(network, opened, settings)
    if not local and not settings.keys:
        rights = "search, add to and remove from" if writable else "search"
        complain(
            f"crosshash: {host} can be reached from other machines, and whoever reaches it may "
            f"{rights} this index; --api-key-file asks for a key"
        )
    status = run(app, host=host, port=port, proxies=proxy or ())
    if status:
        raise typer.Exit(status)
