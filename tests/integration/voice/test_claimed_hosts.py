"""What a peer says of its own host is in the graph before anything is agreed on."""

from pathlib import Path
from typing import Any

import pytest

from gateway.media.graph import Graph, Leg
from gateway.media.workers import Workers
from protocols.sip import agent_events as events
from tests.integration.voice.acts import dial, user
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import CONFIG, DOMAIN
from tests.integration.voice.world import world


async def test_a_caller_is_where_its_offer_says_and_who_is_called_where_its_contact_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: dict[str, Leg] = {}
    apply = Workers.apply

    def seen(workers: Workers, graph: Graph) -> Any:
        for each in graph.nodes:
            if isinstance(each, Leg):
                first.setdefault(each.id, each)
        return apply(workers, graph)

    monkeypatch.setattr(Workers, "apply", seen)
    alice, bob = Phone("alice", DOMAIN, 440.0, "pa"), Phone("bob", DOMAIN, 880.0, "pb")
    alice.sdp_address = "10.0.0.9"
    config = CONFIG.replace("{first}", "").replace("{second}", "9").replace("{limits}", "")
    async with world(tmp_path, config, dial(user("bob"))) as here:
        for each in (alice, bob):
            await each.open()
            await each.register(here.hop())
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        legs = list(first.values())
        assert [each.claimed for each in legs] == ["10.0.0.9", "127.0.0.1"]
        assert [each.signalling for each in legs] == ["127.0.0.1"] * 2
        assert [each.stream for each in legs] == [None, None]
        alice.hang_up()
        await bob.until(events.HungUp)
        await here.ended()
        for each in (alice, bob):
            await each.close()
