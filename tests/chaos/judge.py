"""What the ledgers say of a run of chaos: what was lost, what came twice, and whether a blow
explains it. Pure.

It reads what was written down outside the gateway by clients, carriers and apps, what the gateway
lists over REST at the end, the facts in the store, and what a foreign consumer took from Kafka.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.foreign import Record
from tests.chaos.ledgers import Callback, Submit
from tests.chaos.load import Promise, Text, name_of

TOLD: Final = ("sent", "delivered")
_READ_LATER: Final = 0.2  # seconds after a kill in which its peers may still read what had left

Fact = tuple[int, str, str, int]  # id, SID, type, version


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """An owner was killed, stopped or ended between `began` and `ended` (seconds since the
    epoch): what it had under way may have been done twice, up to `bound` times.
    """

    name: str
    began: float
    ended: float
    bound: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was written down. `known` is what REST lists; carriers by name; `facts` are those of
    the store, `taken` those that a foreign consumer took; `submitted` are ids from the clean
    topic of submits, filtered.
    """

    asked: Collection[Text]
    promises: Sequence[Promise]
    known: Sequence[Mapping[str, Any]]
    texts: Collection[tuple[str, str]]
    submits: Mapping[str, Sequence[Submit]]
    callbacks: Sequence[Callback]
    facts: Sequence[Fact] = ()
    taken: Sequence[Fact] = ()
    submitted: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """Who was interrupted, when: owners of carriers by name of the carrier, and of queues."""

    carriers: Mapping[str, Sequence[Interruption]]
    queues: Sequence[Interruption]


@dataclass(slots=True, kw_only=True)
class Verdict:
    """Counts for the table, and `problems` in words."""

    accepted: Counter[str] = field(default_factory=Counter)
    final: int = 0
    lost: int = 0
    duplicates: dict[str, int] = field(default_factory=dict)
    may_duplicate: dict[str, int] = field(default_factory=dict)
    callbacks: int = 0
    repeats: int = 0
    may_repeat: int = 0
    facts: int = 0
    problems: list[str] = field(default_factory=list)


def judge(evidence: Evidence, interrupted: Interrupted) -> Verdict:
    """Judge a run."""
    verdict = Verdict(accepted=Counter(each.text.source for each in evidence.promises))
    faults = faults_of(evidence)
    verdict.lost = len(faults)
    verdict.problems += [f"text {number}: {fault}" for number, fault in faults.items()]
    verdict.final = sum(line["status"] == "delivered" for line in evidence.known)
    verdict.problems += _strangers(evidence)
    for carrier, submits in evidence.submits.items():
        spans, changed = _copies(submits)
        allowed = interrupted.carriers.get(carrier, ())
        verdict.duplicates[carrier] = len(spans)
        verdict.may_duplicate[carrier] = sum(each.bound for each in allowed)
        verdict.problems += [f"{carrier}: {fault}" for fault in changed]
        verdict.problems += _unexplained(f"submit_sm to {carrier}", spans, allowed)
    verdict.problems += _callback_faults(evidence.callbacks)
    repeats = _repeats(evidence.callbacks)
    verdict.callbacks = len({(each.sid, each.status) for each in evidence.callbacks})
    verdict.repeats = len(repeats)
    verdict.may_repeat = sum(each.bound for each in interrupted.queues)
    verdict.problems += _unexplained("callbacks", repeats, interrupted.queues)
    verdict.facts = len(evidence.facts)
    verdict.problems += once("fact", evidence.facts, evidence.taken)
    promised = [name_of(e.text.number) for e in evidence.promises if not e.sid]
    verdict.problems += once("submit", promised, evidence.submitted)
    return verdict


def faults_of(evidence: Evidence) -> dict[int, str]:
    """Why an accepted text counts as lost, by its number."""
    by_body: defaultdict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for line in evidence.known:
        by_body[line["to"], line["body"]].append(line)
    arrived = frozenset(evidence.texts)
    told = {(each.sid, each.status) for each in evidence.callbacks}
    faults = {
        promise.text.number: fault
        for promise in evidence.promises
        if (fault := _fault(promise, by_body[promise.text.to, promise.text.body], arrived, told))
    }
    return faults


def _fault(
    promise: Promise,
    known: Sequence[Mapping[str, Any]],
    arrived: frozenset[tuple[str, str]],
    told: Collection[tuple[str, str]],
) -> str:
    if len(known) != 1:
        return f"REST lists {len(known)} messages of it: {[each['sid'] for each in known]}"
    sid, status = known[0]["sid"], known[0]["status"]
    if promise.sid and promise.sid != sid:
        return f"{promise.sid} was promised, REST lists {sid}"
    if status != "delivered":
        return f"{sid} is {status}"
    if (promise.text.to, promise.text.body) not in arrived:
        return f"{sid} never came whole to the handset"
    missing = [state for state in TOLD if (sid, state) not in told]
    return f"{sid}: no callback {' and '.join(missing)}" if missing else ""


