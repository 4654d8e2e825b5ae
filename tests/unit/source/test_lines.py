"""Cutting reads at line breaks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.source.lines import Lines, Oversize


def test_blocks_end_on_a_line_break() -> None:
    lines = Lines()
    assert lines.feed(b"one\ntwo\nthr") == b"one\ntwo\n"
    assert lines.torn == 3
    assert lines.feed(b"e") == b""
    assert lines.feed(b"e\n") == b"three\n"
    assert lines.torn == 0


def test_a_torn_tail_is_never_handed_out() -> None:
    lines = Lines()
    assert lines.feed(b'{"type":"ADDED"') == b""
    assert lines.torn == 15


def test_a_line_over_the_cap_ends_the_stream() -> None:
    lines = Lines(cap=1000)
    lines.feed(b"x" * 1000)
    with pytest.raises(Oversize):
        lines.feed(b"x")


def test_a_line_of_9_mb_in_small_reads_passes() -> None:
    lines = Lines()
    for _ in range(36):
        assert lines.feed(b"x" * (256 << 10)) == b""
    assert len(lines.feed(b"\n")) == 36 * (256 << 10) + 1


@given(st.lists(st.binary(max_size=30) | st.just(b"\n") | st.just(b"a\nb\n")))
def test_nothing_is_lost_added_or_reordered(reads: list[bytes]) -> None:
    lines = Lines()
    blocks = [block for read in reads if (block := lines.feed(read))]
    whole = b"".join(reads)
    assert all(block.endswith(b"\n") for block in blocks)
    assert b"".join(blocks) == whole[: whole.rfind(b"\n") + 1]
    assert lines.torn == len(whole) - len(b"".join(blocks))
