"""What the config file may say, and what a person is told when it says something else."""

from dataclasses import fields
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path

import pytest

from carriers.model import CarrierKind, OnUncertain
from gateway.config import LISTS, SECTIONS, Config, ConfigError, load
from gateway.forms import Address, Secret
from gateway.model import MessageStates

ACME = """
[[carriers]]
name = "acme"
kind = "smpp"
host = "smsc.example"
system_id = "me"
password = "secret"
"""

ALICE = '{ username = "a", password = "x" }'
DOMAIN = """
[[domains]]
name = "office.example"
"""


def read(tmp_path: Path, text: str, **environ: str) -> Config:
    path = tmp_path / "trunkline.toml"
    path.write_text(text)
    return load(path, environ)


def findings(tmp_path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **environ)
    return [str(finding).removeprefix(f"{tmp_path}/") for finding in caught.value.findings]


def only_finding(tmp_path: Path, text: str, **environ: str) -> str:
    found = findings(tmp_path, text, **environ)
    assert len(found) == 1, found
    return found[0]


def test_without_a_file_everything_has_its_default() -> None:
    config = load(None, {})
    assert config.http.listen == Address("127.0.0.1", 8080)
    assert config.http.tls_listen is None
    assert config.smpp.listen == Address("127.0.0.1", 2775)
    assert config.messages.max_body == 1600
    assert config.webhooks.retry_for == 4 * 3600
    assert config.webhooks.message_states is MessageStates.ALL
    assert config.webhooks.allow == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert config.daemon.drain == 5.0


def test_without_a_carrier_a_simulated_one_serves() -> None:
    (carrier,) = load(None, {}).carriers
    assert (carrier.name, carrier.kind) == ("simulated", CarrierKind.SIMULATED)


def test_a_carrier_of_the_file_replaces_the_simulated_one(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        ACME
        + """
tps = 50
window = 20
on_uncertain = "hold"
response_timeout = "2s"
receipt_grace = "1d"
price = 0.0075
prices = { "+44" = "0.03" }
[[routes]]
prefix = "+44"
carriers = ["acme"]
""",
    )
    (carrier,) = config.carriers
    assert (carrier.name, carrier.host, carrier.tps, carrier.window) == (
        "acme",
        "smsc.example",
        50.0,
        20,
    )
    assert carrier.on_uncertain is OnUncertain.HOLD
    assert (carrier.response_timeout, carrier.receipt_grace) == (2.0, 86400.0)
    assert (carrier.price, carrier.prices) == (Decimal("0.0075"), {"+44": Decimal("0.03")})
    assert config.routes[0].carriers == ("acme",)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        '[http]\nlisten = "127.0.0.1:1"\n[messages]\nmax_body = 10\n[[numbers]]\nnumber = "+1"',
        TRUNKLINE_HTTP__LISTEN="[::1]:0",
        TRUNKLINE_MESSAGES__MAX_BODY="5000",
        TRUNKLINE_WEBHOOKS__ALLOW='["10.0.0.0/8"]',
        TRUNKLINE_WEBHOOKS__RETRY_FOR="0",
        TRUNKLINE_NUMBERS='[{"number": "+442071838750", "sms_url": "http://app/sms"}]',
    )
    assert config.http.listen == Address("::1", 0)
    assert str(config.http.listen) == "[::1]:0"
    assert config.messages.max_body == 5000
    assert config.webhooks.allow == (ip_network("10.0.0.0/8"),)
    assert config.webhooks.retry_for == 0.0
    assert [number.number for number in config.numbers] == ["+442071838750"]


def test_domains_and_their_users(tmp_path: Path) -> None:
    users = '[{ username = "alice", password = "secret1" }, { username = "b", password = "env:B" }]'
    text = f'{DOMAIN}voice_url = "https://app.example/voice"\nusers = {users}'
    [domain] = read(tmp_path, text, B="secret2").domains
    assert (domain.name, domain.voice_method, domain.account) == ("office.example", "POST", "")
    assert [(user.username, user.password) for user in domain.users] == [
        ("alice", "secret1"),
        ("b", "secret2"),
    ]
    assert "secret" not in repr(domain)
    given = '[{"name": "a.example", "users": [{"username": "a", "password": "p"}]}]'
    [domain] = read(tmp_path, text, B="", TRUNKLINE_DOMAINS=given).domains
    assert (domain.name, domain.users[0].username) == ("a.example", "a")


