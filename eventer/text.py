"""What may be done to text that strangers wrote: cut it, show it, and keep secrets out of it.

Anyone who can create a pod decides what stands in an event's message, and far sides put what they
like into their answers. Whatever shows such text to a person (a terminal, one line of a chat)
passes it through `escape`; whatever puts text from elsewhere into a message, a log line or the
journal passes it through `redact`; whatever has a size limit uses `shorten`.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

__all__ = ["escape", "redact", "shorten", "valid"]

_CONTINUATION: Final = range(0x80, 0xC0)
"""Values of the bytes of a UTF-8 character after its first."""


def shorten(text: str, limit: int) -> str:
    """Cut a text to a number of UTF-8 bytes, at whole characters, keeping its head and its tail.

    Between the two stands how many bytes were cut and the first 8 digits of the SHA-256 of the
    whole text, so that two long texts that differ in the middle still differ. Container runtimes
    put the cause of an error last, which is why the tail stays. Under 64 bytes there is no room
    for that note: only the head is kept.

    Args:
        text: any text.
        limit: bytes that the result may have at most.
    """
    if len(text) * 4 <= limit or (len(text) <= limit and text.isascii()):
        return text
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= limit:
        return text
    if limit < 64:
        return _piece(data, 0, max(limit, 0))
    digest = hashlib.sha256(data).hexdigest()[:8]
    note = " …[{} bytes cut, sha256 {}]… "
    room = limit - len(note.format(len(data), digest).encode())
    head = _piece(data, 0, room - room // 2)
    tail = _piece(data, len(data) - room // 2, len(data))
    cut = len(data) - len(head.encode("utf-8", "surrogatepass")) - len(tail.encode("utf-8", "surrogatepass"))
    return head + note.format(cut, digest) + tail


def _piece(data: bytes, start: int, stop: int) -> str:
    """Decode the whole characters that lie in data[start:stop]."""
    while start < stop and data[start] in _CONTINUATION:
        start += 1
    while start < stop < len(data) and data[stop] in _CONTINUATION:
        stop -= 1
    return data[start:stop].decode("utf-8", "surrogatepass")


_UNSEEN: Final = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters; ESC begins a terminal's commands
    "\xad"  # soft hyphen
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks, overrides and isolates of direction
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0"  # no width
    "\u2028\u2029"  # line and paragraph separator
    "\ufff9-\ufffb"  # interlinear annotation
    "\ud800-\udfff"  # halves of a pair without the other half
    "\U000e0000-\U000e007f"  # tags, which can carry a hidden text
    "]"
)
_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape(text: str) -> str:
    r"""Make visible what would move, hide, recolour or break a line: `\n`, `\x1b`, `\u202e`.

    For terminals and for texts that must stay on one line. The result is printable and encodes as
    UTF-8. A backslash stays as it is: the result is for reading, not for turning back.
    """
    return _UNSEEN.sub(_visible, text)


_HIDDEN: Final = "<secret>"
_NAMES: Final = (
    r"(?:access[-_]?token|refresh[-_]?token|id[-_]?token|auth[-_]?token|token|sign|signature|sig|secret|client[-_]?secret"
    r"|password|passwd|pwd|api[-_]?key|access[-_]?key|authorization|credentials?)"
)
_END: Final = r"\s\"'<>\\"
"""What ends a value within a text: blanks, quotes, angle brackets (as around a URL), backslash."""

# Each pattern is anchored by a literal, and its repeats cannot run into each other, so that a
# hostile text costs time in proportion to its length.
_PATTERNS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), f"{replacement}{_HIDDEN}")
    for pattern, replacement in (
        # A header, up to the end of its line or of the quotes around it.
        (r"\b((?:proxy-)?authorization\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?)[^\r\n\"'\\]+", r"\1"),
        (r"\b((?:bearer|basic|splunk|apikey)\s{1,4})[A-Za-z0-9._~+/=:-]{6,}", r"\1"),
        # Three dotted parts of base64url, the first of which begins a JSON object: a JWT.
        (r"(?<![\w-])eyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)?", ""),
        # user:password@ before a host.
        (rf"(\b[a-z][a-z0-9+.-]{{0,20}}://)[^/?#{_END}]*(?=@)", r"\1"),
        # Robots that carry their key in the path: Slack, Feishu and Lark, Telegram, Discord, Teams,
        # Mattermost and Rocket.Chat.
        (rf"(hooks\.slack(?:-gov)?\.com/[a-z]+/)[^?#{_END}]+", r"\1"),
        (rf"(/open-apis/bot/(?:v\d/)?hook/)[^?#/{_END}]+", r"\1"),
        (r"(/bot)\d{3,}(?::|%3A)[\w-]{10,}", r"\1"),
        (rf"(/api/(?:v\d+/)?webhooks/)[^?#{_END}]+", r"\1"),
        (rf"(/webhookb2/)[^?#{_END}]+", r"\1"),
        (rf"(/hooks/)[^?#{_END}]+", r"\1"),
        (r"\b(xox[a-z]-|xapp-)[\w-]{6,}", r"\1"),
        # Every value of a query (DingTalk: access_token, sign; WeCom: key; Azure: sig; ...).
        (rf"([?&][^=&#{_END}]{{1,128}}=)[^&#{_END}]+", r"\1"),
        # name=value and "name": "value" outside of a URL.
        (rf"\b({_NAMES}=)[^&;,{_END}]+", r"\1"),
        (rf"([\"']{_NAMES}\\?[\"']\s{{0,4}}:\s{{0,4}}\\?[\"'])[^\"'\\]+", r"\1"),
    )
)


def redact(text: str) -> str:
    """Replace what looks like a credential by `<secret>`.

    Covers the values of URL queries and user information, Authorization headers, bearer and basic
    credentials, JSON Web Tokens, keys in the paths of chat robots, and fields whose name says that
    they are secret. It errs towards hiding: `Basic something` may lose a harmless word. A value
    that is known to be secret must be kept out at its origin; this is the second line.
    """
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def valid(text: str) -> str:
    """Replace lone surrogates by U+FFFD, so that the text can be encoded as UTF-8.

    Halves that stand together as a pair become the character that they mean.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
