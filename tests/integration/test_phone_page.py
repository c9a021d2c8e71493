"""The softphone as it is served: a page that loads nothing from elsewhere, and what it asks."""

import re
import time
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rest_world import World, basic, rest_world
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VoiceGrant

from gateway.access.tokens import Access, Grant, Tokens, mint
from gateway.access.turn import IceServers

TURN = "turn:turn.example:3478?transport=udp"
URL = re.compile(r"\b(?:https?|wss?|ftp)://[^\s\"'`<)]*|[\"'(]//[^\s\"'`]+")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


class Page(HTMLParser):
    """What a page loads, what it names, and what of it a keyboard and a reader need."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.labels: set[str] = set()
        self.fields: list[dict[str, str | None]] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [str(given[name]) for name in ("src", "href", "action") if name in given]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self.inline += [tag] * (tag == "style" or (tag == "script" and "src" not in given))
        if given.get("id"):
            self.ids.add(str(given["id"]))
        if tag == "label":
            self.labels.add(str(given["for"]))
        if tag in ("input", "select", "textarea", "meter"):
            self.fields.append(given)


async def shown(world: World, path: str) -> tuple[str, dict[str, str]]:
    status, body, headers = await world.ask("GET", path)
    assert status == 200, (path, body)
    return body.decode(), dict(headers)


async def test_the_page_loads_nothing_from_elsewhere(world: World) -> None:
    text, _ = await shown(world, "/phone")
    page = Page()
    page.feed(text)
    assert page.inline == []  # which its policy would refuse
    paths = {each for each in page.loads if each != "data:,"}
    modules = {"/phone/phone.js"}
    seen: set[str] = set()
    while modules - seen:
        path = (modules - seen).pop()
        seen.add(path)
        script, headers = await shown(world, path)
        assert headers["Content-Type"] == "text/javascript; charset=utf-8"
        modules |= set(re.findall(r'from "([^"]+)"', script))
    assert paths == {"/phone/phone.css", "/phone/phone.js"}
    assert modules == {f"/phone/{each}.js" for each in ("phone", "call", "signal")}
    named: set[str] = set()
    for path in ("/phone", *paths, *modules):
        text, headers = await shown(world, path)
        named |= set(URL.findall(text))
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert not re.search(r"unsafe|\*|https?:", policy)
        assert "script-src 'self';" in policy and "connect-src 'self';" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "microphone=(self)" in headers["Permissions-Policy"]
    assert named == {"http://127.0.0.1", "https://"}  # what a person reads of how to open it


async def test_all_of_it_has_a_name_for_who_sees_nothing(world: World) -> None:
    page = Page()
    text, _ = await shown(world, "/phone")
    page.feed(text)
    assert {each["id"] for each in page.fields} == page.labels
    scripts = "".join([(await shown(world, f"/phone/{n}.js"))[0] for n in ("phone", "call")])
    assert set(re.findall(r'\$\("([\w-]+)"\)', scripts)) <= page.ids
    assert 'role="alertdialog"' in text and 'aria-live="polite"' in text
    assert "accept the certificate" in " ".join(text.split())


async def ask_token(world: World, header: str = "", **form: str) -> tuple[int, Any]:
    headers = {"Authorization": header} if header else {}
    status, body, _ = await world.ask("POST", "/phone/token", data=form, headers=headers)
    return status, body


async def test_a_token_is_made_for_this_machine_alone(world: World) -> None:
    owner = basic(world.main.sid, world.main.auth_token)
    status, body = await ask_token(world, owner, Identity="alice")
    assert (status, body["code"]) == (403, 20006)
    object.__setattr__(world.services, "is_local", True)
    status, body = await ask_token(world, Identity="alice")
    assert (status, body["code"]) == (401, 20003)
    client = world.sdk(world.main)
    made = await world.call(lambda: client.applications.create(voice_url="https://app.example"))
    tokens = Tokens(world.services.keys.find, lambda sid: True)
    for _ in range(2):
        status, body = await ask_token(world, owner, Identity="alice", ApplicationSid=made.sid)
        assert status == 201
        access = tokens.verify(body["token"], time.time())
        assert isinstance(access, Access)
        assert (access.identity, access.outgoing_application_sid) == ("alice", made.sid)
    (key,) = world.services.keys.of_account(world.main.sid)  # the second took that of the first
    assert key.friendly_name == "softphone"
    by_key = basic(key.sid, key.secret)
    for header, form, code in (
        (by_key, {"Identity": "alice"}, 20006),
        (owner, {"Identity": ""}, 20001),
        (owner, {"Identity": "a\nb"}, 20001),
        (owner, {"Identity": "alice", "Ttl": "86401"}, 20001),
        (owner, {"Identity": "alice", "ApplicationSid": f"AP{9:032x}"}, 21218),
        (basic(world.test.sid, world.test.auth_token), {"Identity": "alice"}, 20008),
    ):
        _, body = await ask_token(world, header, **form)
        assert body["code"] == code, form


async def test_who_shows_a_token_is_told_of_servers(world: World) -> None:
    servers = IceServers(urls=(TURN,), secret="s")
    object.__setattr__(world.services, "ice_servers", lambda: servers)
    key = await world.services.keys.add(world.main.sid, "", time.time())
    made = AccessToken(world.main.sid, key.sid, key.secret, identity="alice", ttl=600)
    made.add_grant(VoiceGrant(incoming_allow=True))
    status, body, _ = await world.ask("POST", "/phone/ice", data={"Token": made.to_jwt()})
    (server,) = body["ice_servers"]
    names = set()
    for identity in ("customer-1", "customer-2", "alice"):
        theirs = mint(key, Grant(identity=identity), time.time(), 600)
        _, other, _ = await world.ask("POST", "/phone/ice", data={"Token": theirs})
        names.add(other["ice_servers"][0]["username"].partition(":")[2])
    assert len(names) == 3  # who relays counts by names
    assert server["username"].partition(":")[2] in names  # and one person has one
    assert (status, server["urls"]) == (200, TURN)
    assert 590 <= int(server["username"].partition(":")[0]) - time.time() <= 600
    await world.services.keys.remove(key.sid, time.time())
    for token in (made.to_jwt(), "", "x" * 100_000):
        status, body, _ = await world.ask("POST", "/phone/ice", data={"Token": token})
        assert status == 401 and "ice_servers" not in body
