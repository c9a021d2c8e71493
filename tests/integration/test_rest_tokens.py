"""Tokens.json with the official SDK."""

from pathlib import Path

import pytest
from rest_world import rest_world
from twilio.base.exceptions import TwilioRestException

from gateway.access.turn import IceServers

TURN = "turn:turn.example:3478?transport=udp"


async def test_a_browser_is_given_what_lets_it_in(tmp_path: Path) -> None:
    async with rest_world(tmp_path) as world:
        client = world.sdk(world.main)
        alone = await world.call(client.tokens.create)
        assert (alone.ice_servers, alone.username, alone.ttl) == ([], "", "86400")
        servers = IceServers(urls=(TURN,), secret="s", ttl=7200)
        object.__setattr__(world.services, "ice_servers", lambda: servers)
        first, second = (
            await world.call(lambda: client.tokens.create(ttl=600)),
            await world.call(client.tokens.create),
        )
        assert (first.ttl, second.ttl) == ("600", "7200")
        assert first.account_sid == world.main.sid and first.date_created is not None
        ends, _, name = first.username.partition(":")
        assert 0 < int(ends) - world.services.clock() <= 600
        assert name.startswith(f"{world.main.sid}.")
        assert name != second.username.partition(":")[2]
        assert first.ice_servers == [
            {"url": TURN, "urls": TURN, "username": first.username, "credential": first.password}
        ]
        with pytest.raises(TwilioRestException) as error:
            await world.call(lambda: client.tokens.create(ttl=-1))
        assert error.value.code == 20001
