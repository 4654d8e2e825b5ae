"""What an answer of Log Service means: the table from its error codes to outcomes.

    200 with x-log-requestid    delivered
    quotas, 5xx                 Retry
    the clock                   Retry; the sink corrects it by the answer
    bad data, too much of it    Rejected
    key, rights, names          Blocked

Quotas are answered with 403, and everything else by codes in the body, so the status alone says little. Codes are
from https://help.aliyun.com/en/sls/developer-reference/error-codes, those of PutLogs from
https://www.alibabacloud.com/help/en/log-service/latest/putlogs, quotas from
https://www.alibabacloud.com/help/en/sls/user-guide/expansion-of-resources. What is in no table goes by its
status, as in `sinks._answers`.
"""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from eventer.errors import Blocked, Rejected, Retry, SinkError
from sinks._answers import Answer, refusal

__all__ = ["ANSWERS", "REQUEST_ID", "failure", "server_time"]

ANSWERS: Final = range(300, 600)
"""Statuses of which the body is looked at."""
REQUEST_ID: Final = "x-log-requestid"
"""Header of every answer of the service
(https://help.aliyun.com/en/sls/developer-reference/common-response-headers); what answers without it is
something else."""
PLACE: Final = "Log Service"

_QUOTA: Final = frozenset({"WriteQuotaExceed", "ShardWriteQuotaExceed", "ExceedQuota", "ProjectQuotaExceed"})
_BUSY: Final = frozenset({"InternalServerError", "ServerBusy", "RequestTimeout"})
_CLOCK: Final = frozenset({"RequestTimeExpired", "RequestTimeTooSkewed", "InvalidRequestTime"})
_LARGE: Final = frozenset({"PostBodyTooLarge", "InvalidLogSize"})
_DATA: Final = frozenset(
    {"PostBodyInvalid", "InvalidTimestamp", "InvalidEncoding", "InvalidKey", "InvalidLogContent", "ParameterInvalid"}
)
_REMEDIES: Final = {
    "SignatureNotMatch": ("denied", "The signature is wrong: check access_key_secret and region."),
    "InvalidAccessKeyId": ("denied", "There is no such access key, or Log Service is not activated: check both."),
    "Unauthorized": ("denied", "The access key may not write: give it `log:PostLogStoreLogs` on the Logstore."),
    "ProjectForbidden": ("project", "The project is disabled: look for unpaid bills."),
    "ProjectNotExist": ("project", "There is no such project in this region: check project, region and endpoint."),
    "LogStoreNotExist": ("logstore", "There is no such Logstore in the project: create it, or check its name."),
    "LogStoreWithoutShard": ("logstore", "The Logstore has no shard that can be written: split one."),
    "InvalidCompressType": ("compression", "The body cannot be unpacked there: write `compression: none`."),
    "PostBodyUncompressError": ("compression", "The body cannot be unpacked there: write `compression: none`."),
    "InvalidHost": ("address", "The host is not one of Log Service: check region and endpoint."),
}
_UNAUTHORIZED: Final = (
    (re.compile("security token.*expired", re.IGNORECASE), "expired", "The security token has expired: renew it."),
    (re.compile("security token", re.IGNORECASE), "expired", "The security token is not valid: renew it."),
    (
        re.compile("AccessKeyId.*(?:not found|disabled|inactive)", re.IGNORECASE),
        "denied",
        "There is no such access key, or it is disabled: check access_key_id.",
    ),
    (
        re.compile("forbidden", re.IGNORECASE),
        "denied",
        "Log Service is disabled for the account: look for unpaid bills.",
    ),
    (
        re.compile("not belong", re.IGNORECASE),
        "denied",
        "The project belongs to another account: check project and access key.",
    ),
)
"""What the message of `Unauthorized` tells apart."""
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9._]{0,60}")


class _Error(msgspec.Struct, rename="camel"):
    error_code: str = ""
    error_message: str = ""


def failure(answer: Answer, now: datetime) -> SinkError:
    """Return what an answer that is no success means.

    Args:
        now: what a date in Retry-After counts from.
    """
    try:
        found = msgspec.json.decode(answer.body, type=_Error)
    except (msgspec.MsgspecError, RecursionError):
        found = _Error()
    code = found.error_code if _CODE.fullmatch(found.error_code) else ""
    general = refusal(answer, answer.headers.get("retry-after", ""), now, PLACE)
    if not code:
        return general
    said, shown = f"{PLACE} answered {answer.status} ({code}).", answer.shown()
    if code in _QUOTA:
        words = f"{said} More is written than the quota of the project or its shards allows."
        return Retry(words, reason="quota", after=general.after, answer=shown)
    if code in _BUSY:
        return Retry(said, reason="server", after=general.after, answer=shown)
    if code in _CLOCK:
        return Retry(f"{said} The clock of this machine is wrong.", reason="clock", answer=shown)
    if code in _LARGE:
        return Rejected(said, reason="too_large", answer=shown)
    if code in _DATA:
        return Rejected(said, reason="refused_data", answer=shown)
    reason, remedy = _REMEDIES.get(code, ("", ""))
    if code == "Unauthorized":
        for sign, *other in _UNAUTHORIZED:
            if sign.search(found.error_message):
                reason, remedy = other
                break
    if reason:
        return Blocked(f"{said} {remedy}", reason=reason, answer=shown)
    return type(general)(
        f"{PLACE} answered {answer.status} ({code}).{_rest(general)}",
        reason=general.reason,
        after=general.after,
        answer=shown,
    )


def _rest(error: SinkError) -> str:
    """Return what stands behind the first sentence of a message."""
    _, _, rest = str(error).partition(". ")
    return f" {rest}" if rest else ""


def server_time(answer: Answer) -> float | None:
    """Return the time of the service's clock when it answered, in seconds since 1970; None if it does not say."""
    exact = answer.headers.get("x-log-time", "")
    if re.fullmatch(r"[0-9]{1,12}", exact, re.ASCII):
        return float(exact)
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
