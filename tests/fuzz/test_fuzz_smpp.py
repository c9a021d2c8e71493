"""Invariant: no octets from a peer raise, and how they are cut changes neither events nor answers.

The short form of `tests.fuzz.smpp`, with the same tries at every run.
"""

import pytest

from tests.fuzz.smpp import check


@pytest.mark.parametrize("block", range(10))
def test_hostile_octets(block: int) -> None:
    for seed in range(block * 50, block * 50 + 50):
        try:
            check(seed)
        except Exception as error:
            error.add_note(f"repeat with: python -m tests.fuzz.smpp --seed {seed}")
            raise
