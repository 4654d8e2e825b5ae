"""What a message says, in English and Chinese, before any dialect: title, facts of a problem, what was left out.

The title must be enough on a lock screen: where, how bad, what, whose, how often.
"""

# Chinese has its own punctuation marks.
# ruff: noqa: RUF001

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Final

from eventer.alerting.notification import Item, Notification, Quieted, Why
from eventer.catalog import Language, Severity

__all__ = ["MARKS", "SHARED", "facts", "heading", "kept_quiet", "left_out", "name_of", "times", "title"]

MARKS: Final[dict[Severity | str, str]] = {"critical": "🔴", "warning": "🟠", "info": "🔵", "resolved": "✅"}

SHARED: Final = frozenset({"owner", "node", "zone", "pool"})
"""What problems may have in common that a message names."""

_WORDS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "problems": "{n} problems",
        "resolved": "Resolved",
        "repeat": "still going on",
        "summary": "{n} earlier events",
        "digest": "{n} messages in one",
        "quota": "{n} groups in one",
        "alive": "Alerting works",
        "going": "{n} problems go on",
        "calm": "no problem goes on",
        "untracked": "{n} events not followed one by one",
        "more": "and {n} more problems",
        "over": "and {n} more are over",
        "quieted": "kept quiet: {problems} of {objects}, which {follow} from this",
        "least": "kept quiet: at least {problems} of {objects}, which {follow} from this",
        "follow": "follow",
        "pods": "{n} pods",
        "objects": "{n} objects",
        "cluster": "Cluster",
        "namespace": "Namespace",
        "object": "Object",
        "container": "Container",
        "node": "Node",
        "zone": "Zone",
        "pool": "Pool",
        "message": "Message",
        "count": "Seen",
        "count_value": "{n} times in {duration}, first {since}",
        "once": "once, {since}",
        "lasted": "Lasted",
        "lasted_value": "{duration}, until {ended}",
        "returns": "Came back",
        "returns_value": "{n} times",
        "s": "{n} s",
        "min": "{n} min",
        "h": "{n} h",
        "d": "{n} d",
        "colon": ": ",
        "comma": ", ",
        "semicolon": "; ",
        "everything": "everything else",
        "owner": "Owner",
        "means": "Meaning",
        "remedy": "What to do",
        "causes": "Likely causes",
        "command": "Look first",
        "runbook": "Documentation",
    },
    "zh": {
        "problems": "{n} 个问题",
        "resolved": "已恢复",
        "repeat": "仍在持续",
        "summary": "{n} 个较早的事件",
        "digest": "{n} 条消息合并",
        "quota": "{n} 组合并",
        "alive": "告警正常",
        "going": "{n} 个问题仍在持续",
        "calm": "没有未恢复的问题",
        "untracked": "另有 {n} 个事件未逐一跟踪",
        "more": "另有 {n} 个问题",
        "over": "另有 {n} 个已恢复",
        "quieted": "由此引起而未单独通知：{objects}的 {problems}",
        "least": "由此引起而未单独通知：至少 {objects}的 {problems}",
        "follow": "",
        "pods": "{n} 个 Pod ",
        "objects": "{n} 个对象",
        "cluster": "集群",
        "namespace": "命名空间",
        "object": "对象",
        "container": "容器",
        "node": "节点",
        "zone": "可用区",
        "pool": "节点池",
        "message": "消息",
        "count": "次数",
        "count_value": "{duration}内 {n} 次，首次 {since}",
        "once": "1 次，{since}",
        "lasted": "持续",
        "lasted_value": "{duration}，至 {ended}",
        "returns": "反复",
        "returns_value": "{n} 次",
        "s": "{n} 秒",
        "min": "{n} 分钟",
        "h": "{n} 小时",
        "d": "{n} 天",
        "colon": "：",
        "comma": "，",
        "semicolon": "；",
        "everything": "其他",
        "owner": "所属",
        "means": "含义",
        "remedy": "处理",
        "causes": "可能原因",
        "command": "先看",
        "runbook": "官方文档",
    },
}


_ONE: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "problems": "1 problem",
        "summary": "1 earlier event",
        "going": "1 problem goes on",
        "untracked": "1 event not followed one by one",
        "more": "and 1 more problem",
        "over": "and 1 more is over",
        "follow": "follows",
        "pods": "1 pod",
        "objects": "1 object",
        "returns_value": "once",
    },
    "zh": {},
}
"""What is said of one in another way than of several."""


