"""How a configuration comes to a shard: without what is secret in it, which each shard reads from the same files. And
a simulated executor, which each has for itself."""

from __future__ import annotations

import io
import pickle
from functools import partial
from types import FunctionType
from typing import Any, cast

import msgspec

from engine.executors.simulated import SimulatedExecutor
from registry import Config
from registry.registry import enabled_by
from rpc import Secret, Tls


class _Packer(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            raise pickle.PicklingError(f"{obj.__qualname__} is of the script that runs, which shards do not have")
        if isinstance(obj, Secret) and obj.file is not None:
            return type(obj).read, (obj.file.absolute(),)
        if isinstance(obj, Tls):
            said: dict[str, Any] = {field: file.absolute() for field, file in obj.files.items()}
            said |= {"server_name": obj.server_name, "min_version": obj.min_version, "verify": obj.verify}
            return partial(Tls, **said), ()
        return NotImplemented


def packed(config: Config) -> bytes:
    """The plugins that there are. Only the driver follows files and clusters, and sees what its environment says."""
    engine = msgspec.structs.replace(config.engine, enabled=enabled_by(config) is not None)
    written = io.BytesIO()
    _Packer(written).dump(msgspec.structs.replace(config, engine=engine, kubernetes=None, sources=()))
    return written.getvalue()


def packed_executor(executor: SimulatedExecutor) -> bytes:
    """One of each shard's own. Raises `TypeError` for what other processes cannot have."""
    written = io.BytesIO()
    try:
        _Packer(written).dump(executor)
    except Exception as error:  # any, by what is in it
        raise TypeError(
            f"executor: expected one to be pickled, of modules to be imported, since each shard has its own: {error}"
        ) from None
    return written.getvalue()


def unpacked(packed: bytes) -> Config:
    """Them again. Raises `ValueError` for files that cannot be read here."""
    return cast(Config, pickle.loads(packed))
