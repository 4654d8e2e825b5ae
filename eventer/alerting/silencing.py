"""Making, ending and listing silences: those of the configuration, and those of people, which the journal keeps.

What a command was told to have done is on the disk.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog

from eventer.alerting.requests import Ended, SilenceReport, Wanted
from eventer.alerting.silences import ANNOTATION, Silence, Silences
from eventer.catalog.catalog import Catalog
from eventer.clock import Clock
from eventer.config.silences import looked_up
from eventer.config.types import Config
from eventer.errors import Corrupt, EventerError
from eventer.journal import Journal, SilenceRecord
from eventer.match import LOOKED, Rule, RuleFault

__all__ = ["KEPT", "MOST", "Silencing", "configured"]

MOST: Final = 300
"""Silences of people that are not over. Whoever has more wants a rule in the configuration."""
KEPT: Final = 7 * 86_400.0
"""Seconds for which one that is over is still shown, the last `MOST` of them at most."""
TEXT: Final = 500
"""Characters of a reason."""
OWNER: Final = 100
RULE: Final = 4 << 10
"""Bytes of a rule: about a hundred names."""
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Times beyond it cannot be written."""

log = structlog.get_logger()


def configured(config: Config) -> list[Silence]:
    """Return the silences of a configuration; its check lets none through without an end."""
    return [
        Silence(
            name=each.name,
            rules=tuple(each.match),
            owner=each.owner,
            reason=each.reason,
            begins=each.start or 0.0,
            ends=each.until,
            configured=True,
        )
        for each in config.silences
        if each.until is not None
    ]


class _Counted(msgspec.Struct):
    """Of what alerting remembers for a notifier, what is of use here."""

    muted: dict[str, int] = {}


