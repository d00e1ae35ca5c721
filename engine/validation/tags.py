"""Whether the variables that a template names can exist where it names them.

Only what begins like a variable of Argo's is looked at: a bare unknown name such as ``{{hello}}`` may be a plugin's
(`parameters.add`), and what stands in an expression is seen when it is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from typing import Final

import orjson

from engine.shape import Document
from engine.substitution.text import find_tags
from engine.templates.specification import InvalidSpec

_CHECKED: Final = ("item.", "steps.", "inputs.", "outputs.", "pod.", "workflow.", "tasks.")
_LEFT_TO_RUNTIME: Final = (
    "outputs.",
    "workflow.creationTimestamp",
    "workflow.scheduledTime",
    "workflow.duration",
    "tasks.name",
    "steps.name",
    "node.name",
)

COMMON: Final = frozenset({"id", "startedAt", "finishedAt", "hostNodeName"})
"""What every step and task defines, under its own name."""


class Names:
    """The variables that exist at one place of a template; Argo's scope while it validates."""

    def __init__(self, own: set[str], known: Container[str], later: tuple[str, ...] = ()) -> None:
        self.own = own
        """Of the template itself: `inputs.*`, `pod.name` and the like, and `workflow.outputs.<kind>.*` where something
        that it calls gives a global output a name which is not known before it runs."""
        self.known = known
        """Of the workflow: `workflow.*`, to which come the global outputs of the templates seen so far."""
        self.later = _LEFT_TO_RUNTIME + later
        """What variables begin with that may come from elsewhere."""
        self.kind = ""
        """`steps` or `tasks`."""
        self.children: dict[str, frozenset[str]] = {}
        """What the steps or tasks define that were seen so far, by name."""
        self.has_status: Callable[[str], bool] = self.children.__contains__
        self.any_item = False

    def check(self, prefix: str, document: object, extra: Collection[str] = ()) -> None:
        """Raises `InvalidSpec` for the first tag of a document that names what cannot exist; ``extra`` does here."""
        text = orjson.dumps(document).decode()
        if "{{" not in text:
            return
        for raw in dict.fromkeys(text[start + 2 : end - 2] for start, end in find_tags(text)):
            tag = raw.strip()
            if not raw.startswith("=") and tag.startswith(_CHECKED) and tag not in extra and not self._exists(tag):
                raise InvalidSpec(f"{prefix} failed to resolve {{{{{raw}}}}}".lstrip())

    def _exists(self, tag: str) -> bool:
        if tag in self.own or tag in self.known or tag.startswith(self.later):
            return True
        root, _, rest = tag.partition(".")
        if root == "item":
            return self.any_item
        if root == self.kind:
            name, _, rest = rest.partition(".")
            return self.has_status(name) if rest == "status" else rest in self.children.get(name, ())
        kind = f"{'.'.join(tag.split('.', 3)[:3])}.*"
        return root == "workflow" and (kind in self.own or kind in self.known)


def items_of(call: Document) -> tuple[set[str], bool]:
    """What the turns of a loop may name, and whether that is anything at all. Raises `InvalidSpec`."""
    items, sequence = call.get("withItems") or (), call.get("withSequence")
    if bool(items) + bool(call.get("withParam")) + (sequence is not None) > 1:
        raise InvalidSpec("only one of withItems, withParam, withSequence can be specified")
    if sequence is not None and sequence.get("count") is not None and sequence.get("end") is not None:
        raise InvalidSpec("only one of count or end can be defined in withSequence")
    found: set[str] = set()
    for item in items:
        if isinstance(item, Mapping):
            found.update(f"item.{key}" for key in item)
        elif isinstance(item, list):
            found.update(f"item.[{index}]" for index in range(len(item)))
    return found, bool(call.get("withParam"))
