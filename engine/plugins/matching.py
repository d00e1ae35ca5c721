"""Which calls a plugin wants at all: `match` in its configuration. What it does not want costs no request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from engine.model.naming import DEFAULT
from engine.model.node import Node
from engine.templates.template import Template
from rpc import Method

if TYPE_CHECKING:
    from registry import MatchSettings, Plugin


def wants(plugin: Plugin, method: Method, metadata: Mapping[str, Any]) -> bool:
    """Whether it wants calls of `method` about the workflow with this metadata, as far as that alone can tell."""
    match = plugin.config.match
    if match is None:
        return True
    labels = metadata.get("labels") or {}
    return (
        _one_of(method, match.methods)
        and _one_of(metadata.get("namespace", DEFAULT), match.namespaces)
        and all(name in labels and fnmatchcase(labels[name], glob) for name, glob in match.labels.items())
    )


class NodeFilter:
    """What a plugin wants of the nodes of one pass; a template is looked at once."""

    def __init__(self, match: MatchSettings) -> None:
        self._match = match
        self._templates: dict[Template, bool] = {}

    def wants(self, template: Template, node: Node) -> bool:
        """Whether it wants calls about this node."""
        wanted = self._templates.get(template)
        if wanted is None:
            wanted = self._templates[template] = self._wants_template(template)
        return wanted and (not self._match.phases or _one_of(node.phase, self._match.phases))

    def _wants_template(self, template: Template) -> bool:
        types = self._match.types
        return _one_of(template.name, self._match.templates) and (
            _one_of(template.kind.name, types) or _one_of(template.node_type, types)
        )


def node_filter(plugin: Plugin) -> NodeFilter | None:
    """None for a plugin that wants calls about all nodes."""
    match = plugin.config.match
    return NodeFilter(match) if match is not None and (match.templates or match.types or match.phases) else None


def _one_of(name: str, globs: Iterable[str]) -> bool:
    """Whether a glob matches, or none was given."""
    globs = tuple(globs)
    return not globs or any(fnmatchcase(name, glob) for glob in globs)
