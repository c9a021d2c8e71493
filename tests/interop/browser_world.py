"""A gateway for browsers, over TLS, and what pages of the tests do with others' packages on it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VoiceGrant

from tests.integration.sip.peers import Authority
from tests.integration.voice.test_spoken import ask
from tests.integration.voice.world import ACCOUNT, World, world
from tests.interop.chromium_peer import Chromium, Page

SDK = "node_modules/@twilio/voice-sdk/dist/twilio.min.js"
JSSIP = "bundles/jssip.js"
SIPJS = "bundles/sip.js"
# Keeps the WebSockets of a page within reach; while `isOut` new ones lead nowhere.
SOCKETS = """
(() => {
  const Theirs = WebSocket;
  window.sockets = []; window.isOut = false;
  window.WebSocket = class extends Theirs {
    constructor(url, ...given) {
      super(window.isOut ? "wss://127.0.0.1:9/" : url, ...given);
      window.sockets.push(this);
    }
  };
})()
"""
# What the page of a device has: the newest call, and all that was told of it, in order.
_DEVICE = """
(async () => {{
  window.events = []; window.messages = [];
  window.device = new Twilio.Device({token}, {options});
  window.watch = (call) => {{
    window.call = call;
    for (const name of ["ringing", "accept", "disconnect", "cancel", "reject", "reconnecting",
                        "reconnected"])
      call.on(name, () => window.events.push(name));
    call.on("error", (error) => window.events.push("error " + error.code));
    call.on("messageReceived", (message) => window.messages.push(message.content));
    call.on("messageSent", () => window.events.push("messageSent"));
  }};
  device.on("registered", () => window.events.push("registered"));
  device.on("unregistered", () => window.events.push("unregistered"));
  device.on("tokenWillExpire", () => window.events.push("tokenWillExpire"));
  device.on("error", (error) => window.events.push("device error " + error.code));
  device.on("incoming", (call) => {{ watch(call); window.events.push("incoming"); }});
}})()
"""


@asynccontextmanager
async def gateway(folder: Path, config: str, twiml: str = "") -> AsyncIterator[World]:
    """One that listens with TLS too, for the SDK speaks nothing else."""
    shown = Authority(folder).sign("http", "127.0.0.1")
    http = "\n".join(
        [
            'tls_listen = "127.0.0.1:0"',
            f"tls_cert = {json.dumps(shown.chain)}",
            f"tls_key = {json.dumps(shown.key)}",
        ]
    )
    async with world(folder, config, twiml or "<Response/>", http=http) as here:
        yield here


class Access:
    """A key of the account and an application of the app's, and the tokens that they make."""

    def __init__(self, key: dict[str, Any], application: str) -> None:
        self._key = key
        self._application = application

    @property
    def key_sid(self) -> str:
        return str(self._key["sid"])

    def token(self, identity: str, ttl: int = 600) -> str:
        """One that the official library made."""
        made = AccessToken(
            ACCOUNT, self._key["sid"], self._key["secret"], identity=identity, ttl=ttl
        )
        made.add_grant(VoiceGrant(incoming_allow=True, outgoing_application_sid=self._application))
        return str(made.to_jwt())


async def access(here: World) -> Access:
    """Make a key and an application whose voice URL is the app's `/voice`."""
    status, key = await ask(here, "POST", "/Keys.json", FriendlyName="browsers")
    assert status == 201, key
    url = f"{here.app.url}/voice"
    status, application = await ask(here, "POST", "/Applications.json", VoiceUrl=url)
    assert status == 201, application
    return Access(key, application["sid"])


async def device(
    here: World, browser: Chromium, token: str, first: str = "", **options: object
) -> Page:
    """A page with a device of the official SDK, not registered; `first` runs before all of it."""
    page = await browser.page(SDK, first=first)
    given = {
        "chunderw": f"127.0.0.1:{here.gateway.ports['https']}",
        "publishEvents": False,
        "logLevel": "silent",
        **options,
    }
    await page.run(_DEVICE.format(token=json.dumps(token), options=json.dumps(given)))
    await page.run("device.audio.incoming(false)")
    return page


async def told(page: Page, event: str) -> None:
    """Return when a page was told something."""
    await page.until(f"window.events.includes({json.dumps(event)})")


async def connect(page: Page, **parameters: str) -> None:
    """Call."""
    await page.run(
        f"device.connect({{params: {json.dumps(parameters)}}}).then((made) => watch(made))"
    )
