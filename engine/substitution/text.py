"""`{{...}}` tags, compiled: a document's JSON text is split at its tags once, so filling them in is a join.

Argo substitutes in the JSON text of a template, and so do we (its util/template): what is put in is escaped, not
scanned again, and a tag ends at the first `}}`. Simple tags name a variable; `{{=...}}` tags hold an expression.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from engine.expressions.argo import FUNCTIONS
from engine.expressions.budget import budgeted
from engine.expressions.caching import kept
from engine.expressions.errors import ExpressionError, Invalid
from engine.expressions.gotext import go_json
from engine.expressions.program import Program, compile_expression
from engine.substitution.scope import Scope as LayeredScope

Scope = Mapping[str, Any]
"""Argo's variable names in full (`inputs.parameters.x`) and their values: strings; None for an output that was never
made; and for `item` any JSON value. Where it is a `engine.substitution.scope.Scope`, it also says what `now()` is."""

# Where these are unknown an expression waits for them instead of seeing nil (Argo's variablesToCheck).
_AWAITED: Final = frozenset(
    {
        "item",
        "retries",
        "lastRetry.exitCode",
        "lastRetry.status",
        "lastRetry.duration",
        "lastRetry.message",
        "workflow.status",
        "workflow.failures",
    }
)

# Which of them there is depends on who calls the template.
_CALLED: Final = ("steps.name", "tasks.name")


MAX_FILLED: Final = 16 * 1024 * 1024
"""Bytes that the tags of one text may come to."""


class SubstitutionError(ValueError):
    """A tag that cannot be filled in; the message is one line in Argo's words."""


class TooLarge(SubstitutionError):
    """What the tags of a text stand for would fill the memory, such as parameters that double from one to the next."""


class UnresolvedError(SubstitutionError):
    """A tag that names a variable which does not exist: what stands between the braces, and the variable's name."""

    def __init__(self, tag: str, name: str, message: str) -> None:
        self.tag = tag
        self.name = name
        super().__init__(message)


class _Mode:
    """What becomes of tags that cannot be filled in: which must be, and which stay as they are.

    Where nothing has to be filled in, an expression that fails stays as it is, too (Argo's expressionReplaceStrict).
    """

    __slots__ = ("allow_unresolved", "evaluate", "nested", "required", "tolerant")

    def __init__(self, allow_unresolved: bool, required: Collection[str], evaluate: bool) -> None:
        self.allow_unresolved = allow_unresolved
        self.required = required
        self.evaluate = evaluate
        self.tolerant = allow_unresolved and not required
        self.nested = False
        """Whether a tag was filled in within another one, which can be looked up now."""

    def must_resolve(self, name: str) -> bool:
        """Whether the absence of this variable is an error."""
        if not self.allow_unresolved:
            return True
        if name in _CALLED:
            return False
        return any(name == prefix or name.startswith(f"{prefix}.") for prefix in self.required)


class _Simple:
    """A tag that names a variable: `{{inputs.parameters.x}}`, with or without spaces inside the braces."""

    __slots__ = ("name", "raw")

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.name = raw.strip()

    def fill(self, scope: Scope, mode: _Mode) -> bytes:
        value = self._find(scope)
        names_artifact = ".artifacts." in self.name
        is_artifact = names_artifact and isinstance(value, Mapping)  # which is no text
        if value is not None and not is_artifact:
            return _escape(item_text(value))
        if value is None and self.name in scope:
            raise SubstitutionError(f"failed to resolve {{{{{self.raw}}}}} to string")
        # Go templates and the like may stand around a tag: `{{- with "{{inputs.parameters.x}}" -}}`.
        outer, braces, inner = self.raw.rpartition("{{")
        if braces and outer and isinstance(scope.get(inner), str):
            mode.nested = True
            return f"{{{{{outer}".encode() + _escape(scope[inner])
        # Artifacts may be optional, which is decided where they are looked up.
        if mode.must_resolve(self.name) and not (mode.allow_unresolved and names_artifact):
            raise UnresolvedError(self.raw, self.name, f"failed to resolve {{{{{self.raw}}}}}")
        return f"{{{{{self.raw}}}}}".encode()

    def _find(self, scope: Scope) -> object:
        try:
            return scope[self.name]
        except KeyError:
            item = scope.get("item") if self.name.startswith("item.") else None
            return item.get(self.name[5:]) if isinstance(item, Mapping) else None


