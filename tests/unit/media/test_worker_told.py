"""What a worker tells in one turn goes to the plane in one piece."""

import asyncio
from typing import Any, cast

from gateway.media import wire
from gateway.media.worker import _Connection


class Writer:
    """Keeps what was written, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, octets: bytes) -> None:
        self.pieces.append(octets)


async def test_reports_of_a_turn_are_written_together() -> None:
    writer = Writer()
    connection = _Connection(asyncio.StreamReader(), cast(Any, writer))
    reports = [wire.Ended(call="CA1"), wire.Ended(call="CA2"), wire.FellSilent(call="CA3", leg="1")]
    for report in reports:
        connection.tell(report)
    assert writer.pieces == []
    await asyncio.sleep(0)
    (piece,) = writer.pieces
    assert wire.ReportReader().read(piece) == reports
    connection.tell(reports[0])
    await asyncio.sleep(0)
    assert wire.ReportReader().read(writer.pieces[1]) == reports[:1]
