"""What a restored store gives out is above all that was given before."""

import io

import pytest

from gateway.backup.file import End, Head, Packer, Rows, Table, Unusable
from gateway.backup.restoring import Poured, Span, pour, sequences
from gateway.store.base import RESTORED, Row, Shape, StoreError

MADE_AT, NOW = 1_000_000.0, 1_000_060.0
HEAD = Head(schema=2, made_at=MADE_AT, program="0.1.0", sequences={"facts": 5000, "trace": 9})
LEASES = Table(name="leases", columns=("name", "epoch"))


class HeldLoader:
    """Keeps what it is given."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.tables: dict[Shape, list[Row]] = {}

    def begin(self, shape: Shape) -> None:
        if shape.table == "unknown":
            raise StoreError("there is no table 'unknown' for them")
        self._rows = self.tables.setdefault(shape, [])

    def add(self, rows: list[Row]) -> None:
        self._rows += rows


def poured(*parts: Table | Rows | End, head: Head = HEAD) -> tuple[Poured, HeldLoader]:
    packer = Packer()
    octets = packer.add(head, *parts) + packer.end()
    loaders: list[HeldLoader] = []

    def begin(found: Head) -> HeldLoader:
        loaders.append(HeldLoader(found))
        return loaders[0]

    return pour(io.BytesIO(octets), begin, 2, NOW), loaders[0]


def test_epochs_are_above_what_was_given_after_the_backup() -> None:
    high = int(NOW) + 50
    rows = Rows([("carrier:acme", 3), ("dedup:x:0", high)])
    _, loader = poured(LEASES, rows, End(rows={"leases": 2}))
    leases = loader.tables[Shape("leases", ("name", "holder", "epoch", "expires_at"))]
    assert leases == [
        (RESTORED, "", int(NOW), 0.0),
        ("carrier:acme", "", int(NOW), 0.0),
        ("dedup:x:0", "", high, 0.0),
    ]


def test_rows_that_are_missing_are_found() -> None:
    for told in ({"leases": 2}, {}, {"leases": 1, "facts": 0}):
        with pytest.raises(Unusable, match="missing"):
            poured(LEASES, Rows([("x", 1)]), End(rows=told))


def test_what_does_not_fit_is_found() -> None:
    with pytest.raises(Unusable, match="no table 'unknown'"):
        poured(Table(name="unknown", columns=("a",)), End(rows={"unknown": 0}))
    with pytest.raises(Unusable, match="wide"):
        poured(LEASES, Rows([("x", 1, 2)]), End(rows={"leases": 1}))
    with pytest.raises(Unusable, match="before their table"):
        poured(Rows([("x", 1)]), End(rows={}))


def test_a_file_of_a_newer_schema_is_refused_by_its_version() -> None:
    newer = Head(schema=3, made_at=MADE_AT, program="9.1", sequences={})
    with pytest.raises(Unusable, match=r"version 9\.1 with schema 3"):
        poured(End(rows={}), head=newer)


def test_the_facts_that_a_file_has_are_spanned() -> None:
    facts = Table(name="facts", columns=("id", "sid", "at"))
    parts = Rows([(4, "SM1", 10.0), (5, "SM1", 9.0)]), Rows([(9, "SM2", 12.5)])
    found, _ = poured(facts, *parts, End(rows={"facts": 3}))
    assert (found.facts.ids, found.facts.times) == ((4, 9), (9.0, 12.5))
    assert found.rows == 3


def spanning(ids: tuple[int, int], times: tuple[float, float]) -> Poured:
    return Poured(head=HEAD, rows=0, facts=Span(ids=ids, times=times))


def test_ids_of_facts_jump_over_those_that_may_have_been_given_since() -> None:
    # 10 facts a second before the backup, at most 100 after it for a minute.
    quiet = sequences(spanning((1, 5000), (MADE_AT - 500, MADE_AT)), {}, NOW, 10**9)
    assert 5000 + 60 * 100 <= quiet.given["facts"] <= 5000 + 60 * 100 + 20_000
    assert quiet.given["trace"] == 9 and not quiet.short
    busy = sequences(spanning((1, 5000), (MADE_AT - 5, MADE_AT)), {}, NOW, 10**9)
    assert busy.given["facts"] > 5000 + 60 * 1000


def test_ids_go_on_above_those_of_the_store_that_is_replaced() -> None:
    span = spanning((1, 5000), (MADE_AT - 500, MADE_AT))
    found = sequences(span, {"facts": 10**7, "trace": 3}, NOW, 10**9)
    assert found.given == {"facts": 10**7, "trace": 9}


def test_a_jump_has_a_bound_and_what_is_above_it_is_told() -> None:
    span = spanning((1, 5000), (MADE_AT - 500, MADE_AT))
    found = sequences(span, {}, MADE_AT + 86400, 1_000_000)
    assert found.given["facts"] == 5000 + 1_000_000
    assert found.short == 86400 * 100 + 10_000 - 1_000_000
    assert not sequences(span, {"facts": 10**8}, MADE_AT + 86400, 1_000_000).short


def test_a_store_without_facts_needs_no_jump() -> None:
    empty = Poured(
        head=Head(schema=2, made_at=MADE_AT, program="", sequences={}), rows=0, facts=Span()
    )
    assert sequences(empty, {}, NOW, 10**9).given == {}