class _Expression:
    """A tag that holds an expression: `{{=asInt(inputs.parameters.x) + 1}}`."""

    __slots__ = ("_program", "name", "raw")

    def __init__(self, raw: str) -> None:
        self.raw = raw
        try:
            # Within a JSON text the quotes of the expression are escaped.
            self.name: str = orjson.loads(f'"{raw[1:]}"')
        except ValueError:
            self.name = raw[1:]
        self._program: Program | None = None

    def fill(self, scope: Scope, mode: _Mode) -> bytes:
        as_it_is = f"{{{{{self.raw}}}}}".encode()
        if not mode.evaluate:
            return as_it_is
        try:
            program = self._program = self._program or compile_expression(self.name)
        except ExpressionError as error:
            if mode.tolerant:
                return as_it_is
            raise SubstitutionError(f"failed to evaluate expression: {error}") from error
        try:
            env = _variables(program, scope)
            missing = [name for name in program.identifiers if not _has(env, name) and not _has(FUNCTIONS, name)]
            for name in missing:
                if mode.must_resolve(name):
                    raise UnresolvedError(self.raw, name, f"failed to evaluate expression: {name} is missing")
            if missing and not _AWAITED.isdisjoint(missing):
                return as_it_is
            clock = scope.clock if isinstance(scope, LayeredScope) else time.time
            result = program.run(env, clock=clock)
            if result is not None:
                return _escape(result) if isinstance(result, str) else _expressed(go_json(result))
            reason = f" {self.name!r}: the result is nil"
        except (ExpressionError, Invalid) as error:
            reason = f": {error}"
        if missing or mode.tolerant:
            # Nil and errors alike may come of what is not there yet.
            return as_it_is
        raise SubstitutionError(f"failed to evaluate expression{reason}")


def find_tags(text: str) -> Iterator[tuple[int, int]]:
    """Where the tags of a text begin and end, braces included, in one run over it; one that never ends is none."""
    end = 0
    while (start := text.find("{{", end)) >= 0 and (close := text.find("}}", start + 2)) >= 0:
        end = close + 2
        yield start, end


NO_NAMES: Final[frozenset[str]] = frozenset()
"""One for all: of another empty one the interpreter makes a new object of 200 bytes, and most texts have no tags."""


class Text:
    """A JSON text split at its tags. Immutable, and shared by all that render it."""

    __slots__ = ("_parts", "_slots", "expressions", "names", "tags")

    def __init__(self, text: str) -> None:
        self._parts: tuple[bytes, ...] = ()
        self._slots: Sequence[tuple[int, str, _Simple | _Expression]] = ()
        self.names = NO_NAMES
        """The variables that tags name."""
        self.expressions = NO_NAMES
        """The expressions of `{{=...}}` tags, without the `=`."""
        self.tags = NO_NAMES
        """What stands between the braces."""
        if "{{" in text:
            self._split(text)
        else:
            self._parts = (text.encode(),)

    def _split(self, text: str) -> None:
        position, parts, slots = 0, list[bytes](), list[tuple[int, str, _Simple | _Expression]]()
        for start, end in find_tags(text):
            raw = text[start + 2 : end - 2]
            tag = _Expression(raw) if raw.startswith("=") else _Simple(raw)
            parts += (text[position:start].encode(), b"")
            slots.append((len(parts) - 1, tag.name, tag))
            position = end
        if (start := text.find("{{", position)) >= 0:
            raise SubstitutionError(f'Cannot find end tag="}}}}" starting from {text[start : start + 40]!r}')
        self._parts = (*parts, text[position:].encode())
        self._slots = slots
        self.names = frozenset(name for _, name, tag in slots if type(tag) is _Simple) or NO_NAMES
        self.expressions = frozenset(name for _, name, tag in slots if type(tag) is _Expression) or NO_NAMES
        self.tags = self.names | self.expressions if self.expressions else self.names

    def render(
        self,
        scope: Scope,
        *,
        allow_unresolved: bool = False,
        required: Collection[str] = (),
        evaluate: bool = True,
    ) -> bytes:
        """The JSON text with its tags filled in; a text without tags is the same bytes object every time.

        With ``allow_unresolved``, tags that cannot be filled in yet stay as they are, but for those whose variable is,
        or is below, one of ``required`` (`item`, `tasks`: Argo's strict prefixes). Without ``evaluate``, expressions
        stay, too. Raises `UnresolvedError`, or `SubstitutionError` where an expression fails.
        """
        if not self._slots:
            return self._parts[0]
        mode = _Mode(allow_unresolved, required, evaluate)
        rendered = self._fill(scope, mode)
        if mode.nested:
            # Argo fills in a template twice: the second time, what a tag within a tag has completed can be looked up.
            mode.allow_unresolved = True
            rendered = Text(rendered.decode())._fill(scope, mode)
        return rendered

    def _fill(self, scope: Scope, mode: _Mode) -> bytes:
        if not self.expressions:
            return self._filled(scope, mode)
        with budgeted():  # all expressions in one text are paid for together
            return self._filled(scope, mode)

    def _filled(self, scope: Scope, mode: _Mode) -> bytes:
        parts, size = list(self._parts), 0
        for index, name, tag in self._slots:
            value = scope.get(name)
            filler = _escape(value) if type(value) is str and type(tag) is _Simple else tag.fill(scope, mode)
            parts[index] = filler
            size += len(filler)
            if size > MAX_FILLED:
                raise TooLarge(f"what the tags stand for has more than {MAX_FILLED >> 20} MiB in all")
        return b"".join(parts)


