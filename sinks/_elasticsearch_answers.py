"""What the answer to a bulk request means, item by item.

    200, 201                                            delivered
    409                                                 a duplicate: it has this document, or a newer state
    429, 5xx                                            Retry
    what a person must change (`_BLOCKS`)               Blocked: for its index, or for all of them
    all other 4xx                                       Rejected, with the server's reason

Facts are from what Elasticsearch 7 to 9 and OpenSearch 1 to 3 document
(https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk,
https://docs.opensearch.org/latest/api-reference/document-apis/bulk/), and from what OpenSearch 3.3 answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import Sent
from sinks._answers import Answer

__all__ = ["FILTER", "judged", "of_whole"]

FILTER: Final = "errors%2Citems.%2A.status%2Citems.%2A.error.type%2Citems.%2A.error.reason%2Citems.%2A.error.caused_by"
"""Value of `filter_path`: 27 bytes an item that went through, in place of 213. Percent-encoded in full,
as signatures want it."""


class _Cause(msgspec.Struct):
    type: str = ""
    reason: str | None = ""
    caused_by: dict[str, Any] | None = None


class _Item(msgspec.Struct):
    status: int
    error: _Cause | None = None


class _Result(msgspec.Struct):
    """One item; the only field that it has says what was asked for."""

    create: _Item | None = None
    index: _Item | None = None


class _Answer(msgspec.Struct):
    errors: bool
    items: list[msgspec.Raw]
    """Each a `_Result`, which is looked into only where there are errors."""


_decode: Final = msgspec.json.Decoder(_Answer).decode
_decode_item: Final = msgspec.json.Decoder(_Result).decode
_TYPE: Final = re.compile(r"[a-z_]{1,80}")


class _Block(msgspec.Struct, frozen=True):
    """Something that only a person can change."""

    sign: re.Pattern[str]
    """Begins `type: reason` of the error. Anchored, because a reason may quote what a stranger wrote."""
    reason: str
    remedy: str
    whole: bool = False
    """Whether no index would take anything."""


_LASTING: Final = "cluster_block_exception: (?!.*SERVICE_UNAVAILABLE)"
"""Without a manager or its state a cluster blocks for a moment, by itself."""

_BLOCKS: Final = (
    _Block(
        re.compile(r"cluster_block_exception: .*/12/"),
        "disk",
        "The disks of its nodes are too full. Delete old indexes or add space; what waits goes when the cluster has "
        "lifted the block (before Elasticsearch 7.4 a person must set index.blocks.read_only_allow_delete to null).",
        whole=True,
    ),
    _Block(
        re.compile("index_create_block_exception: "),
        "index",
        "It is not there, and no index is made: look at cluster.blocks.create_index, which full disks set, too.",
    ),
    _Block(
        re.compile(f"{_LASTING}index "),
        "readonly",
        "The index is read-only: lift its block, or delete it and give up what waits for it.",
    ),
    _Block(
        re.compile(_LASTING),
        "readonly",
        "The whole cluster is read-only; look at cluster.blocks in its settings.",
        whole=True,
    ),
    _Block(
        re.compile("index_not_found_exception: "),
        "index",
        "It is not there and is not made by itself: create it, or allow its name in action.auto_create_index.",
    ),
    _Block(re.compile("index_closed_exception: "), "index", "It is closed; open it."),
    _Block(
        # The type is illegal_argument_exception before Elasticsearch 7.9.
        re.compile("[a-z_]+: Validation Failed: 1: this action would add .* shards"),
        "shards",
        "The cluster has as many shards as it may have: delete old indexes, write `index: events-{yyyy.MM}`, or raise "
        "cluster.max_shards_per_node.",
    ),
    _Block(
        re.compile("illegal_argument_exception: no write index is defined"),
        "index",
        "It is an alias without a write index; set is_write_index for one of its indexes.",
    ),
    _Block(re.compile("security_exception: "), "denied", "Give our user or key the right to create documents in it."),
    _Block(
        re.compile("illegal_argument_exception: only write ops with an op_type of create are allowed in data streams"),
        "mode",
        "It is a data stream; write `mode: data-stream`.",
        whole=True,
    ),
    _Block(
        re.compile(r"illegal_argument_exception: pipeline with id \["),
        "pipeline",
        "The pipeline is not there: create it, or leave it out.",
        whole=True,
    ),
    # https://docs.aws.amazon.com/opensearch-service/latest/developerguide/serverless-genref.html
    _Block(
        re.compile("illegal_argument_exception: Document ID is not supported", re.IGNORECASE),
        "collection",
        "Collections for time series take no ids, without which repeats would double; use one of the type Search.",
        whole=True,
    ),
)
_WHOLE: Final = re.compile(
    r'\{"error":\{(?:"root_cause":\[\{)?"type":"(?P<type>[a-z_]+)","reason":"(?P<reason>(?:[^"\\]|\\.)*)'
)
"""How the refusal of a whole request begins, in all versions."""


def judged(answer: Answer, n: int, names: Callable[[int], str]) -> Sent:
    """Return what became of the items of a bulk request.

    Args:
        answer: to a request with `FILTER`.
        n: how many items were sent.
        names: gives the index of the item with an index.

    Raises:
        Retry: it is no answer to that request. All may go again: what is there already is a duplicate.
    """
    try:
        found = _decode(answer.body)
        items = list(map(_decode_item, found.items)) if found.errors else []
    except (msgspec.MsgspecError, RecursionError):
        found = _Answer(errors=True, items=[])
    if len(found.items) != n:
        raise Retry(
            "The answer is not that of a bulk request, or not all of it. Is this Elasticsearch or OpenSearch?",
            reason="answer",
            answer=answer.shown(),
        )
    if not found.errors:
        return Sent()
    duplicates = 0
    failed: dict[int, SinkError] = {}
    for place, result in enumerate(items):
        item = result.create or result.index
        if item is None:
            failed[place] = Retry("The answer does not say what became of an event.", reason="answer")
        elif item.status == 409:
            duplicates += 1
        elif item.status not in {200, 201}:
            failed[place] = _failure(item, names(place), answer)
    return Sent(duplicates=duplicates, failed=failed)


def of_whole(error: SinkError) -> SinkError:
    """Return what the refusal of a whole request means: as its status says, or something that a person must change."""
    begin = _WHOLE.match(error.answer)
    for block in _BLOCKS if begin else ():
        if begin and block.whole and block.sign.match(f"{begin['type']}: {begin['reason']}"):
            return Blocked(
                f"Nothing is taken ({begin['type']}). {block.remedy}", reason=block.reason, answer=error.answer
            )
    return error


def _failure(item: _Item, name: str, answer: Answer) -> SinkError:
    error = item.error or _Cause()
    kind = error.type if _TYPE.fullmatch(error.type) else "error"
    reasons = [error.reason or ""]
    cause = error.caused_by
    while isinstance(cause, dict):  # as deep as the server nests it; the innermost says it best
        reasons.append(str(cause.get("reason") or ""))
        cause = cause.get("caused_by")
    said = answer.hide(f"{kind}: {'; '.join(filter(None, reasons))}")
    for block in _BLOCKS:
        if block.sign.match(said):
            return Blocked(
                f"{name} takes nothing ({kind}). {block.remedy}",
                reason=block.reason,
                answer=said,
                destination="" if block.whole else name,
            )
    status = item.status
    if status == 429 or status >= 500:
        reason = "throttled" if status == 429 else "server"
        return Retry(f"{name} does not take it now ({status}, {kind}).", reason=reason, answer=said)
    if status in {401, 403, 404}:
        return Blocked(f"{name} takes nothing ({status}, {kind}).", reason="denied", answer=said, destination=name)
    reason = "mapping" if "mapp" in kind or "pars" in kind else "refused_data"
    return Rejected(f"{name} refused the document: {said[:300]}", reason=reason, answer=said)
