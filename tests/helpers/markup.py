"""Text of strangers where it meets markup: the ways by which it could get in, and what a page is made of."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any, Final

__all__ = ["SLIPS", "Tags"]

SLIPS: Final = (
    "{{ problem.message }}",
    "{{ problem.message | safe }}",
    "{{ problem.message | e | safe }}",
    "{{ ('' | safe) ~ problem.message }}",
    "{{ '%s' | format(problem.message) }}",
    "{{ [problem.message] | join('') }}",
    "{% set said = problem.message %}{{ said }}",
)
"""What templates may do with a text, none of which may make markup of it."""


class Tags(HTMLParser):
    """The tags of a page, with their attributes, and its comments."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, attrs))

    def handle_comment(self, data: str) -> None:
        self.seen.append("comment")
