"""Shows how far nodes are while they run: a bar for each change of a node's progress, wherever that comes from.

Executors report progress, and so do plugins. Here it comes from this one, which executes `plugin: {copy: {files: 5}}`
in place of something that takes time.
"""

from __future__ import annotations

from typing import Any

from rpc.plugin import Plugin

WIDTH = 20

plugin = Plugin("progress")


@plugin.on("node.postExecute")
def show(args: dict[str, Any]) -> None:
    """A change of progress is a change as one of the phase is."""
    old, new = args["old"].get("progress"), args["new"].get("progress")
    if old == new or not new or args["new"].get("children"):
        return  # the progress of what has children is theirs
    done, total = map(int, new.split("/"))
    bar = "#" * (WIDTH * done // total) if total else ""
    line = f"{args['workflow']['metadata']['name']} {args['new']['displayName']} [{bar:{WIDTH}}] {new}\n"
    print(line, end="", flush=True)  # in one piece, as other threads print, too


@plugin.on("template.execute")
def copy(args: dict[str, Any]) -> dict[str, Any] | None:
    job = args["template"]["plugin"].get("copy")
    if job is None:
        return None
    begun, files = args["node"]["phase"] == "Running", int(job["files"])
    done = int(args["node"]["progress"].split("/")[0]) + 1 if begun else 0
    node = {"phase": "Running" if done < files else "Succeeded", "progress": f"{done}/{files}"}
    return {"node": node, "requeue": "1s"} if node["phase"] == "Running" else {"node": node}


if __name__ == "__main__":
    plugin.run(port=4355)
