"""What containers read of their surroundings: ConfigMaps, the fields of their pod, and nothing that is not known."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Final

from engine.shape import Document
from engine.substitution.variables import text_of


class CannotRun(ValueError):
    """A leaf that asks for what is not there; the message names the field and what was expected."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")


class ConfigMaps:
    """The ConfigMaps that a leaf can read, those of its namespace, by name."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self._documents = documents

    def data(self, reference: Document, field: str) -> dict[str, str]:
        """All of one; nothing of one that is optional and not there. Raises `CannotRun`."""
        name = str(reference.get("name") or "")
        document = self._documents.get(name)
        if document is None and not reference.get("optional"):
            raise CannotRun(field, f"there is no ConfigMap {name!r}")
        return {key: text_of(value) for key, value in ((document or {}).get("data") or {}).items()}

    def files(self, reference: Document, field: str) -> dict[str, str]:
        """What a volume of one has in it. Raises `CannotRun`."""
        data = self.data(reference, field)
        items = reference.get("items")
        if items is None:
            return data
        for item in items:
            if item.get("key") not in data and not reference.get("optional"):
                raise CannotRun(field, f"ConfigMap {reference.get('name')!r} has no key {item.get('key')!r}")
        return {item["path"]: data[item["key"]] for item in items if item.get("key") in data}

    def value(self, reference: Document, field: str) -> str | None:
        """One key; None where it is optional and not there. Raises `CannotRun`."""
        found = self.data(reference, field).get(str(reference.get("key")))
        if found is None and not reference.get("optional"):
            raise CannotRun(field, f"ConfigMap {reference.get('name')!r} has no key {reference.get('key')!r}")
        return found


_REFERENCE: Final = re.compile(r"\$(\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")


def expand(text: str, environment: Mapping[str, str]) -> str:
    """``$(NAME)`` replaced by what the container's environment has for it, as Kubernetes does; ``$$`` is a ``$``."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else environment.get(match[2], match[0])

    return _REFERENCE.sub(value, text) if "$" in text else text


class Environment:
    """What the ``env`` and ``envFrom`` of containers say; ``fields`` are those of the pod that `fieldRef` may name."""

    def __init__(self, maps: ConfigMaps, fields: Mapping[str, str]) -> None:
        self._maps = maps
        self._fields = {
            **fields,
            "status.podIP": "127.0.0.1",
            "status.hostIP": "127.0.0.1",
            "spec.nodeName": socket.gethostname(),
            "spec.serviceAccountName": "default",
        }

    def of(self, container: Document) -> dict[str, str]:
        """The variables of a container. Raises `CannotRun`."""
        found: dict[str, str] = {}
        for source in container.get("envFrom") or ():
            prefix = source.get("prefix") or ""
            if source.get("configMapRef") is not None:
                data = self._maps.data(source["configMapRef"], "envFrom.configMapRef")
                found |= {f"{prefix}{key}": value for key, value in data.items()}
            elif not (source.get("secretRef") or {}).get("optional"):
                raise CannotRun("envFrom.secretRef", "there are no Secrets on this machine")
        for variable in container.get("env") or ():
            name = str(variable.get("name"))
            source = variable.get("valueFrom")
            value = self._value(source, f"env.{name}") if source else text_of(variable.get("value") or "")
            if value is not None:
                found[name] = expand(value, found)
        return found

    def _value(self, source: Document, field: str) -> str | None:
        for kind, reference in source.items():
            if reference is None:
                continue
            where = f"{field}.valueFrom.{kind}"
            if kind == "configMapKeyRef":
                return self._maps.value(reference, where)
            if kind == "secretKeyRef":
                if reference.get("optional"):
                    return None
                raise CannotRun(
                    where, f"there are no Secrets on this machine, so none called {reference.get('name')!r}"
                )
            if kind == "fieldRef" and (path := str(reference.get("fieldPath"))) in self._fields:
                return self._fields[path]
            if kind == "fieldRef":
                raise CannotRun(where, f"expected one of {', '.join(sorted(self._fields))}, got {path!r}")
            raise CannotRun(where, "is not run by the local executor")
        return ""
