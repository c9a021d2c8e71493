"""A web app that does everything wrong: its code, its fallback, and how the call ends."""

import asyncio
from pathlib import Path

import pytest

from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import CONFIG, DOMAIN
from tests.integration.voice.test_spoken import FAKE
from tests.integration.voice.world import ACCOUNT, World, world
from tests.integration.webhook_servers import (
    Reply,
    Seen,
    Server,
    answer,
    octets,
    redirect,
    serving,
    twiml,
)

HANGUP = b"<Response><Hangup/></Response>"
ENTITIES = b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><Response>&b;</Response>'
DTD = b'<!DOCTYPE r SYSTEM "http://192.0.2.1/x.dtd"><Response/>'
XML = "text/xml"


async def slow_headers(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
    for octet in b"HTTP/1.1 200 OK\r\n":
        writer.write(bytes([octet]))
        await asyncio.sleep(0.1)


async def slow_body(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 99\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await asyncio.sleep(0.1)


# What the app does, and Twilio's code for it.
WRONG: dict[str, tuple[Reply, int]] = {
    "slow headers": (slow_headers, 11203),
    "slow body": (slow_body, 11203),
    "endless redirects": (redirect(302, "/again"), 11215),
    "65 kB": (answer(body=b"x" * 65_537, Content_Type=XML), 11750),
    "wrong type": (answer(body=HANGUP, Content_Type="image/png"), 12300),
    "no type": (answer(body=HANGUP), 12300),
    "bad XML": (twiml("<Response><Hangup>"), 12100),
    "entities": (answer(body=ENTITIES, Content_Type=XML), 12100),
    "DTD": (answer(body=DTD, Content_Type=XML), 12100),
    "space before the declaration": (
        answer(body=b' <?xml version="1.0"?>' + HANGUP, Content_Type=XML),
        12100,
    ),
    "chunked and empty": (
        octets(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        11770,
    ),
}


@pytest.fixture
async def alice(open_phone: OpenPhone) -> Phone:
    return await open_phone("alice", DOMAIN, tone=440, password="pa")


async def called(here: World, alice: Phone, url: str) -> tuple[dict[str, str], str]:
    """What the fallback was asked when the call was sent to `url`, and how the call ended."""
    here.app.twiml = f"<Response><Redirect>{url}</Redirect></Response>"
    here.app.asked.clear()
    before = len(alice.told)
    alice.call("anybody", here.hop())
    form = await here.app.until("/fallback")
    await alice.until(events.HungUp, since=before)
    await here.ended()
    return form, str((await here.call(form["CallSid"])).status)


async def test_each_wrong_has_its_code_and_leads_to_the_fallback(
    tmp_path: Path, alice: Phone
) -> None:
    fallback = '\nvoice_fallback_url = "{app}/fallback"\nvoice_status'
    config = CONFIG.replace("\nvoice_status", fallback, 1)
    config = config.replace("{first}", "").replace("{second}", "9").replace("{limits}", FAKE)
    now: list[Reply] = []

    async def reply(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        await now[0](server, seen, writer)

    async with (
        world(tmp_path, config) as here,
        serving(reply) as server,
        serving(twiml("<Response/>"), certificate="good") as unsafe,
    ):
        await alice.register(here.hop())
        here.app.pages["/fallback"] = "<Response><Hangup/></Response>"
        found: dict[str, tuple[str, str]] = {}
        for name, (wrong, _) in WRONG.items():
            now[:] = [wrong]
            url = f"{server.origin}/wrong#tt=400&amp;rc=0"
            form, status = await called(here, alice, url)
            assert form["ErrorUrl"].startswith(server.origin)
            found[name] = form["ErrorCode"], status
        for name, url in (("TLS", unsafe.origin), ("internal", "http://10.1.2.3/")):
            form, status = await called(here, alice, f"{url}#tt=400&amp;rc=0")
            found[name] = form["ErrorCode"], status
        codes = {name: str(code) for name, (_, code) in WRONG.items()}
        codes |= {"TLS": "11237", "internal": "11205"}
        assert found == {name: (code, "completed") for name, code in codes.items()}
        # And where the fallback is no better that is said, and the call ends, answered as it is.
        here.app.pages["/fallback"] = "<Response>"
        now[:] = [answer("500 Oops")]
        form, status = await called(here, alice, server.origin)
        assert (form["ErrorCode"], status) == ("11200", "completed")
        noted = await here.get(
            f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{form['CallSid']}/Notifications.json"
        )
        said = {each["error_code"] for each in noted["notifications"]}
        assert said == {"11200", "12100"}
