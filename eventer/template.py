"""Templates that users write: Jinja2, sandboxed, tried out before they are used.

A template comes from the configuration and is trusted with time and memory; the event that it is
filled with comes from strangers and is trusted with nothing: it is only ever data, never compiled.
The sandbox blocks underscore attributes and changes to what is passed in, there is no loader to
include files by, and the result is capped.
"""

from __future__ import annotations

import difflib
import functools
import re
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventer.about import About, NamespaceFacts, NodeFacts, Owner, PodFacts
from eventer.event import Event, Origin
from eventer.text import valid

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["LIMIT", "Labels", "Template", "Words", "as_header", "as_json"]

LIMIT: Final = 64 << 10
"""Bytes that one rendered text may have. The longest message is 16 KiB, which JSON escapes can
make six times as long only where it holds nothing but control characters."""


class Labels(dict[str, str]):
    """Has every label: which ones exist is the source's configuration, unknown to a template."""

    def __missing__(self, key: str) -> str:
        return ""


_NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)
_BARE: Final = Event(
    id="id", time=_NOON, cluster="cluster", origin=Origin.EVENT, type="Warning", reason="BackOff",
    message='Back-off restarting "web":\n\texit \\ 1', kind="Pod", namespace="default", name="web-0", entity="entity",
    count=1, version=1, object="cluster/Pod/default/web-0", problem="cluster/Pod/default/web-0/BackOff/web",
    labels=Labels(),
    about=About(
        pod=PodFacts(labels=Labels(), annotations=Labels()), namespace=NamespaceFacts(labels=Labels()),
        node=NodeFacts(labels=Labels()),
    ),
)  # fmt: skip
_FULL: Final = msgspec.structs.replace(
    _BARE, count=2, delta=1, first=_NOON, component="kubelet", instance="node-1", node="node-1", action="Restart",
    uid="uid", api_version="v1", field_path="spec.containers{web}", event="default/web-0.1",
    about=About(
        enriched="ok", pod=PodFacts(node="node-1", phase="Running", labels=Labels(), annotations=Labels()),
        owner=Owner(kind="Deployment", name="web", api_version="apps/v1", chain=["ReplicaSet/web-0", "Deployment/web"]),
        namespace=NamespaceFacts(labels=Labels()),
        node=NodeFacts(name="node-1", labels=Labels(), zone="a", pool="general"), log='panic: "out"\n\tof memory',
    ),
)  # fmt: skip
# The message has what breaks a JSON text or a header into which it is put without a filter.
_SAMPLES: Final = {
    "an event with every field": {"event": _FULL},
    "an event without its optional fields": {"event": _BARE},
}
_GO: Final = re.compile(r"\{\{-?\s*(\.|\$|range|if |with |toJson)")
"""How templates of other exporters begin, which are Go's (https://pkg.go.dev/text/template)."""
_UNKNOWN: Final = re.compile(r"'eventer\.[\w.]+\.(\w+) object' has no attribute '(\w{1,60})'")
_GUARD: Final = (
    "fields are named like `event.reason`; guard one that may be missing by `{% if event.node %}` or "
    "`| default('', true)`"
)
_SOURCE: Final = "<template>"
"""What Jinja2 calls the file of a template that comes from none."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def as_json(text: str) -> str:
    """Check that a rendered text is JSON, and write it on one line.

    Raises:
        ValueError: it is not.
    """
    try:
        return msgspec.json.format(text, indent=-1)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(
            f"the result is not JSON ({error}); write {{{{ event.message | tojson }}}}, without quotes around it"
        ) from None


def as_header(text: str) -> str:
    """Check that a text can be the value of an HTTP header, and strip blanks around it.

    Raises:
        ValueError: it holds a control character: with a line break in it, an event could add
            headers of its own.
    """
    text = text.strip(" \t")
    if _CONTROL.search(text):
        raise ValueError(
            "a header may hold no line break or other control character; take another field, or write for example "
            "{{ event.message | tojson }}"
        )
    return text


class Words:
    """One compiled template.

    Beside Jinja2's own filters there is `tojson`, which writes any value as JSON. None is rendered as nothing. When
    it is made, the template is tried on examples, where a name that does not exist is a fault.

    Args:
        text: the template.
        examples: variables, by what they are an example of.
        guard: what to do where the template fails on one of them, if nothing better is known.
        types: types of records among the variables, by how one of them is called: `an event`.
        go: expressions, for those who are used to another exporter's templates.
        plain: what every text that is filled in goes through, so that it is no markup in the result.
        check: what every result goes through: `as_json`, `as_header`.
        limit: most bytes of one rendered text.

    Raises:
        ValueError: it cannot be compiled, or fails on an example; the message says what to do.
    """

    def __init__(
        self,
        text: str,
        examples: Mapping[str, Mapping[str, object]],
        guard: str,
        types: Mapping[str, type[msgspec.Struct]],
        go: str,
        *,
        plain: Callable[[str], str] = str,
        check: Callable[[str], str] = valid,
        limit: int = LIMIT,
    ) -> None:
        self._check = check
        self._limit = limit
        self._types = types
        try:
            strict = _environment(strict=True, limit=limit, plain=plain).from_string(text)
            self._template = _environment(strict=False, limit=limit, plain=plain).from_string(text)
        except Exception as error:  # noqa: BLE001 - constant expressions run, and fail, while compiling
            line = getattr(error, "lineno", None)
            remedy = "correct it; what is to stand there literally goes between {% raw %} and {% endraw %}"
            if _GO.search(text):
                remedy = f"templates are Jinja2 here, not Go's: {go}"
            where = f" (line {line})" if line else ""
            raise ValueError(f"the template cannot be compiled{where}: {_words(error, types)}; {remedy}") from None
        for what, example in examples.items():
            try:
                self._fill(strict, example)
            except ValueError as error:
                problem, _, remedy = str(error).partition("; ")
                raise ValueError(f"the template fails on {what}: {problem}; {remedy or guard}") from None

    def fill(self, variables: Mapping[str, object]) -> str:
        """Fill in these variables. A name that does not exist renders as nothing.

        Raises:
            ValueError: the template failed on them, or the result is too long or is not what `check` wants.
        """
        return self._fill(self._template, variables)

    def _fill(self, template: Any, variables: Mapping[str, object]) -> str:
        pieces: list[str] = []
        length = 0
        try:
            for piece in template.generate(variables):
                length += len(piece)
                if length > self._limit:
                    break
                pieces.append(piece)
        except Exception as error:  # noqa: BLE001 - an expression can raise whatever Python can
            said, _, remedy = _words(error, self._types).partition("; ")
            raise ValueError("; ".join(filter(None, [f"{said}{_line(error)}", remedy]))) from None
        text = valid("".join(pieces))
        if length > self._limit or len(text.encode()) > self._limit:
            raise ValueError(f"the result is longer than {self._limit} bytes")
        return self._check(text)


class Template(Words):
    """One compiled template that sees the variable `event`, an `eventer.event.Event`.

    Args:
        text: the template.
        check: what every result goes through: `as_json`, `as_header`.
        limit: most bytes of one rendered text.

    Raises:
        ValueError: it cannot be compiled, or fails on an example; the message says what to do.
    """

    def __init__(self, text: str, *, check: Callable[[str], str] = valid, limit: int = LIMIT) -> None:
        go = "{{ event.message }}, {{ event.labels.team }}"
        super().__init__(text, _SAMPLES, _GUARD, {"an event": Event}, go, check=check, limit=limit)

    def render(self, event: Event) -> str:
        """Fill in one event. A name that does not exist renders as nothing.

        Raises:
            ValueError: the template failed on this event, or the result is too long or is not
                what `check` wants.
        """
        return self.fill({"event": event})


def _line(error: Exception) -> str:
    """Say where in a template of several lines an expression failed."""
    lines = [number for frame, number in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == _SOURCE]
    return f" (line {lines[-1]})" if lines and lines[-1] > 1 else ""


def _words(error: Exception, types: Mapping[str, type[msgspec.Struct]]) -> str:
    """Say what Jinja2 or an expression raised, for somebody who knows neither its classes nor ours."""
    text = str(error).rstrip(".")
    unknown = _UNKNOWN.search(text)
    for one, kind in types.items():
        if unknown and unknown[1] == kind.__name__:
            close = difflib.get_close_matches(unknown[2], kind.__struct_fields__, n=1)
            name = one.split()[-1]
            remedy = f"did you mean {name}.{close[0]}?" if close else f"there are {', '.join(kind.__struct_fields__)}"
            return f"{one} has no field {unknown[2]}; {remedy}"
    if "no loader" in text:
        return "include, import and extends are not possible here; write everything into the template itself"
    if type(error).__name__ == "SecurityError" and "; " not in text:
        return f"{text}; a template may read the fields of the event, such as `event.reason`, and nothing else"
    return text if type(error).__module__.startswith("jinja2") else f"{type(error).__name__}: {text}"


@functools.cache
def _environment(*, strict: bool, limit: int, plain: Callable[[str], str]) -> ImmutableSandboxedEnvironment:
    from jinja2 import ChainableUndefined, StrictUndefined, Undefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            """Refuse the two operators by which a few characters fill the memory."""
            if operator == "**":
                raise SecurityError("** is not available")
            for text, times in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and isinstance(times, int) and len(text) * times > limit:
                    raise SecurityError(f"a repeat gives more than {limit} characters; write a shorter text")
            return super().call_binop(context, operator, left, right)

    def to_json(value: object) -> str:
        return msgspec.json.encode(value, enc_hook=as_data).decode()

    def filled(value: object) -> object:
        # `str(...)`: nothing that calls itself markup is taken for it. An unknown name raises here, or is nothing.
        return "" if value is None else value if isinstance(value, int | float) else plain(str(value))

    def as_data(value: object) -> object:
        if isinstance(value, Undefined) and not strict:
            return None
        if isinstance(value, Undefined):
            str(value)  # raises, and says which name is unknown
        raise TypeError(f"{type(value).__name__} cannot be written as JSON")

    environment = Environment(
        undefined=StrictUndefined if strict else ChainableUndefined,
        autoescape=False,  # results are JSON, headers and chat texts, never HTML
        finalize=filled,
    )
    environment.filters["tojson"] = to_json
    return environment