def test_variables_that_are_no_keys_are_left_alone(tmp_path: Path) -> None:
    environ = {"TRUNKLINE_DATA": "/var", "TRUNKLINE_SERVICE_HOST": "10.0.0.1", "HOME": "/"}
    assert read(tmp_path, "", **environ) == load(None, {})


@pytest.mark.parametrize(
    ("written", "seconds"),
    [('"4h"', 14400.0), ('"1m30s"', 90.0), ('"500ms"', 0.5), ("5", 5.0), ('"0.5d"', 43200.0)],
)
def test_durations(tmp_path: Path, written: str, seconds: float) -> None:
    assert read(tmp_path, f"[daemon]\ndrain = {written}").daemon.drain == seconds


def test_an_empty_listener_is_off(tmp_path: Path) -> None:
    assert read(tmp_path, '[smpp]\nlisten = ""').smpp.listen is None


def test_loopback_is_allowed_for_webhooks_only_while_http_is_on_loopback(tmp_path: Path) -> None:
    opened = '[http]\nlisten = "0.0.0.0:8080"\n'
    assert read(tmp_path, opened).webhooks.allow == ()
    named = opened + '[webhooks]\nallow = ["127.0.0.1"]'
    assert read(tmp_path, named).webhooks.allow == (ip_network("127.0.0.1/32"),)
    behind = '[http]\nproxies = ["127.0.0.1"]'  # which is how others come to a listener on loopback
    assert read(tmp_path, behind).webhooks.allow == ()


