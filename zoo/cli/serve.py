"""`zoo serve`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from zoo.cli.completion import release, target_or_runtime
from zoo.cli.options import JSON
from zoo.serve.limits import MOST_MEGAPIXELS, Limits

Command = TypeVar("Command", bound=Callable[..., Any])


def _limit(*names: str, kind: click.ParamType[Any], about: str) -> Callable[[Command], Command]:
    """An option for a field of `zoo.serve.limits.Limits`, whose default is the field's."""
    default = getattr(Limits, names[-1].lstrip("-").replace("-", "_"))
    return click.option(*names, type=kind, default=default, show_default=True, help=about)


def _limits(command: Command) -> Command:
    """Options for all limits but the rate."""
    for option in reversed((
        _limit("--max-mib", "body_mib", kind=click.IntRange(1, 1024), about="Size of a request, MiB."),
        _limit("--max-images", "images", kind=click.IntRange(1, 4096), about="Images of a request."),
        _limit(
            "--max-megapixels", "megapixels", kind=click.IntRange(1, MOST_MEGAPIXELS),
            about="Size of an image, checked before it is decoded.",
        ),
        _limit("--queue", kind=click.IntRange(1, 65536), about="Images that are accepted at the same time."),
        _limit(
            "--connections", kind=click.IntRange(1, 65536),
            about="Connections at the same time; fewer if the system allows fewer open files.",
        ),
        _limit("--buffer-mib", kind=click.IntRange(1, 65536), about="Memory for all requests being received, MiB."),
        _limit("--receive-seconds", kind=click.FloatRange(0.1, 3600), about="Time for a request to arrive."),
        _limit("--batch", kind=click.IntRange(1, 1024), about="Images that are computed at once, at most."),
        _limit("--wait-ms", kind=click.FloatRange(0, 1000), about="How long a batch waits for images being decoded."),
        _limit("--drain-seconds", kind=click.FloatRange(0, 3600), about="Time for requests in progress after SIGTERM."),
    )):  # fmt: skip
        command = option(command)
    return command


@click.command(short_help="Serve a release over HTTP: images in, embeddings out.")
@click.argument("name", shell_complete=release)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0: all.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen on; 0: a free one."
)
@click.option(
    "--target",
    "-t",
    metavar="TARGET",
    shell_complete=target_or_runtime,
    help="Target of the release to run; or openvino or onnxruntime, for its fp32 graph. Default: the fastest.",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of the network. Default: one per core.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests per second of a client, by its address. Default: not limited.",
)
@_limits
@click.option("--access-log", is_flag=True, help="Write a line of JSON for each request to standard error.")
@JSON
def serve(
    name: str,
    host: str,
    port: int,
    target: str | None,
    threads: int | None,
    rate: float | None,
    access_log: bool,
    as_json: bool,
    **limits: float,
) -> None:
    """Serve release NAME or NAME@VERSION over HTTP, until SIGTERM or Ctrl-C.

    POST /v1/embed takes an image, or a form with several, and answers with embeddings; /openapi.json describes all
    requests. There is no encryption and no login: to serve other machines, put a proxy before it.
    """
    import os

    from zoo.cli.script import print_json, reporter
    from zoo.errors import ServeError
    from zoo.home import Home
    from zoo.loading import provide
    from zoo.sanitize import one_line
    from zoo.serve.access import silent, to_standard_error
    from zoo.serve.run import Stop, check_installed, listen, serve, url_of
    from zoo.use.embedder import load

    within = Limits(rate=rate, **limits)  # type: ignore[arg-type]
    if problem := within.problem():
        raise ServeError(problem)
    check_installed()
    sockets = listen(host, port)  # before the model is loaded, which may take long
    try:
        provide(Home.find(), name, target, reporter())
        embedder = load(name, target, threads)

        def started(_: Stop) -> None:
            url, how = url_of(host, sockets), f"{embedder.target}, {embedder.precision}"
            if as_json:
                about = {"target": embedder.target, "precision": embedder.precision, "runtime": embedder.runtime}
                digest = {"artifact_sha256": embedder.artifact_sha256, "dimension": embedder.dimension}
                print_json({"url": url, "process": os.getpid(), "release": embedder.release, **about, **digest})
                return
            click.echo(f"serving {one_line(embedder.release)} ({how}) at {url}; described at {url}/openapi.json")
            often = f"{rate:g} requests per second of a client" if rate else "no limit on the rate of a client"
            click.echo(
                f"a request: at most {within.body_mib} MiB, {within.images} images, {within.megapixels} megapixels "
                f"each; {within.queue} images may wait; {often}"
            )

        serve(embedder, sockets, within, to_standard_error if access_log else silent, started)
    finally:
        for one in sockets:
            one.close()