class Silencing:
    """The silences of one journal and one configuration.

    Args:
        journal: keeps those that people make.
        clock: time.

    Attributes:
        silences: what notifiers ask.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self.silences = Silences()
        self._journal = journal
        self._clock = clock
        self._catalog = Catalog()
        self._looked: frozenset[str] | None = None
        self._configured: list[Silence] = []
        self._changing = asyncio.Lock()
        self._apply()

    def use(self, config: Config) -> None:
        """Go by the silences of a configuration, beside those that people made."""
        self._catalog = Catalog(config.catalog)
        self._looked = looked_up(config.sinks.values())
        self._configured = configured(config)
        now = self._clock.now().timestamp()
        for each in config.silences:
            if each.until is not None and each.until <= now:
                log.info("silence of the configuration is over", silence=each.name, until=str(each.until))
        self._apply()
        for silence in self.silences.by_name.values():
            if not silence.rules:
                log.warning("a stored silence cannot be used by this version", silence=silence.name)

    async def add(self, wanted: Wanted) -> SilenceReport:
        """Make a silence.

        Raises:
            EventerError: it cannot be; the message says why, and what to do.
            JournalError: it could not be stored.
        """
        # Whoever asked may go away, but what is on the disk must be in force as well.
        return await asyncio.shield(self._add(wanted))

    async def _add(self, wanted: Wanted) -> SilenceReport:
        async with self._changing:
            now = self._clock.now().timestamp()
            record = self._record(wanted, now)
            stored = self._journal.silences.records
            if sum(each.ends > now for each in stored.values()) >= MOST:
                raise EventerError(
                    f"There are {MOST} silences already, which is as many as may be. End some with eventer silence "
                    "expire; what is never to be told belongs in match of the sinks that notify."
                )
            taken = {*stored, *self.silences.by_name}
            name = next(name for name in iter(lambda: secrets.token_hex(3), "") if name not in taken)
            await self._journal.silences.change({name: record}, self._stale(now))
            self._apply()
            return self._report(self.silences.by_name[name], now, 0)

    async def expire(self, names: Sequence[str]) -> Ended:
        """End silences now.

        Raises:
            JournalError: it could not be stored; none of them is ended.
        """
        return await asyncio.shield(self._expire(names))

    async def _expire(self, names: Sequence[str]) -> Ended:
        async with self._changing:
            now = self._clock.now().timestamp()
            ended = Ended()
            stored = self._journal.silences.records
            new: dict[str, SilenceRecord] = {}
            for name in dict.fromkeys(names):
                record = stored.get(name)
                if record is None:
                    (ended.configured if name in self.silences.by_name else ended.unknown).append(name)
                elif record.ends <= now:
                    ended.over.append(name)
                else:
                    new[name] = msgspec.structs.replace(record, ends=now)
                    ended.ended.append(name)
            if new:
                await self._journal.silences.change(new, self._stale(now))
                self._apply()
            return ended

    async def reports(self) -> list[SilenceReport]:
        """Return all silences: first what is on, by its end, then what begins later, then what is over.

        Raises:
            JournalError: the counts cannot be read.
        """
        counts: Counter[str] = Counter()
        for notifier in self._journal.alerting.readers:
            stored = await self._journal.alerting.remembered(notifier)
            if stored is not None:
                counts.update(_muted(notifier, stored))
        now = self._clock.now().timestamp()
        order = {"active": 0, "pending": 1, "expired": 2}
        shown = [
            self._report(each, now, counts[each.name])
            for each in sorted(self.silences.by_name.values(), key=lambda silence: (silence.ends, silence.name))
            if each.configured or each.ends > now - KEPT
        ]
        shown.sort(key=lambda report: order[report.state])
        if counts[ANNOTATION]:
            annotated = SilenceReport(
                id=ANNOTATION, state="active", match=["the annotation on an object, what owns it or its namespace"],
                owner="", reason="", begins=None, ends=None, origin="annotation", suppressed=counts[ANNOTATION],
            )  # fmt: skip
            shown.append(annotated)
        return shown

    def _record(self, wanted: Wanted, now: float) -> SilenceRecord:
        """Return what is to be stored.

        Raises:
            EventerError: it cannot be used.
        """
        try:
            rule = Rule.parse(wanted.match)
        except RuleFault as error:
            _, message, remedy = error.faults[0]
            raise EventerError(f"{message}; {remedy}.") from None
        if rule == Rule():
            raise EventerError("This would silence everything. Name a field, such as namespace=shop or cluster=prod.")
        if len(msgspec.json.encode(wanted.match)) > RULE:
            raise EventerError("The rule is too long. Write a regular expression: name=/^web-/.")
        for field in rule.needs:
            if self._looked is not None and LOOKED[field] not in self._looked:
                raise EventerError(
                    f"No notifier looks {field} up, so this would silence nothing. Write enrich: [{LOOKED[field]}] in "
                    "the sinks that notify."
                )
        for name, text, most in (("reason", wanted.reason, TEXT), ("owner", wanted.owner, OWNER)):
            if not text.strip():
                raise EventerError(f"A silence needs {'a reason' if name == 'reason' else 'an owner'}: --{name} TEXT.")
            if len(text) > most:
                raise EventerError(f"The {name} is longer than {most} characters. Write a shorter one.")
        # One that is on at once has no begin: a clock that is set back must not turn it off.
        begins = max(0.0, wanted.begins or 0.0)
        if (wanted.ends is None) == (wanted.lasts is None):
            raise EventerError("A silence must have an end. Write --for 2h, or --until with a time.")
        ends = (begins or now) + (wanted.lasts or 0.0) if wanted.ends is None else wanted.ends
        if ends <= max(begins, now):
            what = "begins" if ends <= begins else "is made"
            raise EventerError(
                f"The silence would end before it {what}. Write a later end: it is {_time(now):%Y-%m-%d %H:%M:%S} UTC."
            )
        if ends > _LATEST:
            raise EventerError("The silence would not end in this era. Write an earlier end.")
        return SilenceRecord(match=[wanted.match], owner=wanted.owner, reason=wanted.reason, begins=begins, ends=ends)

    def _stale(self, now: float) -> list[str]:
        """Return the names of those that were over for so long, or are so many, that they go."""
        stored = self._journal.silences.records
        over = sorted((record.ends, name) for name, record in stored.items() if record.ends <= now)
        return [name for at, (ends, name) in enumerate(over) if ends <= now - KEPT or at < len(over) - MOST]

    def _apply(self) -> None:
        """Let notifiers go by what there is now."""
        kept = [self._compiled(name, record) for name, record in self._journal.silences.records.items()]
        self.silences.replace([*self._configured, *kept])

    def _compiled(self, name: str, record: SilenceRecord) -> Silence:
        try:
            rules = tuple(Rule.parse(rule).by(self._catalog) for rule in record.match)
        except RuleFault:  # written by a newer version: it stays, and goes by the end that it has
            rules = ()
        return Silence(
            name=name, rules=rules, owner=record.owner, reason=record.reason, begins=record.begins, ends=record.ends
        )

    def _report(self, silence: Silence, now: float, suppressed: int) -> SilenceReport:
        return SilenceReport(
            id=silence.name,
            state="expired" if silence.ends <= now else "active" if silence.begins <= now else "pending",
            match=[str(rule) for rule in silence.rules],
            owner=silence.owner,
            reason=silence.reason,
            begins=_time(silence.begins) if silence.begins else None,
            ends=_time(silence.ends),
            origin="configuration" if silence.configured else "command",
            suppressed=suppressed,
        )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _muted(notifier: str, stored: bytes) -> Mapping[str, int]:
    """Return what silences have suppressed for a notifier, by their names."""
    try:
        muted = msgspec.json.decode(stored, type=_Counted).muted
    except msgspec.MsgspecError:
        raise Corrupt(f"What alerting remembered for {notifier} cannot be read.") from None
    return {name.removeprefix("silence "): n for name, n in muted.items() if name.startswith("silence ")}
