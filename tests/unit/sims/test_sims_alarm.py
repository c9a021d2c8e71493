"""The alarm of a simulated carrier under uvloop, whose handle of what is due has no time."""

import asyncio

import uvloop

from sims.faults import Timing
from sims.ledger import Ledger
from sims.message_ids import MessageIds
from sims.script import texts
from sims.smsc import Settings, Smsc


class IdleWire:
    """A wire on which nothing happens."""

    congested = False

    def flush(self) -> None:
        """Nothing waits to be written."""


async def _two_reads_before_the_alarm_rings() -> list[str]:
    smsc = Smsc(Settings(), texts(Timing()), MessageIds(1), Ledger(None))
    rung = asyncio.Event()
    done: list[str] = []

    def second() -> None:
        done.append("second")
        rung.set()

    smsc._agenda.add(0.0, lambda: done.append("first"))
    smsc.happened(IdleWire(), [])
    smsc._agenda.add(0.0, second)
    smsc.happened(IdleWire(), [])
    async with asyncio.timeout(60):
        await rung.wait()
    await smsc.close()
    return done


def test_what_is_due_at_once_is_done_when_more_comes_before_it() -> None:
    assert uvloop.run(_two_reads_before_the_alarm_rings()) == ["first", "second"]
