"""What a run of chaos comes to, as a person reads it."""

from collections.abc import Mapping, Sequence
from typing import Final

from tests.chaos.judge import Verdict
from tests.chaos.ledgers import Submit
from tests.chaos.load import Book
from tests.chaos.members import Member
from tests.chaos.plan import KILLED, STOPPED
from tests.chaos.strikes import Stroke, kills

_P50: Final = 0.5
_P99: Final = 0.99
_READ_LATER: Final = 0.2  # seconds after a kill in which its peers may still read what had left


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them are; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def takeovers(
    strokes: Sequence[Stroke], submits: Mapping[str, Sequence[Submit]], until: float
) -> list[float]:
    """Seconds from each blow to an owner of a carrier to the first submit_sm of the next one.

    Blows so late that the load ended before `until` (seconds since the epoch) do not count.
    """
    found = []
    for stroke in strokes:
        for carrier in stroke.carriers:
            after = stroke.began + _READ_LATER
            first = next((each.at for each in submits[carrier] if each.at > after), None)
            if first is not None and first < until:
                found.append(first - stroke.began)
    return found


def rows(
    verdict: Verdict,
    book: Book,
    strokes: Sequence[Stroke],
    members: Sequence[Member],
    taken_over: Sequence[float],
    seconds: float,
) -> list[tuple[str, str]]:
    """Names and values."""
    accepted = sum(verdict.accepted.values())
    killed = kills(strokes)
    ends = [ending.why for member in members for ending in member.endings]
    stopped = sum(each.kind in STOPPED for each in strokes)
    return [
        ("accepted", f"{accepted}, {accepted / seconds:.1f}/s"),
        *((f"  by {source}", f"{count}") for source, count in sorted(verdict.accepted.items())),
        ("final state delivered", f"{verdict.final}"),
        ("lost", f"{verdict.lost}"),
        *(
            (f"duplicates to {name}", f"{count}, at most {verdict.may_duplicate[name]}")
            for name, count in verdict.duplicates.items()
        ),
        ("callbacks, by message and state", f"{verdict.callbacks}"),
        ("  repeated, same token", f"{verdict.repeats}, at most {verdict.may_repeat}"),
        ("facts in the store and in Kafka", f"{verdict.facts}"),
        ("kills with -9", f"{sum(killed.values())}"),
        *((f"  of {kind.value}", f"{killed[kind]}") for kind in KILLED),
        ("owners stopped for too long", f"{stopped}"),
        ("ended by themselves with 75", f"{ends.count('fenced')}"),
        ("found no store at their start", f"{ends.count('no store')}"),
        (
            "takeover, blow to first submit_sm",
            f"p50 {quantile(taken_over, _P50):.1f} s, max {max(taken_over, default=0):.1f} s"
            f" of {len(taken_over)}",
        ),
        (
            "accepts over REST, one try",
            f"p50 {quantile(book.seconds(), _P50) * 1000:.0f} ms,"
            f" p99 {quantile(book.seconds(), _P99) * 1000:.0f} ms",
        ),
        (
            "accepts over REST, with tries",
            f"p99 {quantile(book.patience, _P99):.2f} s, max {max(book.patience, default=0):.1f} s",
        ),
        ("answers", ", ".join(f"{name}: {n}" for name, n in sorted(book.answers.items()))),
        ("verdict", "BAD" if verdict.problems else "ok"),
    ]


def show(lines: Sequence[tuple[str, str]]) -> None:
    """Print them in two columns."""
    for name, value in lines:
        print(f"{name:<36}{value}")
