"""What the ledgers say: which texts were lost, what was sent twice, and after which kill.

Pure. It reads what was written down outside the gateway by the client, the carrier and the app,
and what the gateway says over REST at the end.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.crash.load import Promise

Line = Mapping[str, Any]
TOLD: Final = ("sent", "delivered")
_UDHI: Final = 0x40
_READ_LATER: Final = 0.2  # seconds after a kill in which the carrier may still read what had left


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """The gateway was killed at `at`, seconds since the epoch."""

    name: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was written down; `known` is what REST lists, `token` signs callbacks."""

    promises: Sequence[Promise]
    submits: Sequence[Line]
    texts: Sequence[Line]
    callbacks: Sequence[Line]
    known: Sequence[Line]


@dataclass(slots=True, kw_only=True)
class Row:
    """One kill: what was accepted before it, and of the PDUs sent before it those sent again."""

    name: str
    accepted: int = 0
    lost: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A row for each kill and one for the time after the last; `problems` in words."""

    rows: Sequence[Row]
    window: int
    problems: Sequence[str] = field(default_factory=tuple)

    @property
    def kills(self) -> int:
        """How many there were."""
        return len(self.rows) - 1


def judge(
    evidence: Evidence,
    kills: Sequence[Kill],
    window: int,
    is_signed: Callable[[Line], bool],
) -> Verdict:
    """Judge a run: `window` is how many PDUs one kill may send twice."""
    times = [kill.at for kill in kills]
    rows = [Row(name=kill.name) for kill in kills] + [Row(name="(end)")]
    problems: list[str] = []
    faults = _faults(evidence)
    for promise in evidence.promises:
        row = rows[bisect_right(times, promise.at)]
        row.accepted += 1
        if promise.sid in faults:
            row.lost += 1
            problems.append(f"{promise.sid} (text {promise.number}): {faults[promise.sid]}")
    problems += _strangers(evidence)
    problems += _callback_faults(evidence.callbacks, is_signed)
    again, changed = _repeats(evidence.submits)
    problems += changed
    read_by = [at + _READ_LATER for at in times]
    for earlier in again:
        rows[bisect_right(read_by, earlier["at"])].duplicates += 1
    problems += _beyond(rows, window)
    return Verdict(rows=rows, window=window, problems=problems)


def open_promises(evidence: Evidence) -> int:
    """How many accepted texts are not yet where they should end."""
    return len(_faults(evidence))


def _faults(evidence: Evidence) -> dict[str, str]:
    """Why an accepted text counts as lost, by SID."""
    arrived = Counter((line["to"], line["body"]) for line in evidence.texts)
    states = {line["sid"]: line["status"] for line in evidence.known}
    told: dict[str, set[str]] = defaultdict(set)
    for line in evidence.callbacks:
        told[line["params"]["MessageSid"]].add(line["params"]["MessageStatus"])
    faults: dict[str, str] = {}
    for promise in evidence.promises:
        missing = [status for status in TOLD if status not in told[promise.sid]]
        if not arrived[(promise.to, promise.body)]:
            faults[promise.sid] = "never whole on the handset"
        elif states.get(promise.sid) != "delivered":
            faults[promise.sid] = f"REST says {states.get(promise.sid, 'nothing of it')}"
        elif missing:
            faults[promise.sid] = f"no callback {' and '.join(missing)}"
    return faults


def _strangers(evidence: Evidence) -> list[str]:
    """Texts that nobody should know, and ends that no text should have."""
    known = {(line["to"], line["body"]) for line in evidence.known}
    problems = [
        f"{line['sid']} ended {line['status']}"
        for line in evidence.known
        if line["status"] != "delivered"
    ]
    problems += [
        f"a text to {line['to']} arrived that the gateway does not know"
        for line in evidence.texts
        if (line["to"], line["body"]) not in known
    ]
    return problems


def _callback_faults(callbacks: Iterable[Line], is_signed: Callable[[Line], bool]) -> list[str]:
    """Repeats under another token, the wrong order, states that are not told, bad signatures."""
    problems: list[str] = []
    tokens: dict[tuple[str, str], str] = {}
    first: dict[str, list[str]] = defaultdict(list)
    for line in callbacks:
        sid, status = line["params"]["MessageSid"], line["params"]["MessageStatus"]
        token = line["headers"]["I-Twilio-Idempotency-Token"]
        if tokens.setdefault((sid, status), token) != token:
            problems.append(f"{sid}: {status} was told again under another idempotency token")
        if status not in first[sid]:
            first[sid].append(status)
        if not is_signed(line):
            problems.append(f"{sid}: the signature of {status} is wrong")
    for sid, statuses in first.items():
        if statuses != list(TOLD)[: len(statuses)]:
            problems.append(f"{sid} was told {', then '.join(statuses)}")
    return problems


def _repeats(submits: Iterable[Line]) -> tuple[list[Line], list[str]]:
    """For each submit_sm that came again, the copy before it; and what is wrong with any."""
    last: dict[tuple[Any, ...], Line] = {}
    again: list[Line] = []
    problems: list[str] = []
    for line in submits:
        payload: str = line["payload"]
        header = 2 + 2 * int(payload[:2], 16) if line["esm_class"] & _UDHI else 0
        key = (line["from"], line["to"], line["part"], payload[header:])
        earlier = last.get(key)
        last[key] = line
        if earlier is None:
            continue
        again.append(earlier)
        if earlier["payload"] != payload:
            problems.append(f"a part to {line['to']} went again under another reference")
    return again, problems


def _beyond(rows: Sequence[Row], window: int) -> list[str]:
    """Duplicates that no kill explains: beyond its window, or of what was sent after the last."""
    problems = [
        f"{row.name}: {row.duplicates} PDUs went again, the window has {window}"
        for row in rows[:-1]
        if row.duplicates > window
    ]
    if rows[-1].duplicates:
        problems.append(f"{rows[-1].duplicates} PDUs went again that no kill had interrupted")
    return problems
