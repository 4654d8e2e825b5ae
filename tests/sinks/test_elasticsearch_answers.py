"""`kind: elasticsearch`: what each answer means, for one item and for a whole request."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from eventer.errors import Blocked, Rejected, Retry, SinkError
from sinks._answers import Answer as Given
from sinks._elasticsearch_answers import judged
from tests.helpers.farside import Answer
from tests.helpers.search import Refusal, Search
from tests.helpers.sinks import CANARY, batch_of, make_event
from tests.sinks.test_elasticsearch import opened, search

__all__ = ["search"]

BLOCKED = "cluster_block_exception"
ILLEGAL = "illegal_argument_exception"
INDEX = "events-2026.03.01"
SHARDS = (
    "Validation Failed: 1: this action would add [2] total shards, but this cluster currently has [1000]/[1000] maximum "
    "normal shards open;"
)


def of(*numbers: int) -> Any:
    return batch_of([make_event(number) for number in numbers])


async def fate(search: Search, status: int, kind: str, reason: str) -> SinkError:
    """Return why one of three events was not taken; the others must have been."""
    search.refuse = lambda document: (status, kind, reason) if document["name"] == "web-2" else None
    async with opened(search) as sink:
        sent = await sink.send(of(1, 2, 3))
    assert list(sent.failed) == [1]
    assert [document["name"] for document in search.documents.values()] == ["web-1", "web-3"]
    return sent.failed[1]


@pytest.mark.parametrize(
    ("status", "kind", "reason", "word"),
    [
        (429, "es_rejected_execution_exception", "rejected execution of coordinating operation", "throttled"),
        (429, "circuit_breaking_exception", "[parent] Data too large", "throttled"),
        (503, "unavailable_shards_exception", "[events][0] primary shard is not active Timeout: [1m]", "server"),
        (500, "i_o_exception", "No space left on device", "server"),
        (
            503,
            BLOCKED,
            f"index [{INDEX}] blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];",
            "server",
        ),
    ],
)
async def test_an_item_that_may_go_later_is_retried_alone(
    search: Search, status: int, kind: str, reason: str, word: str
) -> None:
    error = await fate(search, status, kind, reason)
    assert type(error) is Retry
    assert error.reason == word
    assert error.destination == ""


@pytest.mark.parametrize(
    ("kind", "reason", "word"),
    [
        ("mapper_parsing_exception", "failed to parse field [count] of type [long]", "mapping"),  # 7, OpenSearch
        ("document_parsing_exception", "[1:41] failed to parse field [count] of type [long]", "mapping"),  # 8, 9
        ("strict_dynamic_mapping_exception", "mapping set to strict, dynamic introduction of [x]", "mapping"),
        (ILLEGAL, 'Document contains at least one immense term in field="message"', "refused_data"),
        (ILLEGAL, "Limit of total fields [1000] has been exceeded", "refused_data"),
        ("invalid_index_name_exception", "Invalid index name [Bad]", "refused_data"),
        # What a stranger wrote is quoted by the server, and must not pass for its own words.
        ("mapper_parsing_exception", "Preview of field's value: 'cluster_block_exception: index [x] /12/'", "mapping"),
        ("mapper_parsing_exception", f"{ILLEGAL}: pipeline with id [x] does not exist", "mapping"),
    ],
)
async def test_a_document_that_can_never_go_is_rejected_with_the_reason(
    search: Search, kind: str, reason: str, word: str
) -> None:
    error = await fate(search, 400, kind, reason)
    assert type(error) is Rejected
    assert error.reason == word
    assert reason[:40] in error.answer
    assert kind in str(error)


@pytest.mark.parametrize(
    ("status", "kind", "reason", "word", "remedy"),
    [
        (404, "index_not_found_exception", "no such index [x]", "index", "create it"),
        (400, "index_closed_exception", "closed", "index", "open it"),
        (403, BLOCKED, f"index [{INDEX}] blocked by: [FORBIDDEN/8/index write (api)];", "readonly", "lift its block"),
        (403, "security_exception", "action [indices:data/write/bulk] is unauthorized", "denied", "right"),
        (400, "validation_exception", SHARDS, "shards", "max_shards_per_node"),
        (400, ILLEGAL, "no write index is defined for alias [events]", "index", "is_write_index"),
        (403, "index_create_block_exception", "blocked by: [FORBIDDEN/10/cluster create-index blocked (api)];", "index",
         "full disks"),
        (403, "some_new_exception", "", "denied", "takes nothing"),
    ],
)  # fmt: skip
async def test_an_index_that_takes_nothing_blocks_itself_only(
    search: Search, status: int, kind: str, reason: str, word: str, remedy: str
) -> None:
    error = await fate(search, status, kind, reason)
    assert type(error) is Blocked
    assert (error.reason, error.destination) == (word, INDEX)
    assert remedy in str(error)
    assert INDEX in str(error)


DISK = f"index [{INDEX}] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];"


@pytest.mark.parametrize(
    ("status", "kind", "reason", "word", "remedy"),
    [
        (429, BLOCKED, DISK, "disk", "Delete old indexes or add space"),  # 7.8 and later, OpenSearch
        (403, BLOCKED, f"index [{INDEX}] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];", "disk",
         "read_only_allow_delete"),  # before that
        (403, BLOCKED, "blocked by: [FORBIDDEN/6/cluster read-only (api)];", "readonly", "cluster.blocks"),
        (400, ILLEGAL, "pipeline with id [geo] does not exist", "pipeline", "create it"),
        (400, ILLEGAL, "only write ops with an op_type of create are allowed in data streams", "mode", "data-stream"),
        (400, ILLEGAL, "Document ID is not supported in create/index operation request", "collection", "Search"),
    ],
)  # fmt: skip
async def test_what_concerns_every_index_blocks_the_sink(
    search: Search, status: int, kind: str, reason: str, word: str, remedy: str
) -> None:
    error = await fate(search, status, kind, reason)
    assert type(error) is Blocked
    assert (error.reason, error.destination) == (word, "")
    assert remedy in str(error)


@pytest.mark.parametrize(
    ("status", "kind", "reason", "expected", "word"),
    [
        (403, BLOCKED, "blocked by: [FORBIDDEN/6/cluster read-only (api)];", Blocked, "readonly"),
        (503, BLOCKED, "blocked by: [SERVICE_UNAVAILABLE/2/no cluster-manager];", Retry, "server"),
        (429, BLOCKED, DISK, Blocked, "disk"),
        (400, ILLEGAL, "pipeline with id [geo] does not exist", Blocked, "pipeline"),
        (403, "security_exception", "no permissions", Blocked, "denied"),
        (401, "security_exception", "missing authentication credentials", Blocked, "denied"),
        (429, "circuit_breaking_exception", "[parent] Data too large", Retry, "throttled"),
        (400, "action_request_validation_exception", "Validation Failed: 1: id is too long", Rejected, "refused_data"),
        (413, "", "", Rejected, "too_large"),
        (404, "index_not_found_exception", "", Blocked, "address"),
    ],
)
async def test_the_refusal_of_a_whole_request(
    search: Search, status: int, kind: str, reason: str, expected: type[SinkError], word: str
) -> None:
    error = {"root_cause": [{"type": kind, "reason": reason}], "type": kind, "reason": reason}
    async with opened(search) as sink:
        search.fault = Answer(status, msgspec.json.encode({"error": error, "status": status}))
        with pytest.raises(expected) as caught:
            await sink.send(of(1, 2))
    assert type(caught.value) is expected
    assert caught.value.reason == word


async def test_s6_a_mixed_answer(search: Search) -> None:
    """S6. 201, 409, 429, 400 and 503 in one answer: each item has its own outcome."""
    refusals: dict[str, Refusal] = {
        "web-2": (409, "version_conflict_engine_exception", "document already exists"),
        "web-3": (429, "es_rejected_execution_exception", "queue is full"),
        "web-4": (400, "document_parsing_exception", "failed to parse field [count]"),
        "web-5": (503, "unavailable_shards_exception", "primary shard is not active"),
    }
    search.refuse = lambda document: refusals.get(document["name"])
    async with opened(search) as sink:
        sent = await sink.send(of(1, 2, 3, 4, 5, 6))
        assert sent.duplicates == 1
        assert {place: type(error) for place, error in sent.failed.items()} == {2: Retry, 3: Rejected, 4: Retry}
        refusals.clear()
        assert not (await sink.send(of(3, 5))).failed
    assert {document["name"] for document in search.documents.values()} == {"web-1", "web-3", "web-5", "web-6"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Please log in</html>",
        b'{"errors":false}',
        b'{"errors":false,"items":[]}',
        b'{"errors":false,"items":[{"create":{"status":201}}]}',
        b'{"errors":false,"items":[{"create":{"status":201}},{"create":{"sta',
        b'{"errors":"no","items":[{"create":{"status":201}},{"create":{"status":201}}]}',
        b"[" * 100_000,
    ],
)
async def test_s9_an_answer_that_is_none_is_no_success(search: Search, body: bytes) -> None:
    """S9. All goes again, under the same ids."""
    async with opened(search) as sink:
        search.fault = Answer(200, body)
        with pytest.raises(Retry) as caught:
            await sink.send(of(1, 2))
        assert caught.value.reason == "answer"
        search.fault = None
        assert not (await sink.send(of(1, 2))).failed


async def test_an_item_without_a_known_action_is_sent_again(search: Search) -> None:
    async with opened(search) as sink:
        search.fault = Answer(200, b'{"errors":true,"items":[{"update":{"status":200}},{"create":{"status":201}}]}')
        assert {place: type(error) for place, error in (await sink.send(of(1, 2))).failed.items()} == {0: Retry}


async def test_the_innermost_cause_is_told_and_no_secret(search: Search) -> None:
    item = (
        '{"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":null,"caused_by":'
        f'{{"type":"a","reason":"Bearer {CANARY}","caused_by":{{"type":"b","reason":"not a date"}}}}}}}}}}'
    )
    async with opened(search) as sink:
        search.fault = Answer(200, f'{{"errors":true,"items":[{item}]}}'.encode())
        error = (await sink.send(of(1))).failed[0]
    assert "not a date" in error.answer
    assert CANARY not in error.answer + str(error)


async def test_an_answer_that_is_too_long_to_read_is_had_in_parts(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.elasticsearch.ANSWER_LIMIT", 2000)
    search.refuse = lambda _: (400, "mapper_parsing_exception", "x" * 700)
    async with opened(search) as sink:
        with pytest.raises(Rejected):
            await sink.send(of(1, 2, 3))
        assert list((await sink.send(of(1))).failed) == [0]


def test_2000_that_went_through_are_judged_by_a_small_answer() -> None:
    body = b'{"errors":false,"items":[' + b",".join([b'{"create":{"status":201}}'] * 2000) + b"]}"
    assert len(body) < 53_000
    assert not judged(Given(200, body, []), 2000, str).failed