def _strangers(evidence: Evidence) -> list[str]:
    """Messages that nobody asked for, and texts that the gateway does not know."""
    asked = {(text.to, text.body) for text in evidence.asked}
    known = {(line["to"], line["body"]) for line in evidence.known}
    problems = [
        f"{line['sid']} is a message that nobody asked for"
        for line in evidence.known
        if (line["to"], line["body"]) not in asked
    ]
    problems += [
        f"a text to {to} arrived that the gateway does not know"
        for to, body in evidence.texts
        if (to, body) not in known
    ]
    return problems


Span = tuple[float, float]  # of a thing that was done twice: the first time and the next


def _copies(submits: Iterable[Submit]) -> tuple[list[Span], list[str]]:
    """For each submit_sm that came again when it and the one before it came, and what changed."""
    last: dict[tuple[str, int, str], Submit] = {}
    spans: list[Span] = []
    problems: list[str] = []
    for submit in submits:
        before = last.get(submit.key)
        last[submit.key] = submit
        if before is None:
            continue
        spans.append((before.at, submit.at))
        if before.reference != submit.reference:
            problems.append(f"a part to {submit.key[0]} went again under another reference")
    return spans, problems


def _repeats(callbacks: Iterable[Callback]) -> list[Span]:
    last: dict[str, float] = {}
    spans: list[Span] = []
    for callback in callbacks:
        if callback.token in last:
            spans.append((last[callback.token], callback.at))
        last[callback.token] = callback.at
    return spans


def _callback_faults(callbacks: Iterable[Callback]) -> list[str]:
    """Another token for the same state, the wrong order, states nobody tells, bad signatures."""
    problems: list[str] = []
    tokens: dict[tuple[str, str], str] = {}
    first: defaultdict[str, list[str]] = defaultdict(list)
    for each in callbacks:
        if tokens.setdefault((each.sid, each.status), each.token) != each.token:
            problems.append(f"{each.sid}: {each.status} was told again under another token")
        if each.status not in first[each.sid]:
            first[each.sid].append(each.status)
        if not each.signed:
            problems.append(f"{each.sid}: the signature of {each.status} is wrong")
    for sid, statuses in first.items():
        if statuses != list(TOLD)[: len(statuses)]:
            problems.append(f"{sid} was told {', then '.join(statuses)}")
    return problems


def _unexplained(
    what: str, spans: Sequence[Span], interruptions: Sequence[Interruption]
) -> list[str]:
    """What was done twice though nothing interrupted it, or more often than the bounds allow.

    A repetition is explained by an interruption between the first time and the next one; each
    explains as many as its bound says.
    """
    room = {each: each.bound for each in interruptions}
    alone = 0
    beyond: Counter[str] = Counter()
    for first, again in sorted(spans):
        near = [
            each
            for each in interruptions
            if each.began <= again and first <= each.ended + _READ_LATER
        ]
        free = next((each for each in near if room[each]), None)
        if free is not None:
            room[free] -= 1
        elif near:
            beyond[near[0].name] += 1
        else:
            alone += 1
    problems = [
        f"{name}: {count} {what} more than its bound went again" for name, count in beyond.items()
    ]
    if alone:
        problems.append(f"{alone} {what} went again that nothing had interrupted")
    return problems


def once(what: str, there: Sequence[Any], taken: Sequence[Any]) -> list[str]:
    """Each of `there` is in `taken` once, and nothing else."""
    wanted, found = set(there), Counter(taken)
    missing = sorted(wanted - found.keys())
    strange = sorted(found.keys() - wanted)
    twice = [each for each, count in found.items() if count > 1]
    problems = []
    for count, words, some in (
        (len(missing), "is not in the clean topic", missing),
        (len(strange), "is in the clean topic alone", strange),
        (len(twice), "was taken twice", twice),
    ):
        if count:
            problems.append(f"{count} times: a {what} {words}, such as {some[0]}")
    return problems


def order_faults(taken: Iterable[Record]) -> list[str]:
    """Messages whose facts do not stand in the order of their versions."""
    last: dict[str, int] = {}
    faults = []
    for record in taken:
        assert record.value is not None
        sid, version = record.value["sid"], record.value["version"]
        if version < last.get(sid, version):
            faults.append(f"{sid}: version {version} stands behind {last[sid]}")
        last[sid] = max(version, last.get(sid, version))
    return faults


def fact_of(record: Record) -> Fact:
    """What a record says that it is."""
    assert record.value is not None
    value = record.value
    return value["id"], value["sid"], value["type"], value["version"]
