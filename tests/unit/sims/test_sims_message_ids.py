"""Ids that are unique, and forms of the same id that belong together."""

import re
from uuid import UUID

import pytest

from sims.message_ids import IdForm, MessageIds, written

NUMBER = 1_795_000_000_123_456


def test_no_two_ids_are_the_same_in_any_form() -> None:
    ids = MessageIds.since(1_795_000_000.0)
    numbers = [ids.next() for _ in range(2_000)]
    for form in IdForm:
        assert len({written(number, form).lower() for number in numbers}) == 2_000


def test_a_later_run_gives_other_ids() -> None:
    earlier, later = MessageIds.since(1_795_000_000.0), MessageIds.since(1_795_000_001.0)
    assert {earlier.next() for _ in range(10_000)}.isdisjoint({later.next() for _ in range(10_000)})


@pytest.mark.parametrize(
    ("form", "base"),
    [(IdForm.DECIMAL, 10), (IdForm.PADDED, 10), (IdForm.HEX, 16), (IdForm.UPPER_HEX, 16)],
)
def test_forms_are_the_same_number(form: IdForm, base: int) -> None:
    assert int(written(NUMBER, form), base) == NUMBER


def test_forms_look_as_they_are_called() -> None:
    assert written(NUMBER, IdForm.PADDED) == "00001795000000123456"
    assert re.search("[a-f]", written(NUMBER, IdForm.HEX))
    assert written(NUMBER, IdForm.UPPER_HEX) == written(NUMBER, IdForm.HEX).upper()
    mixed = written(0xABCDEF, IdForm.MIXED)
    assert mixed == "aBcDeF"
    assert str(UUID(written(NUMBER, IdForm.UUID))) == written(NUMBER, IdForm.UUID)
