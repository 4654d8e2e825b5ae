"""An e-mail as bytes: its headers, and the same text as HTML and as plain text.

Headers that hold nothing but names of ours are written here, by the rules of RFC 5322 and 2047: `email.policy` folds
long ids and quoted names in ways that mail programs do not undo. All of it is ASCII, so that any server takes it.
Nothing that stands in an event gets into a header but the subject, as encoded words, in which no line ends.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final, Self

import msgspec

from eventer.alerting.notification import Notification
from eventer.alerting.render.mail import Mail

__all__ = ["Envelope", "Mailbox", "identity", "written"]

_ADDRESS: Final = re.compile(
    r"(?P<local>[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@(?P<domain>(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)"
)
"""RFC 5321, 4.1.2, without quoted names and literals, which nobody has."""
_NAMED: Final = re.compile(r"(?P<name>[^<>\x00-\x1f\x7f\u2028\u2029\x80-\x9f\ud800-\udfff]*)<(?P<address>[^<>]*)>")
_LONGEST_NAME: Final = 64
_POLICY: Final = SMTP.clone(cte_type="7bit")


class Mailbox(msgspec.Struct, frozen=True):
    """Somebody who sends or gets mail."""

    name: str
    """As mail programs show it; empty if there is none."""
    address: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ops@example.com` or `On call <ops@example.com>`.

        Raises:
            ValueError: it is neither.
        """
        named = _NAMED.fullmatch(text.strip())
        name, address = (named["name"].strip().strip('"').strip(), named["address"]) if named else ("", text.strip())
        found = _ADDRESS.fullmatch(address)
        if found is None or len(found["local"]) > 64 or len(name) > _LONGEST_NAME:
            raise ValueError(f"{text[:60]!r} is no address of mail")
        return cls(name, address)

    @property
    def domain(self) -> str:
        """What stands behind the @."""
        return self.address.rpartition("@")[2].lower()

    def __str__(self) -> str:
        if not self.name:
            return self.address
        if self.name.isascii() and "=?" not in self.name:
            quoted = re.sub(r'(["\\])', r"\\\1", self.name)
            return f'"{quoted}" <{self.address}>'
        return f"{_words(self.name, 0)} <{self.address}>"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """From whom to whom, as the configuration says; nothing else decides on it."""

    notifier: str
    """Name of the notifier."""
    sender: Mailbox
    to: Sequence[Mailbox]
    cc: Sequence[Mailbox] = ()
    reply_to: Mailbox | None = None

    @property
    def recipients(self) -> list[str]:
        """The addresses that get it, each once."""
        return list(dict.fromkeys(each.address for each in (*self.to, *self.cc)))


def identity(line: bytes, envelope: Envelope) -> str:
    """Return the Message-ID of a notification: the same for each attempt, of each process, and for no other.

    Args:
        line: the notification as the journal keeps it.
        envelope: of its notifier.
    """
    return _id("message", envelope, line)


def written(mail: Mail, note: Notification, message_id: str, envelope: Envelope, now: datetime) -> bytes:
    """Return an e-mail as it is sent.

    Args:
        mail: what it says.
        note: the notification that it tells; messages of its group are one thread.
        message_id: see `identity`.
        envelope: from whom to whom.
        now: the time of this attempt.
    """
    headers = [
        ("Date", format_datetime(now)),
        ("From", str(envelope.sender)),
        ("To", _list(envelope.to)),
        ("Cc", _list(envelope.cc)),
        ("Reply-To", str(envelope.reply_to) if envelope.reply_to else ""),
        ("Subject", _words(mail.subject, len("Subject: "))),
        ("Message-ID", message_id),
        ("In-Reply-To", thread := _thread(note, envelope)),
        ("References", thread),
        ("List-Id", f"<{envelope.notifier}.eventer.{envelope.sender.domain}>"),  # RFC 2919
        ("Auto-Submitted", "auto-generated"),  # RFC 3834: nobody who is on holiday answers
        ("X-Auto-Response-Suppress", "All"),  # the same for Exchange: [MS-OXCMAIL] 2.2.3.2.14
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers if value)
    body = EmailMessage(policy=_POLICY)
    body.set_content(mail.text)
    body.add_alternative(mail.html, subtype="html")
    return head.encode("ascii") + body.as_bytes()


def _thread(note: Notification, envelope: Envelope) -> str:
    """Return the id that all messages of a group refer to, as answers to it; nothing where groups are mixed."""
    if note.folded or not note.group:
        return ""
    return _id("group", envelope, msgspec.json.encode(sorted(note.group.items())))


def _id(what: str, envelope: Envelope, of: bytes) -> str:
    digest = hashlib.sha256(b"\0".join((what.encode(), envelope.notifier.encode(), of))).hexdigest()
    return f"<{digest[:32]}@{envelope.sender.domain}>"


def _list(boxes: Sequence[Mailbox]) -> str:
    return ",\r\n ".join(map(str, boxes))


def _words(text: str, before: int) -> str:
    """Write a text as encoded words (RFC 2047), each with whole characters, also where it is ASCII.

    What is ASCII could otherwise look like an encoded word itself.

    Args:
        text: one line.
        before: characters that stand before it on its first line.
    """
    return Header(text, "utf-8", maxlinelen=76, header_name=" " * before).encode(linesep="\r\n")
