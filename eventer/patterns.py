"""Regular expressions that people write into a configuration: those that could take for ever are refused.

`re` backtracks, and it searches what anybody who may create Events has written. So an expression is looked at
once, when it is read, and the text that it is given is bounded.
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["TEXT_CAP", "compile_pattern"]

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
OPENS: Final = 2
"""Open repeats of a regular expression: with two, what is worst takes seconds; with three, hours."""
TEXT_CAP: Final = 4096
"""Characters of a text that a regular expression sees. `re` backtracks: on hostile texts its time
grows with the length to the power of the number of unbounded repeats, so the length is bounded."""


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile a regular expression, refusing the ones that can take exponential time.

    Raises:
        ValueError: `message; remedy`. It is no regular expression, or longer than anybody reads, or it
            repeats what itself repeats or can be read in several ways (`(a+)+`, `(a|aa)+`,
            `(a{1,9}){9}`), which takes `re` exponential time on texts that nearly match; or it has so
            many open repeats (`.*a.*b.*c`) that the polynomial is as bad.
    """
    if len(text) > LONGEST:
        message = f"the regular expression /{text[:20]}…/ has {len(text)} characters, more than {LONGEST}"
        raise ValueError(f"{message}; write a list of shorter ones")
    try:
        pattern = re.compile(text)
        tree = _parser.parse(text)
        nested = _ambiguous(tree, repeats=1, rounds=1)
        opens = sum(_opens(tree))
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
    if opens > OPENS:
        message = f"/{text}/ has {opens} repeats such as .* that can share out a text, which can take for ever"
        raise ValueError(f"{message}; write at most {OPENS}, or a list of simpler ones")
    return pattern


def _opens(node: Any) -> tuple[int, bool]:
    """Count unbounded repeats that can take what follows them as well: each is a factor of the text's length.

    `[^/]+/` ends at the first slash and is not counted, `.*a` may end at any `a`. In a choice the worst
    way counts.

    Returns:
        How many; and whether one that is not counted comes after the last of them, for it is gone through
        once more for each way in which those share out a text.
    """
    if isinstance(node, tuple) and len(node) == 2 and node[0] is _parser.BRANCH:
        return max(map(_opens, node[1][1]), default=(0, False))
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
    if isinstance(node, tuple) and len(node) == 2 and node[0] is _parser.BRANCH and repeats == _parser.MAXREPEAT:
        firsts: list[Any] = [way[0] if len(way) else None for way in node[1][1]]
        if any(first is None or first[0] is not _parser.LITERAL for first in firsts):
            return True
        if len({chr(first[1]).casefold() for first in firsts}) < len(firsts):
            return True
    if isinstance(node, list | tuple):
        return any(_ambiguous(item, repeats=repeats, rounds=rounds) for item in node)
    return False
