"""``explain``: who changed what, as a record tells it."""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli.options import text
from registry.cli import BadInput, FileName
from registry.terminal import printable, tell


@click.command()
@click.argument("record", type=FileName(), metavar="calls.jsonl")
@click.argument("name", default="", metavar="[NODE]", callback=text)
@click.option("--workflow", default="", metavar="NAME", help="Which workflow, by its name, NAMESPACE/NAME or uid.")
@click.option("--json", "in_json", is_flag=True, help="A line of JSON for each call and each pass.")
def explain(record: Path, name: str, workflow: str, in_json: bool) -> None:
    """Tell the story of a node: which plugins were asked, what they answered, and what that changed, in order.

    calls.jsonl is what `--record` has written. A node is meant by its id, name or display name; the name of a workflow,
    or none, tells of all in it that anybody had something to say to.

    Exit code 0: it is told. 2: bad input, such as a name that may mean more than one thing.

    \b
    Examples:
      oarlock explain calls.jsonl 'diamond.b(1:green)'
      oarlock explain calls.jsonl build --workflow ci/nightly-x7k2p
    """
    from engine.cli.explaining import as_json, as_text
    from engine.recording.explaining import find, story
    from engine.recording.format import RecordError
    from engine.recording.reading import Record

    try:
        with Record(record, tell) as opened:
            target = find(opened, name, workflow)
            events = story(opened, target)
            if not in_json:
                click.echo(printable(target))
            for line in map(as_json, events) if in_json else as_text(events, whole=not target.node):
                click.echo(line)
    except RecordError as error:
        raise BadInput(str(error)) from None
