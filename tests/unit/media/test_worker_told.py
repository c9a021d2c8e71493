"""What is said in one turn goes to the other end in one piece; what comes is taken as it comes."""

import asyncio
from typing import Any, cast

from gateway.media import wire
from gateway.media.link import Link


class Transport:
    """Keeps what was written, piece by piece."""

    is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_closed = False

    def write(self, octets: bytes) -> None:
        self.pieces.append(octets)

    def is_closing(self) -> bool:
        return self.is_closed


REPORTS = [wire.Ended(call="CA1"), wire.Ended(call="CA2"), wire.FellSilent(call="CA3", leg="1")]


def linked(took: list[Any]) -> tuple[Link[wire.Report], Transport]:
    link, transport = Link(wire.ReportReader().read, took.append), Transport()
    link.connection_made(cast(Any, transport))
    return link, transport


async def test_reports_of_a_turn_are_written_together() -> None:
    link, transport = linked([])
    for report in REPORTS:
        link.say(report)
    assert transport.pieces == []
    await asyncio.sleep(0)
    (piece,) = transport.pieces
    assert wire.ReportReader().read(piece) == REPORTS
    link.say(REPORTS[0])
    await asyncio.sleep(0)
    assert wire.ReportReader().read(transport.pieces[1]) == REPORTS[:1]


async def test_reports_are_taken_however_the_stream_is_cut() -> None:
    took: list[Any] = []
    link, _ = linked(took)
    octets = b"".join(wire.write(each) for each in REPORTS)
    for at in range(0, len(octets), 7):
        link.data_received(octets[at : at + 7])
    assert took == REPORTS


async def test_who_raises_ends_the_link_and_is_told_of() -> None:
    """The loop itself says nothing of an OSError."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    link, transport = linked([])

    def take(report: Any) -> None:
        raise OSError(24, "too many open files")

    link.take = take
    link.data_received(wire.write(REPORTS[0]))
    assert transport.is_aborted
    assert [type(each["exception"]) for each in told] == [OSError]


async def test_nothing_is_written_to_who_is_gone() -> None:
    link, transport = linked([])
    link.say(REPORTS[0])
    transport.is_closed = True
    link.connection_lost(None)
    await link.gone
    await asyncio.sleep(0)
    assert transport.pieces == []
    link.connection_lost(None)  # harmless
