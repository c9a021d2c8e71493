"""After whatever happened: from where a new owner reads, decided by what it finds, not by what
was meant to happen.

It finds three things: the state in the index, the clean topic, and the raw one. The clean topic
is the truth about what was published. So the four ways to crash have one remedy, to read the
clean topic from where the index knows it:

| it ended | the clean topic, behind what the index knows | so |
|---|---|---|
| before it published | has nothing | `AGREES`: go on in the input where the index stands |
| publishing, outcome unknown | has a beginning of the batch, all, or nothing | `BEHIND` |
| when all was published, not the index | has the batch | `BEHIND` |
| and its disk is gone | has everything, as there is no index | `NO_INDEX` |

`BEHIND`: the keys of the records that are there go into the index, and the input is taken up
behind the last of them; nothing is published meanwhile. That is what replaying the input up to
the mark of the last record published would give, without needing the input. `NO_INDEX` is the
same from the beginning of the window on. An index that is too old, because others owned the
partition since, is `BEHIND` too; if the clean topic no longer keeps what it lacks, it is
`EXPIRED`, and what is kept is read.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from gateway.core.dedup.ports import Span
from gateway.core.dedup.state import State


class Finding(StrEnum):
    """How the index stands to a topic."""

    AGREES = "it has everything"
    BEHIND = "the topic has more"
    EXPIRED = "the topic no longer keeps all that it lacks"
    NO_INDEX = "there is no index"
    REMADE = "the topic was made anew"


class Which(StrEnum):
    """One of the two topics."""

    RAW = "raw"
    CLEAN = "clean"


# What a person should know, and do.
TOLD: Final[Mapping[tuple[Which, Finding], tuple[str, str]]] = {
    (Which.RAW, Finding.EXPIRED): (
        "records were deleted before dedup had read them",
        "raise retention.ms of the topic; facts can be sent again from the store for 24 hours",
    ),
    (Which.RAW, Finding.REMADE): (
        "the raw topic was made anew: dedup reads it from its beginning",
        "nothing, if you made it; else look at the brokers, as records were lost there",
    ),
    (Which.CLEAN, Finding.EXPIRED): (
        "the clean topic does not reach back to where the index ends",
        "keep it for at least [bus] dedup_window, or records may stand in it twice",
    ),
    (Which.CLEAN, Finding.REMADE): (
        "the clean topic was made anew: what stood in it is not copied again",
        "to fill it again from the raw topic, stop dedup and remove its folder below the data"
        " folder",
    ),
}


class CatchUp(msgspec.Struct, frozen=True, kw_only=True):
    """Read the clean topic from `offset` on; None: from the beginning of the window."""

    finding: Finding
    offset: int | None


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Read the raw topic from `offset` on; `lost` are offsets that nobody can read any more.

    `state` says the same in marks.
    """

    finding: Finding
    offset: int
    lost: int
    state: State


def catch_up(state: State | None, cluster: str, kept: Span) -> CatchUp:
    """How the index comes to know all of the clean topic in `cluster`, of which `kept` is there."""
    if state is None:
        return CatchUp(finding=Finding.NO_INDEX, offset=None)
    known = state.outputs.get(cluster)
    if known is None:
        # No owner with this index has written there; others may have.
        return CatchUp(finding=Finding.BEHIND, offset=None)
    if known > kept.next:
        return CatchUp(finding=Finding.REMADE, offset=kept.first)
    if known < kept.first:
        return CatchUp(finding=Finding.EXPIRED, offset=kept.first)
    finding = Finding.AGREES if known == kept.next else Finding.BEHIND
    return CatchUp(finding=finding, offset=known)


def forget_output(state: State, cluster: str) -> State:
    """Without what was known of a clean topic that was made anew."""
    return msgspec.structs.replace(
        state,
        outputs={name: at for name, at in state.outputs.items() if name != cluster},
        epochs={name: epoch for name, epoch in state.epochs.items() if name != cluster},
    )


def resume(state: State, cluster: str, kept: Span, ahead: int = 0) -> Resume:
    """From where the raw topic in `cluster` is read, of which `kept` is there.

    A topic that was made anew begins at 0 again; its records get higher marks than any before,
    as readers drop what is not newer. `ahead` is the mark up to which a batch was read that is
    still being written: what it has of the topic before goes out with the marks it was given.
    """
    mark = state.inputs.get(cluster)
    if mark is None:
        return _from(Finding.NO_INDEX, kept.first, 0, state, cluster, 0)
    base = state.base(cluster)
    offset = mark - base
    highest = max(mark, ahead)
    if highest - base > kept.next or offset < 0:
        return _from(Finding.REMADE, kept.first, 0, state, cluster, highest)
    if offset < kept.first:
        return _from(Finding.EXPIRED, kept.first, kept.first - offset, state, cluster, base)
    finding = Finding.AGREES if offset == kept.next else Finding.BEHIND
    return _from(finding, offset, 0, state, cluster, base)


def _from(
    finding: Finding, offset: int, lost: int, state: State, cluster: str, base: int
) -> Resume:
    found = msgspec.structs.replace(state, bases={**state.bases, cluster: base})
    return Resume(
        finding=finding,
        offset=offset,
        lost=lost,
        state=found.read_up_to({cluster: offset + base}, 0),
    )
