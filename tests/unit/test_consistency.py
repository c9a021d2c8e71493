"""What sections of the config have to agree on, and what `trunkline check` notes."""

import socket
from pathlib import Path

import pytest

from gateway.config import Config, ConfigError, load
from gateway.consistency import legs, notes
from tests.interop.sip.certificates import make_certificates

ACME = '[[carriers]]\nname = "acme"\nkind = "sip"\nuri = "sip:192.0.2.9"\nemergency = []\n'
BETA = '[[carriers]]\nname = "beta"\nkind = "sip"\nuri = "sip:192.0.2.8"\nemergency = []\n'
NUMBER = '[[numbers]]\nnumber = "+442071838750"\n'
DOMAIN = '[[domains]]\nname = "pbx.example"\n'
RUN = "voice_twiml = '<Response><Pause/></Response>'\n"
VOICE = 'voice_url = "http://127.0.0.1:5055/voice"\n'
ALICE = 'users = [{ username = "alice", password = "Alice-secret-1" }]\n'
WEAK = (
    'users = [{ username = "alice", password = "secret" },'
    ' { username = "bob", password = "Bob-secret-12" },'
    ' { username = "carol", password = "carol-secret-1" }]\n'
)


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "trunkline.toml"
    path.write_text(text)
    return load(path, {})


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    (finding,) = caught.value.findings
    return str(finding).removeprefix(f"{tmp_path}/trunkline.toml: ")


def noted(tmp_path: Path, text: str) -> list[str]:
    return [str(each) for each in notes(read(tmp_path, text))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[turn]\nurls = ["stun:t.example", "turns:t.example:443?transport=tcp"]',
            "[turn] secret: turns:t.example:443?transport=tcp lets nobody in without one; give the"
            " static-auth-secret of coturn, as env:NAME or file:PATH: docs/turn.md",
        ),
        (
            '[turn]\nsecret = "s"\nurls = ["stun:t.example"]',
            "[turn] urls: there is a secret, and no TURN server; give their urls, such as"
            ' ["turn:turn.example.com:3478?transport=udp"]',
        ),
        (
            DOMAIN + VOICE + RUN,
            "[[domains]] 1 (pbx.example) voice_twiml: there is a voice_url, too; leave one of them"
            " out",
        ),
        (
            NUMBER + RUN + VOICE,
            "[[numbers]] 1 (+442071838750) voice_twiml: there is a voice_url, too; leave one",
        ),
        (
            NUMBER + "voice_twiml = '<Response><Dial></Response>'",
            "[[numbers]] 1 (+442071838750) voice_twiml: found the text"
            ' "<Response><Dial></Response>"; it should be TwiML for calls, such as'
            ' "<Response><Dial>+442071838750</Dial></Response>"; line 1: 12100, ',
        ),
        (
            '[media]\nplane = "rtpengine"',
            "[media] rtpengine: [media] plane is rtpengine, and nothing says where it is; name the"
            ' address of its listen-ng, such as "127.0.0.1:2223"',
        ),
        (
            '[media]\nplane = "rtpengine"\nrtpengine = "192.0.2.1:2223"',
            "[media] rtpengine: 192.0.2.1:2223 is not on this machine, where the media workers are;"
            ' name the address of its listen-ng, such as "127.0.0.1:2223"',
        ),
        *(
            (
                f'[media]\nplane = "rtpengine"\nrtpengine = "{place}"',
                f"[media] rtpengine: {place} {problem}; name the"
                ' address of its listen-ng, such as "127.0.0.1:2223"',
            )
            for place, problem in (
                ("localhost:0", "has no port, and rtpengine listens at one"),
                ("0.0.0.0:2223", "is not on this machine, where the media workers are"),
                ("ng.example:2223", "is not on this machine, where the media workers are"),
            )
        ),
        (
            '[media]\nplane = "rtpengine"\nrtpengine = "[::1]:2223"\ninterfaces = ["inside"]',
            "[media] interfaces: 1 names, and a call has two sides; name the interface towards the"
            " workers and that towards peers, or none",
        ),
        (
            '[turn]\nurls = ["https://t.example"]',
            '[turn] urls: found the list ["https://t.example"]; it should be a list in which',
        ),
        (
            '[http]\nlisten = "127.0.0.1:5060"',
            "[sip] tcp: 127.0.0.1:5060 is listened at for [http] listen; give another port",
        ),
        (
            '[smpp]\nlisten = "0.0.0.0:8080"',
            "[smpp] listen: 0.0.0.0:8080 is listened at for [http] listen; give another port",
        ),
        (
            '[sip]\nudp = ["127.0.0.1:5060", "127.0.0.1:5060"]',
            "[sip] udp: 127.0.0.1:5060 is listened at for [sip] udp; give another port",
        ),
        (
            '[rtp]\nports = "20001-20002"',
            "[rtp] ports: 20001-20002 are too few for [media] workers = 1; each leg of a call takes"
            " two, an even one and the next: 20000-21999 is for 1000",
        ),
        (
            '[rtp]\nports = "20000-20003"\n[media]\nworkers = 3',
            "[rtp] ports: 20000-20003 are too few for [media] workers = 3",
        ),
        (
            '[sip]\ntls_cert = "/nowhere.pem"\ntls_key = "/nokey.pem"',
            "[sip] tls_cert: /nowhere.pem can't be read: No such file or directory; give the path",
        ),
        (
            '[http]\ntls_listen = "127.0.0.1:0"\ntls_cert = "/nowhere.pem"\ntls_key = "/nokey.pem"',
            "[http] tls_cert: /nowhere.pem can't be read: No such file or directory; give the path",
        ),
        (
            '[sip]\ntls_ca = "/nowhere.pem"',
            "[sip] tls_ca: /nowhere.pem can't be used: No such file or directory; give the path",
        ),
    ],
)
def test_what_nothing_could_be_served_with(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text).startswith(said)


