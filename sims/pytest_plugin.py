"""A pytest plugin: an app is tested against a gateway with simulated phones and handsets.

The fixture `trunkline` is a gateway, a child process on free ports, with a simulated carrier;
`webapp` is an app that answers with what the test says. docs/testing.md shows them at work. Nothing
is started, nor loaded, for tests that ask for neither.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from sims.plugin_gateway import Door, GatewayProcess
    from sims.plugin_phones import Phone
    from sims.plugin_texts import Messages
    from sims.plugin_webapp import WebApp

_SCOPES: Final = ("session", "package", "module", "class", "function")
_END_WITHIN: Final = 10.0  # seconds, for the calls of a test
_LIVE: Final = frozenset({"queued", "initiated", "ringing", "in-progress"})


class Trunkline:
    """What a test has of its gateway."""

    def __init__(self, process: "GatewayProcess", door: "Door") -> None:
        from sims.plugin_texts import Messages

        self.data: Path = process.data
        self.log: Path = process.log
        self.messages: Messages = Messages(door)
        self._door = door
        self._phones: dict[str, Phone] = {}
        self._numbers: list[dict[str, Any]] = self._listed_numbers()
        self._changed: dict[str, dict[str, str]] = {}  # numbers, and what they had

    @property
    def url(self) -> str:
        """Where its REST is: the base URL for an SDK."""
        return self._door.url

    @property
    def account_sid(self) -> str:
        """The account."""
        return self._door.account_sid

    @property
    def auth_token(self) -> str:
        """Its token."""
        return self._door.auth_token

    @property
    def number(self) -> str:
        """The account's first number."""
        if not self._numbers:
            raise AssertionError("the account has no number; add [[numbers]] to trunkline_config")
        return str(self._numbers[-1]["phone_number"])

    @property
    def client(self) -> Any:
        """The official client, pointed here."""
        try:
            from twilio.rest import Client
        except ImportError:
            pytest.fail("trunkline.client is of the twilio package: pip install twilio")
        client = Client(self.account_sid, self.auth_token)
        client.api.base_url = self.url
        return client

    def request(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | None = None,
        content: object = None,
    ) -> Any:
        """REST without a client: `request("GET", "/2010-04-01/Accounts/…/Calls.json")`."""
        return self._door.ask(method, path, form=form, content=content)

    def phone(self, number: str) -> "Phone":
        """A simulated phone, the same for the same number."""
        from sims.plugin_phones import Phone

        if number not in self._phones:
            self._phones[number] = Phone(self._door, number)
        return self._phones[number]

    def answer_calls(self, url: str, number: str = "", **settings: str) -> None:
        """Have calls to a number answered by the app at `url`, until the test is over."""
        self._change(number, {"VoiceUrl": url, "VoiceMethod": "POST", **settings})

    def answer_texts(self, url: str, number: str = "", **settings: str) -> None:
        """Have texts to a number answered by the app at `url`, until the test is over."""
        self._change(number, {"SmsUrl": url, "SmsMethod": "POST", **settings})

    def calls(self) -> list[dict[str, Any]]:
        """The gateway's newest calls, newest first."""
        page = self._door.ask("GET", f"{self._door.account}/Calls.json?PageSize=200")
        found: list[dict[str, Any]] = page["calls"]
        return found

    def end_calls(self) -> None:
        """Let every phone hang up, and wait until no call goes on."""
        from sims.plugin_gateway import wait_for

        self._door.ask("DELETE", "/sim/phones")
        if not wait_for(lambda: not self._live(), _END_WITHIN):
            left = ", ".join(f"{each['sid']} {each['status']}" for each in self._live())
            warnings.warn(f"calls go on after their test: {left}", stacklevel=2)

    def clean(self) -> None:
        """End calls, forget what was heard, and put numbers back as they were."""
        from sims.plugin_notices import pass_over

        self.end_calls()
        pass_over(self._door)
        for number, before in self._changed.items():
            self._update(number, before)
        self._changed.clear()
        self._door.ask("DELETE", "/sim")

    def _live(self) -> list[dict[str, Any]]:
        return [each for each in self.calls() if each["status"] in _LIVE]

    def _listed_numbers(self) -> list[dict[str, Any]]:
        page = self._door.ask("GET", f"{self._door.account}/IncomingPhoneNumbers.json")
        found: list[dict[str, Any]] = page["incoming_phone_numbers"]
        return found

    def _change(self, number: str, form: Mapping[str, str]) -> None:
        """Update a number, and keep what it had."""
        before = self._update(number or self.number, form)
        kept = self._changed.setdefault(before["phone_number"], {})
        for name in form:
            kept.setdefault(name, before.get(_field(name)) or "")

    def _update(self, number: str, form: Mapping[str, str]) -> dict[str, Any]:
        """The number as it was."""
        for each in self._listed_numbers():
            if each["phone_number"] == number:
                path = f"{self._door.account}/IncomingPhoneNumbers/{each['sid']}.json"
                self._door.ask("POST", path, form=form)
                return each
        raise AssertionError(f"{number} is no number of the account; its own is {self.number}")


def _field(name: str) -> str:
    """The field of an answer that a parameter sets: VoiceUrl is voice_url."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What pytest's configuration may say."""
    parser.addini("trunkline_config", "the gateway's config file; default: none", type="paths")
    parser.addini("trunkline_scope", f"how long a gateway lives: {', '.join(_SCOPES)}", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what can't be followed, before any test."""
    scope = config.getini("trunkline_scope")
    if scope and scope not in _SCOPES:
        raise pytest.UsageError(f"trunkline_scope is one of {', '.join(_SCOPES)}, not {scope!r}")


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    return config.getini("trunkline_scope") or "session"


@pytest.fixture(scope="session")
def trunkline_settings() -> Mapping[str, str]:
    """Variables of the gateway's environment, to be overridden: `TRUNKLINE_SECTION__KEY`."""
    return {}


@pytest.fixture(scope=_scope)
def trunkline_gateway(
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
    trunkline_settings: Mapping[str, str],
) -> "Iterator[tuple[GatewayProcess, Door]]":
    """The gateway's process, and REST to it."""
    from sims.plugin_gateway import GatewayProcess

    config: list[Path] = pytestconfig.getini("trunkline_config")
    folder = tmp_path_factory.mktemp("trunkline")
    process = GatewayProcess(folder, config[0] if config else None, trunkline_settings)
    try:
        yield process, process.start()
    finally:
        process.stop()


@pytest.fixture
def trunkline(trunkline_gateway: "tuple[GatewayProcess, Door]") -> Iterator[Trunkline]:
    """A gateway with simulated phones and handsets; nothing is left of it for the next test."""
    gateway = Trunkline(*trunkline_gateway)
    yield gateway
    gateway.clean()


@pytest.fixture
def messages(trunkline: Trunkline) -> "Messages":
    """The handsets of `trunkline`."""
    return trunkline.messages


@pytest.fixture
def webapp(trunkline: Trunkline) -> "Iterator[WebApp]":
    """An app that answers the gateway with what the test says."""
    from sims.plugin_webapp import WebApp

    app = WebApp(trunkline.auth_token)
    yield app
    trunkline.end_calls()  # the app hears how they ended
    app.close()
