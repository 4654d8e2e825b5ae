"""What PyYAML says of a file that is no YAML, in words for somebody who does not know its grammar."""

from __future__ import annotations

import re
from typing import Final

import yaml

__all__ = ["explained"]

_OTHER: Final = "check quotes, brackets and indentation here and in the line above"
_QUOTES: Final = "put quotes around the text"


def explained(error: yaml.MarkedYAMLError, text: str, *, depth: int, nodes: int) -> tuple[str, str, yaml.Mark | None]:
    """Return message, remedy and place of a fault of syntax.

    Args:
        error: what PyYAML raised.
        text: the file.
        depth: most levels.
        nodes: most values.
    """
    problem, context = error.problem or "", error.context or ""
    mark = error.problem_mark or error.context_mark
    # "found unexpected end of stream" helps nobody; where the text began that never ends does.
    if error.context_mark is not None and "end of stream" in problem:
        mark = error.context_mark
    at = "" if mark is None or mark.index >= len(text) else text[mark.index]
    if mark is not None and text[max(0, mark.index - 1) :].startswith("${"):
        return "within { } and [ ] a variable needs quotes", 'write "${VARIABLE}"', mark
    if "'\\t'" in problem:
        return "a tab stands where YAML takes only spaces", "indent with spaces", mark
    if problem.startswith("but found another document"):
        return "a second document begins here", "keep one document per file: remove the --- line", mark
    if problem.startswith("too "):
        return problem, f"stay below {depth} levels and {nodes} values", mark
    alias = re.match(r"found undefined alias '(.*)'", problem)
    if alias:
        message = f"*{alias[1]} stands for a value that is marked &{alias[1]} above, and none is"
        return message, f'put quotes around a text that begins with *: "*{alias[1]}"', mark
    if "end of stream" in problem and "quoted" in context:
        return "a quote begins here that never ends", "put the other quote behind the text", mark
    if "flow" in context and problem.startswith("expected ','"):
        bracket = "]" if "sequence" in context else "}"
        # It ends in the line where something else was expected, or does not end at all.
        return f"a comma or {bracket} is missing before this", _OTHER, mark
    if "while parsing a block" in context:
        return "this line is indented differently from those that it belongs to", _OTHER.replace("quotes, ", ""), mark
    if problem in {"mapping values are not allowed here", "could not find expected ':'"}:
        remedy = "put quotes around a text that holds `: `, and check the indentation here and in the line above"
        return "a `: ` cannot stand here" if problem.startswith("mapping") else "a `:` is missing", remedy, mark
    if "while scanning a tag" in context or problem.startswith("could not determine a constructor"):
        return "a text that begins with ! needs quotes", _QUOTES, error.context_mark or mark
    if "cannot start any token" in problem:
        return f"a text that begins with {at} needs quotes", _QUOTES, mark
    return problem or context or "this is no YAML", _OTHER, mark
