"""When what is struck: the blows of a run, drawn from its seed. Pure.

A blow is a `kill -9` of a process of one kind, or a stop of an owner (SIGSTOP) that ends when
others have taken over. Blows of one kind stand apart, so that what was killed has come back.
"""

import random
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What is struck."""

    API = "api"
    SMPP = "smpp"
    CORE = "core"
    BROKER = "broker"
    POSTGRES = "postgres"
    STOP_SMPP = "stop smpp"
    STOP_CORE = "stop core"


KILLED: Final = (Kind.API, Kind.SMPP, Kind.CORE, Kind.BROKER, Kind.POSTGRES)
STOPPED: Final = (Kind.STOP_SMPP, Kind.STOP_CORE)
_SECONDS_OF_A_ROUND: Final = 85.0  # in which each kind is killed once
_SECONDS_OF_A_STOP: Final = 300.0  # in which each role is stopped once
_QUIET: Final = 0.08  # of the time, at the beginning and at the end
_JITTER: Final = 0.6  # of the time between two blows


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """Strike `kind`, `at` seconds after the load began."""

    at: float
    kind: Kind


def plan(seconds: float, dice: random.Random) -> list[Blow]:
    """The blows of a load of so many seconds, in their order: each kind at least once."""
    rounds = max(1, round(seconds / _SECONDS_OF_A_ROUND))
    stops = max(1, round(seconds / _SECONDS_OF_A_STOP))
    kinds = _mixed(Counter(dict.fromkeys(KILLED, rounds) | dict.fromkeys(STOPPED, stops)), dice)
    begin = seconds * _QUIET
    step = (seconds - 2 * begin) / len(kinds)
    return [
        Blow(at=begin + step * (number + _JITTER * dice.random()), kind=kind)
        for number, kind in enumerate(kinds)
    ]


def _mixed(left: Counter[Kind], dice: random.Random) -> list[Kind]:
    """All of them in a random order, none behind itself."""
    kinds: list[Kind] = []
    while left:
        # A kind of which half of the rest are must come now, or it will stand behind itself.
        must = [kind for kind, count in left.items() if 2 * count > left.total()]
        may = [kind for kind in left.elements() if kinds[-1:] != [kind]]
        kind = dice.choice(must or may)
        kinds.append(kind)
        left[kind] -= 1
        left += Counter()
    return kinds