def title(note: Notification, language: Language) -> str:
    """Return the one line that must be enough; text of strangers in it is not escaped."""
    words = _WORDS[language]
    if note.why is Why.SUMMARY:
        return f"{MARKS['info']} {_count('summary', note.events, language)}{_reasons(note, language)}"
    if note.why is Why.ALIVE:
        going = _count("going", note.firing, language) if note.firing else words["calm"]
        return f"{MARKS['resolved']} {words['alive']} · {going}"
    over = not note.firing and not note.untracked
    mark = MARKS["resolved"] if over else MARKS[note.severity]
    place = "/".join(filter(None, note.group.values())) or words["everything"]
    if over and not note.resolved:
        return f"[{place}] {mark} {words['resolved']}"
    said = f"{words['resolved']}{words['colon']}" if over else ""
    known = [item for item in note.items if over or item.ended is None]
    if len(known) == 1 and (note.resolved if over else note.firing) == 1 and not note.untracked:
        (item,) = known
        what = f"{item.reason} · {name_of(item)}{times(item)}"
        place = item.cluster
    else:
        count = note.resolved if over else note.firing
        what = _count("problems", count, language) if count else _count("untracked", note.untracked, language)
        what += _shared(note, language) + _reasons(note, language)
    still = f" · {words['repeat']}" if note.why is Why.REPEAT else ""
    folded = f" · {words['digest'].format(n=note.folded)}" if note.folded else ""
    groups = f" · {words['quota'].format(n=note.groups)}" if note.groups else ""
    return f"[{place}] {mark} {said}{what}{still}{folded}{groups}"


def heading(word: str, language: Language) -> str:
    """Return what stands before a part of a message: `message`, `means`, `remedy`..."""
    return _WORDS[language][word]


def name_of(item: Item) -> str:
    """Return kind and name of the object, as `kubectl` users write them."""
    return f"{item.kind} {item.namespace}/{item.name}" if item.namespace else f"{item.kind} {item.name}"


def times(item: Item) -> str:
    """Return how often it happened, to be put behind a name; nothing for once."""
    return f" ×{item.count}" if item.count > 1 else ""


def facts(item: Item, language: Language, zone: tzinfo) -> list[tuple[str, str]]:
    """Return what is known of a problem beside its message: name and value, the most important first."""
    words = _WORDS[language]
    since = _time(item.since, zone)
    if item.ended is not None and item.ended > item.since:  # else nothing told the end, nor any more of it
        lasted = _duration(item.ended - item.since, language)
        ended = _time(item.ended, zone) + (f" ({item.ended_by})" if item.ended_by else "")
        seen = words["lasted"], words["lasted_value"].format(duration=lasted, ended=ended)
    elif item.count > 1:
        span = _duration(item.last - item.since, language)
        seen = words["count"], words["count_value"].format(n=item.count, duration=span, since=since)
    else:
        seen = words["count"], words["once"].format(since=since)
    found = [
        (words["cluster"], item.cluster),
        (words["object"], name_of(item)),
        (words["owner"], item.owner),
        (words["container"], item.container),
        (words["node"], item.node if item.kind != "Node" else ""),
        seen,
        (words["returns"], _count("returns_value", item.returns, language) if item.returns else ""),
    ]
    return [(name, value) for name, value in found if value]


def left_out(note: Notification, named: Sequence[Item], language: Language) -> list[str]:
    """Return sentences on what a message counts and does not name.

    Args:
        named: the items that the message names.
    """
    if note.why in {Why.SUMMARY, Why.ALIVE}:
        return []
    resolved = note.resolved - sum(item.ended is not None for item in named)
    firing = note.firing - sum(item.ended is None for item in named)
    said = (("more", firing), ("over", resolved), ("untracked", note.untracked))
    return [_count(key, n, language) for key, n in said if n]


def kept_quiet(quieted: Quieted | None, language: Language) -> list[str]:
    """Return a sentence on what is not told because it follows from what is; none if that is nothing."""
    if quieted is None:
        return []
    problems = _count("problems", quieted.problems, language)
    objects = _count("pods" if quieted.pods == quieted.objects else "objects", quieted.objects, language)
    said = _WORDS[language]["least" if quieted.more else "quieted"]
    return [said.format(problems=problems, objects=objects, follow=_count("follow", quieted.problems, language))]


def _count(word: str, n: int, language: Language) -> str:
    if n == 1 and word in _ONE[language]:
        return _ONE[language][word]
    return _WORDS[language][word].format(n=n)


def _shared(note: Notification, language: Language) -> str:
    """Say what all of several problems have in common, the owner as it is called: `Deployment web`."""
    words = _WORDS[language]
    said = (value if key == "owner" else f"{words[key]} {value}" for key, value in note.shared.items() if key in SHARED)
    return "".join(f" · {each}" for each in said)


def _reasons(note: Notification, language: Language) -> str:
    if not note.reasons:
        return ""
    most = sorted(note.reasons.items(), key=lambda pair: -pair[1])[:3]
    return " · " + _WORDS[language]["comma"].join(f"{reason} {n}" for reason, n in most)


def _time(at: float, zone: tzinfo) -> str:
    moment = datetime.fromtimestamp(at, zone)
    offset = moment.strftime("%z")
    return f"{moment:%m-%d %H:%M} {offset[:3]}:{offset[3:5]}"


def _duration(seconds: float, language: Language) -> str:
    words = _WORDS[language]
    seconds = max(0.0, seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return words[unit].format(n=int(seconds // size))
    return words["s"].format(n=int(seconds))