def compile_json(document: object) -> Text:
    """The text of a JSON document, ready to be rendered; raises `SubstitutionError` for a tag that never ends."""
    return Text(orjson.dumps(document).decode())


def render_string(text: str, scope: Scope) -> str:
    """A single string with its tags filled in, as `Text.render` does it; those that cannot be stay as they are."""
    if "{{" not in text:
        return text
    result: str = orjson.loads(_compile_string(text).render(scope, allow_unresolved=True))
    return result


@kept(maxsize=1024)
def _compile_string(text: str) -> Text:
    return compile_json(text)


def item_text(value: object) -> str:
    """A value as a tag puts it into a string: strings as they are, `2.0` as `2`, maps and lists as JSON."""
    try:
        return value if isinstance(value, str) else go_json(value)
    except Invalid as error:
        raise SubstitutionError(str(error)) from error


def environment(scope: Scope, roots: Collection[str] | None = None) -> dict[str, object]:
    """The nested view of a scope that expressions see: `{"inputs": {"parameters": {"x": "1"}}}`.

    Where both `a` and `a.b` exist the more specific one counts, as in Argo. ``roots`` limits the view to variables
    that begin with one of these names.
    """
    env: dict[str, object] = {}
    for name, value in (scope.flatten() if isinstance(scope, LayeredScope) else scope).items():
        if roots is None or name.partition(".")[0] in roots:
            _put(env, name, value)
    return env


def _variables(program: Program, scope: Scope) -> dict[str, object]:
    """The part of the view that a program can see, without a look at every variable where that can be helped."""
    if program.sees_all:
        return environment(scope)
    env: dict[str, object] = {}
    rest = set()
    for name in program.leaves:
        value = scope.get(name)
        # The JSON of a whole (`inputs.parameters`, a map as `item`) may hide the variables that are its parts.
        if type(value) is str and not value.startswith(("{", "[")):
            _put(env, name, value)
        else:
            rest.add(name.partition(".")[0])
    return env | environment(scope, rest) if rest else env


def _put(env: dict[str, object], name: str, value: object) -> None:
    *stem, leaf = name.split(".")
    for segment in stem:
        below = env.get(segment)
        if not isinstance(below, dict):
            below = env[segment] = {}
        env = below
    if isinstance(env.get(leaf), dict):
        return
    if isinstance(value, Mapping):
        env[leaf] = {key: item_text(element) for key, element in value.items()}
    else:
        env[leaf] = None if value is None else item_text(value)


def _has(env: Mapping[str, object], name: str) -> bool:
    here: object = env
    for segment in name.split("."):
        if not isinstance(here, Mapping) or segment not in here:
            return False
        here = here[segment]
    return True


def _expressed(text: str) -> bytes:
    """The JSON of a value as Argo puts it in: of what is a text in JSON, as times are, without the quotes."""
    return text[1:-1].encode() if text.startswith('"') else _escape(text)


def _escape(value: str) -> bytes:
    try:
        return orjson.dumps(value)[1:-1]
    except orjson.JSONEncodeError as error:
        raise SubstitutionError(f"a value is no valid text: {error}") from error
