"""How quiet times are written, and what is said of those that cannot be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventer.config.load import load
from eventer.errors import ConfigError
from eventer.quiet import Hours, MonthDays, Months, Weekdays, Zone


@pytest.mark.parametrize(
    ("cls", "text", "canonical"),
    [
        (Hours, "22:00-08:00", "22:00-08:00"),
        (Hours, "9:05 - 24:00", "09:05-24:00"),
        (Weekdays, "mon-fri", "mon-fri"),
        (Weekdays, "Monday:Friday", "mon-fri"),  # as Alertmanager has it
        (Weekdays, "SUN", "sun"),
        (Months, "nov-feb", "nov-feb"),
        (Months, "11:2", "nov-feb"),
        (Months, "may", "may"),
        (MonthDays, "1", "1"),
        (MonthDays, "1-7", "1:7"),
        (MonthDays, "-3--1", "-3:-1"),
        (MonthDays, "-3:-1", "-3:-1"),
        (MonthDays, "25:-1", "25:-1"),
        (Zone, "Asia/Shanghai", "Asia/Shanghai"),
    ],
)
def test_what_is_written_is_read(cls: Any, text: str, canonical: str) -> None:
    assert str(cls.parse(text)) == canonical
    assert cls.parse(canonical) == cls.parse(text)


@pytest.mark.parametrize(
    ("cls", "text", "told"),
    [
        (Hours, "22-08", "are no times of day"),
        (Hours, "22:60-08:00", "are no times of day"),
        (Hours, "24:00-08:00", "a day has 24 hours"),
        (Hours, "22:00-24:01", "a day has 24 hours"),
        (Hours, "08:00-08:00", "is over when it begins"),
        (Weekdays, "mon-", "names no days of the week"),
        (Weekdays, "mo-fr", "names no days of the week"),
        (Weekdays, "1-5", "names no days of the week"),
        (Months, "0", "names no months"),
        (Months, "13", "names no months"),
        (Months, "mon", "names no months"),
        (MonthDays, "0", "days of a month are 1 to 31"),
        (MonthDays, "1:32", "days of a month are 1 to 31"),
        (MonthDays, "7:1", "ends before it begins"),
        (MonthDays, "-1:-3", "ends before it begins"),
        (MonthDays, "-3:2", "ends before it begins"),
        (MonthDays, "last", "are no days of a month"),
        (Zone, "Shanghai", "is no time zone"),
        (Zone, "Asia", "is no time zone"),
        (Zone, "../../etc/passwd", "is no time zone"),
        (Zone, "", "is no time zone"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_way_out(cls: Any, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        cls.parse(text)
    assert "; write " in str(error.value)


def config(tmp_path: Path, quiet: str) -> Path:
    path = tmp_path / "eventer.yaml"
    path.write_text(
        f"""
sources: [{{cluster: prod}}]
sinks:
  chat:
    kind: dingtalk
    url: https://oapi.dingtalk.com/robot/send?access_token=x
    group:
      quiet:
        - {quiet}
""",
        encoding="utf-8",
    )
    return path


def test_a_configuration_has_them_per_notifier(tmp_path: Path) -> None:
    text = (
        "{times: ['22:00-08:00', '12:00-13:00'], weekdays: [mon-fri, sun], days_of_month: [1, -1], zone: Asia/Shanghai}"
    )
    group = load(config(tmp_path, text), environ={}).config.sinks["chat"].notifies
    assert group is not None
    assert [str(each) for each in group.quiet] == ["22:00-08:00,12:00-13:00 mon-fri,sun 1,-1 Asia/Shanghai"]


@pytest.mark.parametrize(
    ("quiet", "path", "told"),
    [
        ("{zone: UTC}", "sinks.chat.group.quiet[0]", "this is always, so nothing would ever be told"),
        ("{weekdays: [sat]}", "sinks.chat.group.quiet[0].zone", "zone is missing"),
        ("{weekdays: [sat], zone: Mars}", "sinks.chat.group.quiet[0].zone", "no time zone"),
        ("{times: [22-8], zone: UTC}", "sinks.chat.group.quiet[0].times[0]", "no times of day"),
        (
            "{weekdays: [sat], zone: UTC, match: [{owner: Deployment/web}]}",
            "sinks.chat.group.quiet[0].match[0].owner",
            "is never kept quiet",
        ),
    ],
)
def test_a_configuration_that_says_nothing_or_everything_is_refused(
    tmp_path: Path, quiet: str, path: str, told: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load(config(tmp_path, quiet), environ={})
    faults = [fault for fault in error.value.faults if not fault.warning]
    assert [fault.path for fault in faults] == [path]
    assert told in faults[0].message
    assert faults[0].remedy


def test_rules_go_by_the_catalog_of_the_file(tmp_path: Path) -> None:
    path = config(tmp_path, "{weekdays: [sat], zone: UTC, match: [{severity: '!critical'}]}")
    path.write_text(path.read_text() + "catalog: {reasons: {PaymentRefused: {severity: critical}}}\n")
    loaded = load(path, environ={}).config
    group = loaded.sinks["chat"].notifies
    assert group is not None
    assert group.quiet[0].match[0].meanings is not None
    assert msgspec.structs.asdict(group.quiet[0].match[0])["meanings"].changes == loaded.catalog
