"""Values with a unit, and secrets that do not show themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from eventer.values import Duration, Rate, Repeats, Secret, Size, Time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("10s", 10), ("250ms", 0.25), ("1m30s", 90), ("1.5h", 5400), ("2d", 172_800), ("1h1m1s1ms", 3661.001)],
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1 s", "1w", "1s foo", "1.s", ".5s", "1S", "1s,2m", "1e3s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration; write for example 30s"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31 19:00-05:00", 0),
        ("2026-12-01t06:00:00.25z", 1_796_104_800.25),
        ("0001-01-01T00:00:00+14:00", -62_135_596_800 - 14 * 3600),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert Time.parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "2h", "now", "2026-12-01", "06:00", "2026-12-01T24:00:00Z", "2026-13-01T06:00:00Z", "2026-12-01T06:00:60Z",
     "2026-12-01T06:00:00+24:00", "2026-12-01T06:00:00CET", "1796104800", "2026-12-01T06:00:00Z x", "２026-12-01T06:00Z"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time.*write a time with its zone such as 2026-12-01T06:00:00"):
        Time.parse(text)


def test_a_time_without_a_zone_is_refused_with_both_remedies() -> None:
    with pytest.raises(ValueError, match=r"has no zone; write 2026-12-01T06:00:00Z for UTC, or \+01:00 for Z"):
        Time.parse("2026-12-01 06:00:00")


def test_a_time_is_written_as_it_is_read() -> None:
    assert str(Time.parse("2026-12-01T06:00:00+01:00")) == "2026-12-01T05:00:00Z"
    assert Time.parse(str(Time(1_796_104_800.25))) == 1_796_104_800.25


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("512B", 512), ("1 KiB", 1024), ("1.5MiB", 1_572_864), ("10MB", 10**7), ("1GiB", 1 << 30)],
)
def test_sizes(text: str, size: int) -> None:
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1 TiB", "1,5MiB", "MiB", "1MiB1KiB", "1e9"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size; write for example 64MiB"):
        Size.parse(text)


def test_a_size_as_kubernetes_writes_it_is_told_apart() -> None:
    with pytest.raises(ValueError, match="'1Ki' is no size; write 1KiB"):
        Size.parse("1Ki")


@pytest.mark.parametrize("digits", [12, 30, 400, 5000])
@pytest.mark.parametrize(("type_", "unit"), [(Duration, "d"), (Size, "GiB")])
def test_numbers_beyond_all_bounds_are_refused(type_: type[Duration | Size], unit: str, digits: int) -> None:
    with pytest.raises(ValueError, match=r"is (longer|larger) than .*; write for example"):
        type_.parse("9" * digits + unit)


def test_a_century_can_be_counted_back_from_today() -> None:
    assert datetime.now(UTC) - timedelta(seconds=Duration.parse("36500d"))
    with pytest.raises(ValueError, match="longer than a century"):
        Duration.parse("36500d100d")


SECRET = "hunter2-canary"


def test_a_secret_shows_itself_only_when_it_is_asked_to(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(SECRET + "\r\n")
    for secret in (Secret.literal(SECRET), Secret.file(path)):
        shown = [repr(secret), str(secret), f"{secret}", f"{[secret]!r}", secret.source]
        shown.append(msgspec.json.encode({"a": secret}, enc_hook=str).decode())
        assert not [text for text in shown if SECRET in text]
        assert secret.reveal() == SECRET


def test_a_rotated_file_takes_effect(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    secret = Secret.file(path)
    assert secret.reveal() == "first"
    path.write_text("second\n\n")
    assert secret.reveal() == "second"
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        secret.reveal()


def test_secrets_are_equal_by_value() -> None:
    assert Secret.literal("a") == Secret.literal("a")
    assert Secret.literal("a") != Secret.literal("b")
    assert Secret.literal("a") != "a"
    assert len({Secret.literal("a"), Secret.literal("a")}) == 1


@pytest.mark.parametrize(("text", "count", "seconds"), [("20/m", 20, 60), ("1/s", 1, 1), ("999999/h", 999_999, 3600)])
def test_a_rate_is_read_and_written_back(text, count, seconds):
    rate = Rate.parse(text)
    assert (rate.count, rate.seconds, str(rate)) == (count, seconds, text)


@pytest.mark.parametrize("text", ["", "20", "20/", "/m", "0/m", "-1/m", "1.5/m", "20/d", "20 / m", "1000000/s", "٣/m"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="is no rate; write a number per"):
        Rate.parse(text)


@pytest.mark.parametrize(
    ("text", "window", "changes", "back"),
    [("all", None, False, "all"), ("changes", None, True, "changes"), ("5m", 300, False, "300s")],
)
def test_what_to_do_with_repeats_is_read_and_written_back(text, window, changes, back):
    repeats = Repeats.parse(text)
    assert (repeats.window, repeats.changes, str(repeats)) == (window, changes, back)


@pytest.mark.parametrize("text", ["", "none", "0s", "5", "-5m", "All"])
def test_what_says_nothing_of_repeats_is_refused(text):
    with pytest.raises(ValueError, match="says nothing of repeats; write all, changes"):
        Repeats.parse(text)