def test_secrets_come_from_variables_and_files_and_stay_out_of_repr(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("fromfile\n")
    text = f"""
[[customers]]
system_id = "a"
password = "env:BIND_PASSWORD"
[[customers]]
system_id = "b"
password = "file:{tmp_path / "password"}"
"""
    config = read(tmp_path, text + ACME, BIND_PASSWORD="fromenv")
    assert [str(customer.password) for customer in config.customers] == ["fromenv", "fromfile"]
    assert isinstance(config.carriers[0].password, Secret)
    shown = repr(config)
    assert not any(word in shown for word in ("fromenv", "fromfile", "secret'"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[http]\nlisten = 8080",
            "trunkline.toml: [http] listen: found the integer 8080; it should be"
            ' "host:port", such as "127.0.0.1:8080" (port 0: any free one), or "" for off',
        ),
        (
            '[http]\nlistn = ""',
            "trunkline.toml: [http]: there is no key listn; did you mean listen?",
        ),
        ('[htp]\nlisten = ""', "trunkline.toml: [htp]: there is no such section; did you mean"),
        (
            "[messages]\nmax_body = true",
            "[messages] max_body: found the boolean true; it should be a whole number from 1",
        ),
        ("[messages]\nmax_body = 0", "found the integer 0; it should be a whole number from 1"),
        ('[daemon]\ndrain = "5 parsecs"', 'found the text "5 parsecs"; it should be a duration'),
        (
            '[webhooks]\nallow = ["10.0.0.1/8"]',
            'it should be a list in which item 1 is "10.0.0.0/8"',
        ),
        ('[webhooks]\nmessage_states = "some"', 'it should be "all" or "final"'),
        ('[sip]\nudp = "127.0.0.1:5060"', "[sip] udp: found the text"),
        ('[sip]\ntls = ["127.0.0.1:0"]', "[sip] tls: TLS needs a certificate"),
        ('[sip]\nmin_expires = "3h"', "[sip] min_expires: it is more than max_expires"),
        ('[rtp]\nports = "30000"', "two ports and what lies between"),
        ('[rtp]\nports = "300-200"', "two ports and what lies between"),
        ('[bus]\nurl = "kafka:9092"', 'it should be such as "kafka://a:9092,b:9092", or ""'),
        ('[[numbers]]\nnumber = "12"', "[[numbers]] 1 (12) number: found the text"),
        ("[[numbers]]\n", "[[numbers]] 1: number is missing; it should be a number in E.164"),
        ("numbers = 5", "it should be a list of tables: [[numbers]] in the file"),
        ("http = 5", "[http]: found the integer 5; it should be a table of keys"),
        ("[http", "it should be TOML"),
        (
            '[[routes]]\nprefix = "+44"\ncarriers = ["simulatde"]',
            "there is no carrier 'simulatde'; there are simulated",
        ),
        (
            '[[customers]]\nsystem_id = "a"\npassword = "123456789"',
            "password: found a secret; it should be a secret of at most 8 octets",
        ),
        (
            '[[customers]]\nsystem_id = "a"\npassword = "env:NOT_SET"',
            "it should be the name of a variable that is set; NOT_SET is not",
        ),
        ('[[domains]]\nname = "A.example"', "[[domains]] 1 (A.example) name: found the text"),
        (DOMAIN + DOMAIN, "[[domains]] 2 name: office.example stands there twice"),
        (
            DOMAIN + f"users = [{ALICE}, {ALICE}]",
            "[[domains]] 1 (office.example) users: a stands there twice",
        ),
        (
            DOMAIN + 'users = [{ username = "a", pasword = "x" }]',
            "users: found a secret; it should be a list in which item 1 is"
            " { username = …, password = … }: pasword is no key of it",
        ),
        (
            DOMAIN + 'users = [{ username = "a" }]',
            "item 1 is { username = …, password = … }: password is missing",
        ),
        (
            DOMAIN + 'users = [{ username = "a@b", password = "x" }]',
            "item 1 is { username = …, password = … } in which username is a name of 1 to 32",
        ),
        (
            DOMAIN + 'users = [{ username = "a", password = "env:NOT_SET" }]',
            "in which password is the name of a variable that is set; NOT_SET is not",
        ),
        (
            '[[customers]]\nsystem_id = "a"\npassword = "env:"',
            'it should be the name of a variable behind "env:"',
        ),
        (ACME + 'order = "strict"', "order comes with a later version"),
        (ACME + ACME, "[[carriers]] 2 name: acme stands there twice"),
        (
            ACME.replace('"smpp"', '"smmp"'),
            '[[carriers]] 1 (acme) kind: found the text "smmp"; it should be "smpp"',
        ),
        (ACME.replace('system_id = "me"', ""), "[[carriers]] 1 (acme): system_id is missing"),
        (
            ACME.replace("smsc.example", "localhost"),
            "[[carriers]] 1 (acme): localhost:2775 is our own [smpp] listen; give host and port",
        ),
        (
            ACME.replace("smsc.example", "gw.example") + '[smpp]\nlisten = "gw.example:2775"',
            "[[carriers]] 1 (acme): gw.example:2775 is our own [smpp] listen",
        ),
        (
            '[http]\ntls_listen = "127.0.0.1:0"',
            '[http] tls_listen: TLS needs a certificate; give tls_cert = "http.pem" and tls_key',
        ),
        (
            '[rtp]\nlisten = "0.0.0.0"',
            "[rtp] listen: SDP would say 0.0.0.0, and nobody can send there; listen at one address,"
            ' or name the address that peers reach, such as "192.0.2.1" in [rtp] advertised',
        ),
        (
            '[rtp]\nlisten = "::"\nadvertised = "::"',
            "[rtp] advertised: nobody can send to ::; name the address that peers reach, such as",
        ),
        (
            '[sip]\nadvertised = "0.0.0.0"',
            "[sip] advertised: nobody can send to 0.0.0.0; name the address that peers reach",
        ),
        (
            '[sip]\nudp = ["0.0.0.0:5060"]',
            "[rtp] listen: SIP is listened for elsewhere, and SDP would say 127.0.0.1; listen at",
        ),
    ],
)
def test_what_is_said_of_a_fault(tmp_path: Path, text: str, said: str) -> None:
    assert said in only_finding(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        '[rtp]\nlisten = "0.0.0.0"\nadvertised = "192.0.2.1"',
        '[sip]\nudp = ["0.0.0.0:5060"]\n[rtp]\nlisten = "192.0.2.1"',
        '[sip]\nudp = []\ntcp = []\n[rtp]\nlisten = "0.0.0.0"',
    ],
)
def test_media_at_an_address_that_peers_reach_is_fine(tmp_path: Path, text: str) -> None:
    read(tmp_path, text)


@pytest.mark.parametrize("listen", ["127.0.0.1:2776", "192.0.2.1:2775", ""])
def test_a_carrier_beside_our_own_listener_is_fine(tmp_path: Path, listen: str) -> None:
    text = ACME.replace("smsc.example", "127.0.0.1") + f'[smpp]\nlisten = "{listen}"'
    assert read(tmp_path, text).carriers[0].port == 2775


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    found = findings(tmp_path, "[http]\nlisten = 1\nlistn = 2\n[smp]\n[[numbers]]\nnumber = 3")
    assert len(found) == 4


