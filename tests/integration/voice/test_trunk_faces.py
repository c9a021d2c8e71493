"""Trunks as an operator sees and steers them: REST, metrics, the command line, a reload."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway import config as configuration
from protocols.sip import agent_events as events
from tests.integration.voice import test_joined_calls as calls
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.world import World, until, world

REGISTRAR = """
[[domains]]
name = "carrier.example"
users = [{ username = "alice", password = "secret" }]
"""
DIAL = '<Response><Dial answerOnBridge="true" action="/after">+447700900002</Dial></Response>'
TRUNK = """
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:{port}"
domain = "carrier.example"
register = true
username = "alice"
password = "{password}"
emergency = []
options_interval = "1s"
channels = 30
cps = 5
"""


def trunk_to(carrier: World, password: str = "secret") -> str:
    port = carrier.gateway.ports["sip_udp"]
    return TRUNK.replace("{port}", str(port)).replace("{password}", password)


@asynccontextmanager
async def two(folder: Path, password: str = "secret") -> AsyncIterator[tuple[World, World]]:
    """A gateway that is a carrier, and one that has a trunk to it."""
    for name in ("carrier", "ours"):
        (folder / name).mkdir()
    async with (
        world(folder / "carrier", REGISTRAR) as carrier,
        world(folder / "ours", trunk_to(carrier, password)) as ours,
    ):
        yield carrier, ours


async def nothing_is_bound(carrier: World) -> None:
    async def is_empty() -> bool:
        return not await bindings(carrier)

    await until(is_empty)


async def until_registered(here: World) -> dict[str, Any]:
    """How the trunk stands when it is registered."""

    async def shown() -> dict[str, Any] | None:
        found: dict[str, Any] = await here.get("/v1/carriers/acme")
        registration = found["trunk"]["registration"]
        return found if registration and registration["state"] == "registered" else None

    return dict(await until(shown))


async def bindings(carrier: World) -> list[dict[str, Any]]:
    """What is registered there; a refresh would show in the times."""
    found = await carrier.get("/v1/registrations")
    return list(found["registrations"])


async def metrics(here: World) -> str:
    async with here.http.get(here.url + "/metrics") as response:
        return await response.text()


async def post(here: World, path: str) -> Any:
    async with here.http.post(here.url + path) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_rest_shows_how_a_trunk_stands(tmp_path: Path) -> None:
    async with two(tmp_path) as (carrier, ours):
        shown = await until_registered(ours)
        port = carrier.gateway.ports["sip_udp"]
        assert (shown["name"], shown["kind"], shown["state"]) == ("acme", "sip", "bound")
        trunk = shown["trunk"]
        registration = trunk["registration"]
        assert registration["server"] == f"sip:127.0.0.1:{port}"
        assert registration["expires_at"] and registration["failures"] == 0
        (gateway,) = trunk["gateways"]
        assert (gateway["uri"], gateway["state"]) == (f"sip:127.0.0.1:{port}", "up")
        assert (trunk["calls"], trunk["channels"], trunk["cps"]) == (0, 30, 5.0)
        assert trunk["addresses"] == ["127.0.0.1"]
        listed = await ours.get("/v1/carriers")
        assert [(each["name"], each["kind"]) for each in listed["carriers"]] == [("acme", "sip")]
        assert len(await bindings(carrier)) == 1
        page = await metrics(ours)
        for line in (
            'trunkline_trunk_state{carrier="acme",state="bound"} 1.0',
            'trunkline_trunk_registered{carrier="acme"} 1.0',
            'trunkline_trunk_gateways_up{carrier="acme"} 1.0',
            'trunkline_trunk_channels{carrier="acme"} 30.0',
            "trunkline_media_workers 1.0",
            'trunkline_media_calls{worker="0"} 0.0',
        ):
            assert line in page
        assert "trunkline_sip_registrations 1.0" in await metrics(carrier)


async def test_a_refused_account_says_why(tmp_path: Path) -> None:
    async with two(tmp_path, password="wrong") as (carrier, ours):

        async def troubled() -> dict[str, Any] | None:
            found: dict[str, Any] = await ours.get("/v1/carriers/acme")
            return found if found["trunk"]["trouble"] else None

        shown = await until(troubled)
        assert shown["state"] == "degraded" and "not registered" in shown["reason"]
        registration = shown["trunk"]["registration"]
        assert registration["state"] == "trying" and registration["next_in"] > 0
        assert "did not register us" in shown["trunk"]["trouble"]
        assert 'trunkline_trunk_registered{carrier="acme"} 0.0' in await metrics(ours)
        assert 'trunkline_sip_refused_total{rule="other"}' in await metrics(carrier)


async def test_draining_takes_the_registration_back_and_outlives_a_restart(
    tmp_path: Path,
) -> None:
    for name in ("carrier", "ours"):
        (tmp_path / name).mkdir()
    async with world(tmp_path / "carrier", REGISTRAR) as carrier:
        config = trunk_to(carrier)
        async with world(tmp_path / "ours", config) as ours:
            await until_registered(ours)
            assert (await post(ours, "/v1/carriers/acme/drain"))["state"] == "draining"
            await nothing_is_bound(carrier)
        async with world(tmp_path / "ours", config) as ours:
            shown = await ours.get("/v1/carriers/acme")
            assert (shown["state"], shown["trunk"]["registration"]) == ("draining", None)
            assert await bindings(carrier) == []
            assert (await post(ours, "/v1/carriers/acme/resume"))["state"] != "draining"
            await until_registered(ours)
            assert (await post(ours, "/v1/carriers/acme/pause"))["state"] == "paused"
            assert len(await bindings(carrier)) == 1, "who pauses stays registered"


async def test_a_reload_keeps_the_registration_of_a_trunk_that_did_not_change(
    tmp_path: Path,
) -> None:
    async with two(tmp_path) as (carrier, ours):
        await until_registered(ours)
        (before,) = await bindings(carrier)
        file = tmp_path / "ours" / "trunkline.toml"
        file.write_text(file.read_text().replace("channels = 30", "channels = 2"))
        config = configuration.load(file, {})
        await ours.gateway.reload(config)
        shown = await until_registered(ours)
        assert shown["trunk"]["channels"] == 2
        assert await bindings(carrier) == [before]
        await ours.gateway.reload(replace(config, carriers=()))
        await nothing_is_bound(carrier)
        assert (await ours.get("/v1/carriers"))["carriers"] == []


async def test_calls_that_are_up_outlive_what_is_done_to_their_trunk(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example", tone=440)
    late = await open_phone("+447700900003", "carrier.example", tone=440)
    callee = await open_phone("callee", "carrier.example", tone=880)
    async with world(tmp_path, calls.config(callee), DIAL) as here:
        caller.call(calls.NUMBER, here.hop())
        await caller.until(events.Answered)
        await caller.sound.hears(880)
        shown = await here.get("/v1/carriers/acme")
        assert (shown["trunk"]["calls"], shown["trunk"]["registration"]) == (2, None)
        page = await metrics(here)
        assert 'trunkline_calls{direction="inbound"} 1.0' in page
        assert 'trunkline_calls{direction="outbound-dial"} 1.0' in page
        assert 'trunkline_trunk_calls{carrier="acme"} 2.0' in page
        assert 'trunkline_media_calls{worker="0"} 1.0' in page
        assert (await post(here, "/v1/carriers/acme/pause"))["state"] == "paused"
        late.call(calls.NUMBER, here.hop())
        refused = await here.app.until("/after")
        assert refused["DialCallStatus"] == "failed"
        file = tmp_path / "trunkline.toml"
        await here.gateway.reload(replace(configuration.load(file, {}), carriers=()))
        assert (await here.get("/v1/carriers"))["carriers"] == []
        caller.sound.heard.clear()
        await caller.sound.hears(880)
        caller.hang_up()
        await callee.until(events.HungUp)
        await here.ended()
        assert here.ledger() == {}
        page = await metrics(here)
        assert 'trunkline_calls_ended_total{direction="inbound",status="completed"}' in page
        assert "trunkline_call_post_dial_seconds_count 1.0" in page
        assert "trunkline_call_mos_count 0.0" not in page
