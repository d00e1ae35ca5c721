"""``serve``: the standalone engine, with Argo's API on a socket."""

from __future__ import annotations

from typing import Any

import click

from engine.cli.options import config, fleet, leaves, record, verbose
from registry.cli import FileName


@click.command()
@click.argument("files", nargs=-1, type=FileName(), metavar="[FILES]...")
@config
@click.option(
    "--store",
    type=FileName(),
    help="The file that workflows survive in; without it they are gone with the process.",
)
@click.option(
    "--listen",
    default="127.0.0.1:2746",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; port 0 is any that is free.",
)
@leaves
@click.option(
    "--keep-finished",
    type=click.IntRange(min=0),
    default=10_000,
    show_default=True,
    metavar="N",
    help="How many finished workflows are kept, beside what their ttlStrategy says; first ended, first gone.",
)
@click.option("--token-file", type=FileName(), metavar="FILE", help="Whoever asks has to have the token in it.")
@click.option("--insecure", is_flag=True, help="Let everybody who can reach the address do anything.")
@click.option("--tls-cert", type=FileName(), metavar="FILE", help="The certificate, for https.")
@click.option("--tls-key", type=FileName(), metavar="FILE", help="Its key.")
@fleet
@record
@verbose
def serve(**given: Any) -> None:
    """Serve Argo's HTTP API, and reconcile the workflows that are submitted by it, until SIGTERM.

    FILES are manifests: the templates and ConfigMaps that workflows may refer to, and workflows to begin with, of which
    those are left alone whose name is there already. A file may be a folder. The first SIGTERM or Ctrl-C lets the
    passes under way end, a second one does not; with --store the next start goes on from there.

    Elsewhere than on loopback nobody is let in without the token of --token-file, unless --insecure says so.

    Exit code 0: it was told to end. 2: bad input, or an address that cannot be had. 3: its shards are lost.

    \b
    Examples:
      oarlock serve --executor local --store oarlock.db
      oarlock serve templates/ --listen 0.0.0.0:2746 --token-file token --tls-cert cert.pem --tls-key key.pem
    """
    from engine.cli import serving

    serving.serve(serving.Options(**given))
