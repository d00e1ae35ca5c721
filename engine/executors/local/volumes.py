"""Volumes as folders: those of a leaf in its own folder, claimed ones in that of the run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.executors.local.configuration import CannotRun, ConfigMaps
from engine.executors.local.folders import named
from engine.executors.local.paths import clean
from engine.shape import Document

CLAIMED = ("persistentVolumeClaim", "ephemeral")


class Volumes:
    """The volumes that a leaf can mount: those of its template (``settings``) and of its workflow (``spec``)."""

    def __init__(self, settings: Document, spec: Document, maps: ConfigMaps, leaf: Path, run: Path) -> None:
        claims = [str((each.get("metadata") or {}).get("name")) for each in spec.get("volumeClaimTemplates") or ()]
        self._known: dict[str, Document] = {
            **{name: {"persistentVolumeClaim": {"claimName": name}} for name in claims},
            **{
                str(each.get("name")): each for each in (*(spec.get("volumes") or ()), *(settings.get("volumes") or ()))
            },
        }
        self._maps, self._leaf, self._run = maps, leaf / "volumes", run / "volumes"

    def mounts(self, containers: Iterable[Document]) -> dict[str, str]:
        """The folders that containers mount, by where. Raises `CannotRun`, `OSError` and `ValueError`."""
        found: dict[str, str] = {}
        for container in containers:
            for mount in container.get("volumeMounts") or ():
                if mount.get("subPathExpr"):
                    raise CannotRun("volumeMounts.subPathExpr", "is not run by the local executor, subPath is")
                path, folder = clean(mount["mountPath"]), self._folder(str(mount.get("name")))
                place = folder / clean(mount.get("subPath") or "").lstrip("/")
                if not place.resolve().is_relative_to(folder.resolve()):
                    raise CannotRun("volumeMounts.subPath", f"{mount['subPath']!r} leads out of the volume")
                if not place.exists():
                    place.mkdir(parents=True)
                if found.setdefault(path, str(place)) != str(place):
                    raise CannotRun("volumeMounts.mountPath", f"two containers mount different volumes at {path!r}")
        return found

    def _folder(self, name: str) -> Path:
        volume = self._known.get(name) or {"emptyDir": {}}
        for claimed in CLAIMED:
            if volume.get(claimed) is not None:
                folder = self._run / named("volumes.name", str(volume[claimed].get("claimName") or name))
                folder.mkdir(parents=True, exist_ok=True)
                return folder
        folder = self._leaf / named("volumes.name", name)
        folder.mkdir(parents=True, exist_ok=True)
        if volume.get("configMap") is not None:
            for file, content in self._maps.files(volume["configMap"], f"volumes.{name}.configMap").items():
                folder.joinpath(named("a ConfigMap's key", file)).write_text(content)
        elif volume.get("emptyDir") is None and not (volume.get("secret") or {}).get("optional"):
            kind = next((each for each in volume if each != "name"), "")
            raise CannotRun(f"volumes.{name}.{kind}", "is not run by the local executor")
        return folder