def test_what_sections_have_to_agree_on_is_told_beside_the_other_faults(tmp_path: Path) -> None:
    user = '{ username = "alice", password = "x" }'
    domain = f'[[domains]]\nname = "a.example"\nusers = [{user}, {user}]\n'
    same = '[smpp]\nlisten = "127.0.0.1:80"\n[http]\nlisten = "127.0.0.1:80"\n'
    number, users, port = findings(tmp_path, "[[numbers]]\nnumber = 3\n" + domain + same)
    assert "[[numbers]] 1" in number
    assert "alice stands there twice" in users
    assert "is listened at for [http] listen" in port
    # What can't be read is not judged by its default, nor anything if a name is a slip.
    assert len(findings(tmp_path, domain + same.replace("[http]", "[http]\nlistn = 1"))) == 2
    assert len(findings(tmp_path, domain + same.replace("[http]", "[htp]"))) == 1


ROUTE = '[[routes]]\nprefix = "+44"\ncarriers = ["simulatde"]\n'


@pytest.mark.parametrize(
    ("text", "carriers"),
    [
        ("[http]\nlistn = 1\n", "simulated"),
        ('[[carriers]]\nname = "acme"\nkind = "simulated"\ntsp = 5\n', "acme"),
        ('[[routes]]\nprefx = "+1"\ncarriers = ["simulated"]\n', "simulated"),
    ],
)
def test_a_fault_elsewhere_hides_none_of_the_routes(
    tmp_path: Path, text: str, carriers: str
) -> None:
    key, route = findings(tmp_path, text + ROUTE)
    assert "there is no key" in key
    assert f"there is no carrier 'simulatde'; there are {carriers}" in route


@pytest.mark.parametrize(
    "text",
    [
        '[[carier]]\nname = "simulatde"\nkind = "simulated"\n',
        '[[carriers]]\nnmae = "simulatde"\nname = 5\nkind = "simulated"\n',
        '[[carriers]]\nname = "simulatde"\nkind = "simulatde"\n',
        "carriers = 5\n",
    ],
)
def test_a_carrier_that_can_not_be_read_is_not_missed_by_its_routes(
    tmp_path: Path, text: str
) -> None:
    assert not any("there is no carrier" in each for each in findings(tmp_path, text + ROUTE))


def test_a_fault_of_a_variable_names_the_variable(tmp_path: Path) -> None:
    said = only_finding(tmp_path, "", TRUNKLINE_HTTP__LISTN="x")
    assert said.startswith("TRUNKLINE_HTTP__LISTN: [http]: there is no key listn")
    said = only_finding(tmp_path, "", TRUNKLINE_MESSAGES__MAX_BODY="many")
    assert said.startswith("TRUNKLINE_MESSAGES__MAX_BODY: [messages] max_body: found the text")
    said = only_finding(tmp_path, "", TRUNKLINE_NUMBERS='[{"number": "x"}]')
    assert said.startswith("TRUNKLINE_NUMBERS: [[numbers]] 1 (x) number: found the text")
    said = only_finding(tmp_path, "[http]\nlisten=5", TRUNKLINE_HTTP__TLS_LISTEN="")
    assert said.startswith("trunkline.toml: [http] listen")
    said = only_finding(tmp_path, "", TRUNKLINE_HTPP__LISTEN="x")
    assert said.startswith("TRUNKLINE_HTPP__LISTEN: [htpp]: there is no such section")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make one with `trunkline init`"):
        load(tmp_path / "none.toml", {})


def test_every_key_says_what_it_is_for_and_how_it_is_written() -> None:
    assert {field.name for field in fields(Config)} == {*SECTIONS, *LISTS}
    for _, keys in [*SECTIONS.values(), *LISTS.values()]:
        for key in keys.values():
            assert key.form.expected


def test_sinks_have_a_name_a_place_and_types(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
[[sinks]]
name = "crm"
url = "https://example.com/facts?key=1"
types = ["message.*", "account.created"]
[[sinks]]
name = "files"
url = "file:///var/lib/facts"
""",
    )
    one, other = config.sinks
    assert (one.name, one.types) == ("crm", ("message.*", "account.created"))
    assert (other.url, other.types) == ("file:///var/lib/facts", ("*",))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('url = "https://example.com"\ntypes = ["message.snet"]', "docs/events.md"),
        ('url = "https://example.com"\ntypes = ["messages.*"]', "docs/events.md"),
        ('url = "facts/"', "https://example.com/facts"),
        ('url = "https://example.com"\n[[sinks]]\nname = "crm"\nurl = "https://x.y"', "twice"),
        ("", "url"),
    ],
)
def test_a_sink_that_is_none_is_refused(tmp_path: Path, line: str, said: str) -> None:
    assert said in only_finding(tmp_path, f'[[sinks]]\nname = "crm"\n{line}')
