"""The plan of blows, and what a blow explains."""

import itertools
import random
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos.ledgers import Submit, Tail, callback_of, submit_of
from tests.chaos.load import PREFIXES, REST, SUBMIT, text
from tests.chaos.members import Ending, Member
from tests.chaos.plan import KILLED, STOPPED, Kind, plan
from tests.chaos.strikes import Stroke, described, interrupted, kills
from tests.chaos.table import quantile, takeovers
from tests.chaos.watch import pid_of


@pytest.mark.parametrize("seed", range(20))
def test_ten_minutes_have_thirty_kills_and_four_of_each_kind(seed: int) -> None:
    blows = plan(600.0, random.Random(seed))
    counted = Counter(blow.kind for blow in blows)
    assert sum(counted[kind] for kind in KILLED) >= 30
    assert all(counted[kind] >= 4 for kind in KILLED)
    assert all(counted[kind] >= 2 for kind in STOPPED)
    assert all(one.kind is not next_.kind for one, next_ in itertools.pairwise(blows))


@pytest.mark.parametrize("seconds", [20.0, 60.0, 100.0])
def test_a_short_run_has_each_blow_once_in_the_midst_of_the_load(seconds: float) -> None:
    blows = plan(seconds, random.Random(1))
    assert Counter(blow.kind for blow in blows) == dict.fromkeys(Kind, 1)
    times = [blow.at for blow in blows]
    assert times == sorted(times) and times[0] > 0.0 and times[-1] < seconds


def test_a_seed_repeats_a_plan() -> None:
    assert plan(600.0, random.Random(3)) == plan(600.0, random.Random(3))
    assert plan(600.0, random.Random(3)) != plan(600.0, random.Random(4))


def test_texts_of_both_sources_go_to_all_carriers_short_and_long() -> None:
    texts = [text(number, REST) for number in range(72)]
    assert len({each.body for each in texts}) == len(texts)
    for carrier in PREFIXES:
        parts = Counter(each.parts for each in texts if each.to.startswith(carrier))
        assert parts == {1: 32, 3: 4}
    assert text(1, REST).body != text(1, SUBMIT).body


def stroke(**given: Any) -> Stroke:
    values = {"kind": Kind.SMPP, "victim": "smpp1", "pid": 7, "began": 10.0, "ended": 10.0}
    return Stroke(**{**values, **given})


def member(role: str, *endings: Ending) -> Member:
    return cast(Member, SimpleNamespace(role=role, name=f"{role}1", endings=list(endings)))


def ending(pid: int, why: str, role: str = "smpp") -> Ending:
    return Ending(role=role, pid=pid, at=100.0, why=why)


def test_a_blow_to_an_owner_explains_its_windows() -> None:
    strokes = [
        stroke(carriers=("acme",)),
        stroke(kind=Kind.CORE, victim="core1", pid=8, queues=8),
        stroke(kind=Kind.API, victim="api1", pid=9),
    ]
    found = interrupted(strokes, [], {"acme": 20, "beta": 10}, 64)
    assert [each.bound for each in found.carriers["acme"]] == [20]
    assert found.carriers["beta"] == []
    assert [(each.name, each.bound) for each in found.queues] == [("core1", 64)]


def test_an_owner_that_ended_by_itself_explains_them_too_but_not_twice() -> None:
    ends = [ending(7, "fenced"), ending(8, "fenced"), ending(9, "killed"), ending(10, "no store")]
    found = interrupted([stroke(carriers=("acme",))], [member("smpp", *ends)], {"acme": 20}, 64)
    assert [each.name for each in found.carriers["acme"]] == ["smpp1", "smpp1"]
    assert found.carriers["acme"][1].began < 100.0 == found.carriers["acme"][1].ended
    assert found.queues == []
    core = member("core", ending(1, "fenced", "core"))
    assert len(interrupted([], [core], {"acme": 20}, 64).queues) == 1


def test_the_log_says_who_was_struck_and_what_it_owned() -> None:
    assert "killed: smpp1 (7), owner of acme" in described(stroke(carriers=("acme",)))
    stopped = stroke(kind=Kind.STOP_CORE, victim="core2", ended=16.5, queues=8)
    assert "stopped for 6.5 s: core2 (7), owner of 8 queues" in described(stopped)
    assert kills([stroke(), stroke(), stopped])[Kind.SMPP] == 2


def test_a_takeover_ends_with_the_first_submit_behind_the_blow() -> None:
    submits = {"acme": [Submit(at=at, key=("", 1, ""), reference="") for at in (9.0, 10.1, 14.0)]}
    strokes = [stroke(carriers=("acme",)), stroke(began=20.0, carriers=("acme",))]
    assert takeovers(strokes, submits, until=30.0) == [4.0]
    assert takeovers(strokes, submits, until=12.0) == []


def test_quantiles() -> None:
    assert quantile([], 0.99) == 0.0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0] * 99 + [9.0], 0.99) == 9.0


def test_lines_under_way_are_read_when_they_are_whole(tmp_path: Any) -> None:
    path = tmp_path / "ledger"
    tail = Tail(path)
    assert list(tail.lines()) == []
    path.write_text('{"a": 1}\n{"a"')
    assert list(tail.lines()) == [{"a": 1}]
    with path.open("a") as file:
        file.write(": 2}\n")
    assert list(tail.lines()) == [{"a": 2}]


def test_copies_of_a_part_are_known_without_its_header() -> None:
    line = {"at": 1.0, "to": "+44", "part": 1, "esm_class": 0x40}
    one = submit_of({**line, "payload": "0500030702" + "01" + "ab"})
    other = submit_of({**line, "payload": "0500030802" + "01" + "ab"})
    assert one.key == other.key and one.reference != other.reference
    plain = submit_of({**line, "esm_class": 0, "payload": "05ab"})
    assert plain.key == ("+44", 1, "05ab") and plain.reference == ""


def test_a_line_of_an_app_is_a_callback() -> None:
    line = {
        "at": 1.0,
        "params": {"MessageSid": "SM1", "MessageStatus": "sent"},
        "headers": {"I-Twilio-Idempotency-Token": "JB1"},
    }
    callback = callback_of(line, lambda _: False)
    assert (callback.sid, callback.status, callback.token) == ("SM1", "sent", "JB1")
    assert not callback.signed


def test_the_process_of_a_member_is_in_its_name() -> None:
    assert pid_of("core+smpp@some:host:4711:0a1b2c3d") == 4711
