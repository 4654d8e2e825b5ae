"""Regular expressions that people write into a configuration: those that could take for ever are refused.

`re` backtracks, and it searches what anybody who may create Events has written. So an expression is looked at
once, when it is read: the steps that it can take on the worst text of a length grow with a power of that length,
which the expression shows. It gets no more of a text than keeps them below one bound, and is refused where that is too
little.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

__all__ = ["TEXT_CAP", "Expression", "compile_pattern"]

_parser: Any = re._parser  # type: ignore[attr-defined]  # noqa: SLF001 - the public alias warns since 3.11

_compiler: Any = re._compiler  # type: ignore[attr-defined]  # noqa: SLF001 - the same
_REPEATS: Final = (_parser.MAX_REPEAT, _parser.MIN_REPEAT)
_ONE: Final = (_parser.LITERAL, _parser.NOT_LITERAL, _parser.IN, _parser.ANY)
"""What matches one character."""
_LETTERS: Final = "".join(map(chr, range(0x250)))
LONGEST: Final = 1000
"""Characters of a regular expression."""
WAYS: Final = 1000
"""Ways in which bounded repeats may cut a text: `([0-9]{1,3}[.]){3}` for an IP address has 27, `(a{1,9}){9}` has
hundreds of millions."""
STEPS: Final = 1024**3 // 6
"""Most steps of a search, which take a second or a few: the places to begin at and those where each open repeat can
end, which come one behind the other, times the ways of what is bounded."""
TEXT_CAP: Final = 4096
"""Most characters of a text that any regular expression sees."""
TEXT_LEAST: Final = 1024
"""Characters that it must be able to see, or it is refused: what Kubernetes allows for a message
(https://github.com/kubernetes/kubernetes, pkg/apis/core/validation/events.go)."""
FREE: Final = 8
"""Ways of what is bounded that are not counted: `https?.*` has two, and hardly a text on which that matters."""


class Expression(NamedTuple):
    """A regular expression, and how much of a text it may see."""

    compiled: re.Pattern[str]
    cap: int
    """Characters: `TEXT_CAP` with one open repeat such as .*, `TEXT_LEAST` with two."""

    @property
    def text(self) -> str:
        """As it was written."""
        return self.compiled.pattern

    def search(self, text: str) -> re.Match[str] | None:
        """Look for it anywhere in what it may see of a text."""
        return self.compiled.search(text, 0, self.cap)


def compile_pattern(text: str) -> Expression:
    """Compile a regular expression, refusing the ones that can take exponential time.

    Raises:
        ValueError: `message; remedy`. It is no regular expression, or longer than anybody reads, or it
            repeats what itself repeats or can be read in several ways (`(a+)+`, `(a|aa)+`,
            `(a{1,9}){9}`), which takes `re` exponential time on texts that nearly match; or it has so
            many open repeats (`.*a.*b.*c`), or bounded ones in a row (`a?a?a?a?...`), that it is as bad.
    """
    if len(text) > LONGEST:
        message = f"the regular expression /{text[:20]}…/ has {len(text)} characters, more than {LONGEST}"
        raise ValueError(f"{message}; write a list of shorter ones")
    try:
        pattern = re.compile(text)
        tree = _parser.parse(text)
        nested = _ambiguous(tree, repeats=1, rounds=1)
        opens, ways = sum(_opens(tree)), math.prod(_ways(tree))
        endless = any(node[0] in _REPEATS and node[1][1] == _parser.MAXREPEAT for node in _nodes(tree))
    except RecursionError:
        raise ValueError("the regular expression is nested too deeply; write a simpler one") from None
    except (re.error, OverflowError) as error:
        remedy = "correct it, with a backslash before a character that is meant as itself"
        if text.startswith("*"):
            remedy = f"a * repeats what is before it: write /.{text}/, or leave it out"
        raise ValueError(f"/{text}/ is no regular expression: {error}; {remedy}") from None
    if nested:
        message = f"/{text}/ repeats a repeat or a choice, which can take for ever on a hostile text"
        raise ValueError(f"{message}; write a simpler regular expression")
    if _cap(opens, 1) < TEXT_LEAST:
        message = f"/{text}/ has {opens} repeats such as .* that can share out a text, which can take for ever"
        raise ValueError(f"{message}; write at most 2, or a list of simpler ones")
    cap = _cap(max(opens, endless), ways if ways > FREE else 1)
    if cap < TEXT_LEAST:
        message = f"/{text}/ has short repeats and choices with {_about(ways)} ways to share out a text, which can take"
        raise ValueError(f"{message} for ever; write fewer of them in a row, or a list of simpler ones")
    return Expression(pattern, cap)


def _cap(opens: int, ways: int) -> int:
    """Return the length at which the steps of the worst text stay below `STEPS`."""
    places = 1 + opens
    return min(TEXT_CAP, round(math.pow(STEPS * math.factorial(places) / ways, 1 / places)))


def _about(number: int) -> str:
    return f"{number:,}" if number < 1_000_000 else "millions of"


def _nodes(node: Any) -> Iterator[Any]:
    """Yield each operation of a syntax tree of `re`: its name, and what belongs to it."""
    if isinstance(node, _parser.SubPattern | list | tuple):
        items = list(node)
        if isinstance(node, tuple) and len(items) == 2 and isinstance(items[0], int):
            yield node
        for item in items:
            yield from _nodes(item)


def _ways(node: Any) -> tuple[int, int]:
    """Count the ways in which what is bounded can take its part of a text at one place: `a?a{1,3}b?` has 12.

    What is followed by something that it cannot take itself has one way, and so have choices that begin differently.

    Returns:
        How many; and the longest run of what has one way, for it is gone through once more for each of those.
    """
    if isinstance(node, tuple) and len(node) == 2 and node[0] is _parser.BRANCH:
        counts = [_ways(way) for way in node[1][1]]
        found, run = max(count[0] for count in counts), max(count[1] for count in counts)
        return found if _apart(node[1][1]) else min(found * len(counts), STEPS), run
    if not isinstance(node, _parser.SubPattern | list | tuple):
        return 1, 1
    items = list(node)
    found = longest = 1
    for index, item in enumerate(items):
        if isinstance(item, tuple) and len(item) == 2 and item[0] in _REPEATS:
            least, most, inner = item[1]
            within, run = _ways(inner)
            if most != _parser.MAXREPEAT:
                within **= min(most, 64)
                if _ends(inner, items[index + 1] if index + 1 < len(items) else None):
                    run *= most
                else:
                    within *= most - least + 1
        else:
            within, run = _ways(item)
        found, longest = min(found * within, STEPS), min(max(longest, run), STEPS)
    return found, longest


def _apart(ways: Any) -> bool:
    """Whether alternatives begin with different characters, so that a text shows at once which one it can be."""
    firsts: list[Any] = [way[0] if len(way) else None for way in ways]
    if any(first is None or first[0] is not _parser.LITERAL for first in firsts):
        return False
    return len({chr(first[1]).casefold() for first in firsts}) == len(firsts)


def _opens(node: Any) -> tuple[int, bool]:
    """Count unbounded repeats that can take what follows them as well: each is a factor of the text's length.

    `[^/]+/` ends at the first slash and is not counted, `.*a` may end at any `a`. In a choice the worst
    way counts. A reference to a group (`(.+)(?P=x)`) is counted too: it is compared character by character.

    Returns:
        How many; and whether one that is not counted comes after the last of them, for it is gone through
        once more for each way in which those share out a text.
    """
    if isinstance(node, tuple) and len(node) == 2 and node[0] is _parser.BRANCH:
        return max(map(_opens, node[1][1]), default=(0, False))
    if isinstance(node, tuple) and len(node) == 2 and node[0] is _parser.GROUPREF:
        return 1, False
    if not isinstance(node, _parser.SubPattern | list | tuple):
        return 0, False
    items = list(node)
    found, closed = 0, False
    for index, item in enumerate(items):
        if isinstance(item, tuple) and len(item) == 2 and item[0] in _REPEATS:
            _, most, inner = item[1]
            opens, last = _opens(inner)
            if most == _parser.MAXREPEAT:
                ends = _ends(inner, items[index + 1] if index + 1 < len(items) else None)
                opens, last = (opens, True) if ends else (opens + 1, False)
        else:
            opens, last = _opens(item)
        found += opens
        closed = (last or (closed and not opens)) and found > 0
    return found, closed


def _ends(inner: Any, after: Any) -> bool:
    """Whether it is certain that a repeat of one character cannot take the one that follows it."""
    if isinstance(after, tuple) and after[0] in _REPEATS and after[1][0] and len(after[1][2]) == 1:
        after = after[1][2][0]
    if len(inner) != 1 or not isinstance(after, tuple) or after[0] not in _ONE or inner[0][0] not in _ONE:
        return False
    mine, next_ = (_compiler.compile(_parser.SubPattern(inner.state, [item])) for item in (inner[0], after))
    tried = _LETTERS + (chr(after[1]) if after[0] is _parser.LITERAL else "")
    return not any(mine.fullmatch(letter) and next_.fullmatch(letter) for letter in tried)


def _ambiguous(node: Any, *, repeats: Any, rounds: int) -> bool:
    """Whether a text can be cut in too many ways into rounds of a repeat.

    Unbounded repeats within any repeat, and, within unbounded ones, also whatever has a choice: a
    repeat that may be shorter (`(a?a)*`), and alternatives that can begin alike (`(a|aa)+`).

    Args:
        node: of the syntax tree of `re`.
        repeats: most rounds of the repeats around it.
        rounds: the same of those that are bounded, multiplied.
    """
    if isinstance(node, _parser.SubPattern):
        return any(_ambiguous(item, repeats=repeats, rounds=rounds) for item in node)
    if isinstance(node, tuple) and len(node) == 2 and node[0] in _REPEATS:
        least, most, inner = node[1]
        if (most == _parser.MAXREPEAT and repeats > 1) or (least != most and repeats == _parser.MAXREPEAT):
            return True
        if most != _parser.MAXREPEAT and rounds > 1 and (most - least + 1) ** min(rounds, 64) > WAYS:
            return True
        return _ambiguous(
            inner, repeats=max(most, repeats), rounds=rounds if most == _parser.MAXREPEAT else rounds * most
        )
    branch = isinstance(node, tuple) and len(node) == 2 and node[0] is _parser.BRANCH
    if branch and repeats == _parser.MAXREPEAT and not _apart(node[1][1]):
        return True
    if isinstance(node, list | tuple):
        return any(_ambiguous(item, repeats=repeats, rounds=rounds) for item in node)
    return False
