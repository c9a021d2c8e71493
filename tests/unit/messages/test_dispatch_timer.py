"""When the pump of messages wakes by itself, and when it waits to be woken."""

from pathlib import Path

import pytest

from carriers.events import BindUp
from gateway.messages.dispatch import Dispatcher
from protocols.smpp.constants import CommandStatus
from tests.unit.messages.path_world import path_world


async def test_what_is_due_and_finds_no_room_does_not_make_the_pump_poll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever frees a slot or comes up wakes it."""
    pumps: list[Dispatcher] = []
    pump = Dispatcher._pump

    def noted(dispatcher: Dispatcher) -> None:
        pumps.append(dispatcher)
        pump(dispatcher)

    monkeypatch.setattr(Dispatcher, "_pump", noted)
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        await world.say(world.answer(world.out[0], status=CommandStatus.ESME_RSYSERR))
        dispatcher = pumps[-1]
        assert dispatcher._timer is not None, "the next attempt is due later"
        world.network.room = 0
        world.now += 600.0
        pumps.clear()
        await world.say(BindUp(carrier="acme", bind=1, at=world.now))
        assert pumps and dispatcher._timer is None
        assert world.out == []
        world.network.room = 1
        await world.say(BindUp(carrier="acme", bind=1, at=world.now))
        assert [(each.sid, each.attempt) for each in world.out] == [(sid, 2)]
