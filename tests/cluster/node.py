"""Another node of a Ray cluster, on the same machine and on loopback: ``ray start`` knows no such thing. Tells the
process of its raylet."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import Any


def main(address: str) -> None:
    """The whole of the process."""
    parameter: Any = import_module("ray._private.parameter")
    node: Any = import_module("ray._private.node")
    parameters = parameter.RayParams(
        gcs_address=address,
        node_ip_address="127.0.0.1",
        num_cpus=4,
        object_store_memory=80 << 20,
        include_log_monitor=False,
        node_manager_port=0,
        min_worker_port=0,
        max_worker_port=0,
    )
    started = node.Node(parameters, head=False, shutdown_at_exit=False, spawn_reaper=False)
    print(started.all_processes["raylet"][0].process.pid, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1])