def test_a_certificate_has_its_own_key(tmp_path: Path) -> None:
    ours, others = make_certificates(tmp_path / "ours"), make_certificates(tmp_path / "others")
    text = '[sip]\ntls = ["127.0.0.1:0"]\ntls_cert = "{}"\ntls_key = "{}"\n'
    read(tmp_path, text.format(ours.certificate, ours.key))
    assert refused(tmp_path, text.format(ours.certificate, others.key)) == (
        f"[sip] tls_key: {others.key} is the key of another certificate;"
        f" give that of {ours.certificate}"
    )
    assert "can't be used together; give a certificate and its key" in refused(
        tmp_path, text.format(tmp_path / "trunkline.toml", ours.key)
    )


@pytest.mark.parametrize(
    "text",
    [
        '[sip]\nudp = ["127.0.0.1:0"]\ntcp = ["127.0.0.1:0", "127.0.0.1:0"]',
        '[sip]\nudp = ["0.0.0.0:5060", "[::]:5060"]\n[rtp]\nadvertised = "192.0.2.1"',
        '[rtp]\nports = "20000-20001"',
    ],
)
def test_what_is_fine(tmp_path: Path, text: str) -> None:
    read(tmp_path, text)


@pytest.mark.parametrize(
    ("ports", "pairs"), [((20_000, 20_001), 1), ((20_001, 20_004), 1), ((20_000, 21_999), 1000)]
)
def test_a_leg_takes_an_even_port_and_the_next(
    tmp_path: Path, ports: tuple[int, int], pairs: int
) -> None:
    config = read(tmp_path, f'[rtp]\nports = "{ports[0]}-{ports[1]}"')
    assert legs(config.rtp) == pairs


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            ACME + BETA.replace("2.8", "2.9"),
            "[[carriers]]: acme and beta both call from 192.0.2.9: all of it counts as acme's; give"
            ' one of them inbound = "digest" to tell them apart',
        ),
        (
            ACME.replace("sip:192.0.2.9", "sip:Sip.acme.example")
            + BETA.replace("sip:192.0.2.8", "sip:sip.acme.example:5070"),
            "[[carriers]]: acme and beta both call from sip.acme.example: all of it",
        ),
        (
            ACME + 'addresses = ["198.51.100.0/24"]\n' + BETA + 'addresses = ["198.51.100.0/24"]',
            "[[carriers]]: acme and beta both call from 198.51.100.0/24: all of it",
        ),
        (
            ACME + BETA + '[[routes]]\ncarriers = ["acme"]',
            "[[routes]]: no route names beta: nothing is sent or called by it",
        ),
        (
            ACME + NUMBER,
            "[[numbers]] 1 (+442071838750): without a voice_url or voice_twiml calls to it are"
            " refused with 480",
        ),
        (
            DOMAIN + ALICE,
            "[[domains]] 1 (pbx.example): without a voice_url or voice_twiml calls of its users are"
            " refused with 480",
        ),
        (
            DOMAIN + VOICE + WEAK,
            "[[domains]] 1 (pbx.example): weak passwords: alice, carol; strangers try them all",
        ),
        (
            DOMAIN + ALICE + "voice_twiml = '<Response><Queue/><Pause/></Response>'",
            "[[domains]] 1 (pbx.example) voice_twiml: line 1: 12200, ",
        ),
        (DOMAIN + VOICE, "[[domains]] 1 (pbx.example): it has no users, so nobody can register"),
        (
            "[sip]\nudp = []\ntcp = []\n" + ACME,
            "[sip]: SIP is listened for nowhere: no calls for acme",
        ),
        (
            '[http]\nproxies = ["10.0.0.0/8"]',
            "[http] public_url: behind a proxy apps and pages know no other way to us than our own"
            " listener; give the URL of the proxy, such as",
        ),
        (
            '[http]\nproxies = ["0.0.0.0/0"]\npublic_url = "https://gw.example"',
            "[http] proxies: 0.0.0.0/0 is everybody: whoever asks may say that it is somebody else;"
            " name the addresses of your proxies alone",
        ),
    ],
)
def test_what_may_surprise_is_noted(tmp_path: Path, text: str, said: str) -> None:
    (note,) = noted(tmp_path, text)
    assert note.startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ACME + BETA,
        ACME
        + BETA.replace("2.8", "2.9")
        + 'inbound = "digest"\nusername = "beta"\npassword = "secret"',
        ACME + BETA.replace("[]", '["GB"]') + '[[routes]]\ncarriers = ["acme"]',
        "[sip]\nudp = []\ntcp = []",
        '[media]\nplane = "rtpengine"\nrtpengine = "localhost:2223"',
        DOMAIN + VOICE + ALICE,
        DOMAIN + RUN + ALICE,
        ACME + NUMBER + RUN,
        '[http]\nproxies = ["10.0.0.0/8"]\npublic_url = "https://gw.example"',
    ],
)
def test_nothing_is_noted_of_what_is_meant(tmp_path: Path, text: str) -> None:
    assert noted(tmp_path, text) == []


def test_rtpengine_may_have_any_address_of_this_machine(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect(("198.51.100.1", 9))  # nothing is sent
        except OSError:
            way.connect(("127.0.0.1", 9))
        host = way.getsockname()[0]
    text = f'[media]\nplane = "rtpengine"\nrtpengine = "{host}:2223"'
    assert noted(tmp_path, text) == []
