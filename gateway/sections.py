"""The sections of `trunkline.toml`: what each key is called, how it is written, what it is for.

A section is a dataclass whose fields say all of that; `gateway/config` reads a file into them,
`trunkline init` and the docs are made from the same fields.
"""

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import msgspec

from gateway import forms, voice_document
from gateway.events import KINDS
from gateway.forms import Address, Network, Secret
from gateway.model import BusSecurity, Engine, MessageStates, SaslMechanism, SpeechFormat
from gateway.proxies import HopHeader
from gateway.sip.rules import DOMAIN_NAME, USERNAME
from gateway.tables import REQUIRED, key
from protocols.sip.codec import Names
from protocols.sip.wire import Clients

LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_E164: Final = forms.matching(r"\+[1-9]\d{6,14}", 'a number in E.164, such as "+442071838750"')
ACCOUNT: Final = forms.matching(
    r"|AC[0-9a-f]{32}", 'an account\'s SID ("AC…"), or "" for the first'
)
_METHOD: Final = forms.matching(r"GET|POST", '"GET" or "POST"')
_KAFKA: Final = forms.matching(
    r"|kafka://[^\s,/:]+:\d+(,[^\s,/:]+:\d+)*", 'such as "kafka://a:9092,b:9092", or ""'
)

_FACTS: Final = forms.matching(
    rf"\*|({'|'.join(sorted({kind.partition('.')[0] for kind in KINDS}))})\.\*|{'|'.join(KINDS)}",
    'a type of docs/events.md, the first word of some with ".*", or "*"',
)

# SMPP v3.4 5.2.1, 5.2.2: C-octet strings of 16 and 9 octets, the NUL included.
_SYSTEM_ID: Final = forms.text("a system_id", at_most=15)
_PASSWORD: Final = forms.secret(at_most=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """REST and what else is served over HTTP."""

    listen: Address | None = key(
        Address("127.0.0.1", 8080), forms.address(), "REST, /metrics, /healthz, /readyz, /v1"
    )
    tls_listen: Address | None = key(None, forms.address(), "the same over TLS")
    tls_cert: Path | None = key(None, forms.file_path(), "certificate chain in PEM form")
    tls_key: Path | None = key(None, forms.file_path(), "its private key in PEM form")
    public_url: str = key(
        "",
        forms.url(),
        "where HTTP is reached from outside: apps are told so of recordings, and pages of that "
        "host may open WebSockets",
    )
    max_event_streams: int = key(
        100, forms.whole_number(1), "streams of /v1/events open at once; over that: 429"
    )
    max_sockets: int = key(
        10_000, forms.whole_number(1), "WebSockets of browsers open at once; over that: 503"
    )
    max_sockets_per_address: int = key(
        1000, forms.whole_number(1), "and of one address; over that: 429"
    )
    max_unproven_sockets: int = key(
        1000,
        forms.whole_number(1),
        "open at once beside those, of whom nothing is known yet; over that one that has been "
        "open for long is closed, first of the address that has the most, or 503 if all just came",
    )
    max_unproven_sockets_per_address: int = key(
        200,
        forms.whole_number(1),
        "and of one address; over that its oldest is closed, or 429 if that came just now",
    )
    prove_within: float = key(
        30.0, forms.duration(1.0), "the time that one of them has at /sip; after it: closed"
    )
    origins: tuple[str, ...] = key(
        (),
        forms.list_of(forms.matching(r"\*|https?://[^\s/]+", 'an origin, or "*" for all')),
        "whose pages may open WebSockets beside our own, such as "
        '["https://app.example.com"]; "*": any',
    )
    proxies: tuple[Network, ...] = key(
        (),
        forms.list_of(forms.network()),
        "trusted proxies before HTTP, such as "
        '["127.0.0.1", "10.0.0.0/8"]: they say whose address counts, and X-Forwarded-Proto whether '
        "it came by TLS",
    )
    proxy_header: HopHeader = key(
        HopHeader.X_FORWARDED_FOR,
        forms.one_of(HopHeader),
        "in which header they say it; the other is not looked at",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Smpp:
    """The SMPP server, to which customers bind."""

    listen: Address | None = key(
        Address("127.0.0.1", 2775), forms.address(), "customers bind here ([[customers]])"
    )


_HERE: Final = Address("127.0.0.1", 5060)
_LISTS: Final = forms.list_of(forms.address())
_IP: Final = forms.matching(r"|[0-9A-Fa-f:.]+", 'an IP address such as "192.0.2.7", or ""')


@dataclass(frozen=True, slots=True, kw_only=True)
class Sip:
    """SIP: carriers' trunks, phones and domains. Without any address there are no calls."""

    udp: tuple[Address, ...] = key((_HERE,), _LISTS, "where it is listened over UDP; [] is off")
    tcp: tuple[Address, ...] = key((_HERE,), _LISTS, "over TCP")
    tls: tuple[Address, ...] = key((), _LISTS, 'over TLS, such as ["127.0.0.1:5061"]')
    advertised: str = key(
        "",
        forms.matching(r"|[^\s:/@]+|\[[0-9A-Fa-f:]+\]", "a host, without a port"),
        'how peers reach us, where that is not the address that is listened at; "": it is',
    )
    tls_cert: Path | None = key(None, forms.file_path(), "PEM: certificate and chain")
    tls_key: Path | None = key(None, forms.file_path(), "PEM: its private key")
    tls_ca: Path | None = key(
        None, forms.file_path(), "authorities for peers' certificates; default: the system's"
    )
    tls_clients: Clients = key(
        Clients.UNASKED, forms.one_of(Clients), "whether peers that connect must show one"
    )
    names: Names = key(
        Names.FULL, forms.one_of(Names), "how headers are written: full, or compact (one letter)"
    )
    digest: tuple[str, ...] = key(
        ("SHA-256", "MD5"),
        forms.list_of(forms.matching("MD5|SHA-256|SHA-512-256", "MD5, SHA-256 or SHA-512-256")),
        "what passwords are asked for by, the best first (RFC 8760); MD5 alone where a phone gives"
        " up otherwise",
    )
    session_expires: float = key(
        1800.0, forms.duration(90.0), "session timers (RFC 4028) of calls that no trunk says it of"
    )
    min_expires: float = key(60.0, forms.duration(1.0), "of a phone's registration, at least")
    max_expires: float = key(7200.0, forms.duration(1.0), "and at most")
    max_calls: int = key(
        20_000, forms.whole_number(1), "calls at once in one process; over that: 503"
    )
    max_lag: float = key(
        0.05,
        forms.duration(),
        "how late signalling may be, for longer than a moment; over that calls that come by SIP"
        ' get 503, but for 100 a second and calls for help; "0s": however late',
    )
    account_cps: float = key(
        10.0, forms.number(), "calls over REST that begin each second, by account; 0: no limit"
    )
    max_queued: int = key(
        1000, forms.whole_number(1), "of one account that wait for their turn; over that: 429"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rtp:
    """Media: where it is received."""

    listen: str = key("127.0.0.1", _IP, "the address that media is received at")
    ports: tuple[int, int] = key(
        (20_000, 21_999), forms.span(), 'two for each leg, such as "20000-21999"'
    )
    advertised: str = key("", _IP, 'how peers reach it, where that is another; "": it is not')
    silence: float = key(
        0.0,
        forms.duration(),
        'a leg that nothing came from for so long is told of in the log; "0s": never',
    )


_ICE: Final = forms.matching(
    r"(stuns?:[^\s?/@]+|turns?:[^\s?/@]+(\?transport=(udp|tcp))?)",
    'such as "turn:turn.example.com:3478?transport=udp"',
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Servers that help browsers to a path (docs/turn.md). Without any, none is asked."""

    urls: tuple[str, ...] = key(
        (), forms.list_of(_ICE), "what browsers are told of them, by Tokens.json"
    )
    secret: Secret = key(Secret(""), forms.secret(), "static-auth-secret of the TURN servers")
    ttl: float = key(86_400.0, forms.duration(60.0), "how long credentials count, at most")


class StandIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who of an engine's speaks for a voice of Twilio's."""

    name: str
    voice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What speaks the texts of calls, and how much of what they play is kept."""

    engine: Engine = key(
        Engine.AUTO,
        forms.one_of(Engine),
        "auto: http if there is a url, else espeak if it is installed, else none, a tone; fake: a"
        " hum, for tests",
    )
    url: str = key(
        "", forms.url(), 'of an engine as OpenAI\'s, such as "https://api.openai.com/v1"'
    )
    api_key: Secret = key(Secret(""), forms.secret(pattern=r"[!-~]*"), "its key, if it wants one")
    model: str = key("tts-1", forms.text(), "which of its models speaks")
    voice: str = key("alloy", forms.text(), "which of its voices")
    voices: tuple[StandIn, ...] = key(
        (),
        forms.list_of(forms.record(StandIn, {"name": forms.text(), "voice": forms.text()})),
        "others of its voices, for names of Twilio's",
    )
    format: SpeechFormat = key(
        SpeechFormat.WAV,
        forms.one_of(SpeechFormat),
        "what it is asked for; pcm: 24,000 samples a second",
    )
    timeout: float = key(20.0, forms.duration(0.1), "for the answer to one text")
    max_waiting: int = key(
        64, forms.whole_number(1), "texts, and sounds, that wait for it; over that: not played"
    )
    max_cache: int = key(
        1_000_000_000,
        forms.whole_number(1_000_000),
        "octets of texts spoken and sounds fetched, in the data folder; beyond that what was used"
        " longest ago goes",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSection:
    """The store: SQLite in the data folder, or PostgreSQL, which several processes can share."""

    url: Secret = key(
        Secret(""),
        forms.secret(pattern=r"|postgres(ql)?://\S+", kind='"postgresql://…"'),
        '"postgresql://user:password@host/database"; "": SQLite in the data folder',
    )
    connections: int = key(
        8,
        forms.whole_number(4),
        "to PostgreSQL from one process: one commits, one renews, one hears hints, others read",
    )
    max_queued: int = key(
        10_000, forms.whole_number(1), "commits that may wait for the disk; over that: 503"
    )
    trace_rows: int = key(
        2_000_000,
        forms.whole_number(1000),
        "rows of PDUs and ladders kept for timelines, about two a message and one a call;"
        " beyond that the oldest go",
    )
    facts_for: float = key(
        7 * 86400.0, forms.duration(), "how long facts are kept for timelines and readers"
    )
    jobs_for: float = key(
        86400.0, forms.duration(), "how long finished jobs are shown in timelines"
    )
    messages_for: float = key(
        400 * 86400.0,
        forms.duration(86400.0),
        "how long messages are kept, with their segments, and notifications",
    )
    calls_for: float = key(
        400 * 86400.0,
        forms.duration(86400.0),
        "how long calls are kept, with their legs, which are the CDRs",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """The bus: embedded, which reads the facts table, or Kafka, which gets them from there."""

    url: str = key("", _KAFKA, 'brokers, such as "kafka://a:9092,b:9092"; "": the embedded bus')
    secondary: str = key(
        "", _KAFKA, "brokers of a second cluster, written to while the first is away"
    )
    partitions: int = key(
        16,
        forms.whole_number(1, 1024),
        "of each topic; fixed once chosen: dedup relies on it for its whole window",
    )
    replication: int = key(
        -1, forms.whole_number(-1, 32), "copies of topics made here; -1: the broker's default"
    )
    security: BusSecurity = key(
        BusSecurity.PLAINTEXT, forms.one_of(BusSecurity), "how brokers are spoken to"
    )
    sasl_mechanism: SaslMechanism = key(
        SaslMechanism.SCRAM_SHA_512, forms.one_of(SaslMechanism), "with sasl and sasl_tls"
    )
    username: str = key("", forms.text(), "with sasl and sasl_tls")
    password: Secret = key(Secret(""), forms.secret(), "with sasl and sasl_tls")
    tls_ca: Path | None = key(
        None, forms.file_path(), "authorities in PEM form; default: the system's"
    )
    submit: bool = key(
        False, forms.boolean(), "take texts from the topic trunkline.submit; its ACL is the right"
    )
    dedup_window: float = key(
        86400.0,
        forms.duration(60.0),
        "how long a record that comes again is known; 34 octets each",
    )
    max_backlog: int = key(
        20_000_000,
        forms.whole_number(1000),
        "facts kept for readers; beyond that the oldest go, with Kafka accepts are refused",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesSection:
    """The message path and its bounds."""

    max_body: int = key(1600, forms.whole_number(1, 1_000_000), "code points of one text; 21617")
    max_accepts_in_flight: int = key(
        2000, forms.whole_number(1), "accepts that wait for their commit; over that: 429"
    )
    max_in_memory: int = key(
        20_000, forms.whole_number(1), "queued messages in memory per carrier; the rest is paged"
    )
    max_parked_receipts: int = key(
        100_000, forms.whole_number(1), "receipts that wait for their message"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Status callbacks and what else goes to the apps."""

    allow: tuple[Network, ...] = key(
        LOOPBACK,
        forms.list_of(forms.network()),
        "networks that may be called though they are not public; "
        "default: loopback while [http] listens on loopback alone, else none",
    )
    retry_for: float = key(
        4 * 3600.0, forms.duration(), 'how long a status callback is tried; "0s": as Twilio'
    )
    max_connections_per_host: int = key(256, forms.whole_number(1), "requests to a host at once")
    workers: int = key(64, forms.whole_number(1), "callbacks that are sent at once")
    concurrency_per_host: int = key(16, forms.whole_number(1), "of these to one host")
    max_in_memory: int = key(
        100_000, forms.whole_number(1), "jobs in memory; the rest waits in the store"
    )
    max_in_memory_per_host: int = key(
        2000, forms.whole_number(1), "of these for one host; the rest of its jobs is paged"
    )
    archive: str = key(
        "",
        forms.matching(r"|(file|s3)://\S+", 'such as "s3://bucket/prefix", "file:///path", or ""'),
        'where jobs go that were given up; "": the folder archive of the data folder',
    )
    message_states: MessageStates = key(
        MessageStates.ALL,
        forms.one_of(MessageStates),
        "which changes are told: all, or final (the last one of each message)",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The process."""

    drain: float = key(
        5.0, forms.duration(), "after SIGTERM: how long what is in flight may take to end"
    )
    drain_calls: float = key(
        0.0, forms.duration(), "after SIGTERM: how long calls may go on before they are ended"
    )
    lease: float = key(
        5.0,
        forms.duration(1.0),
        "with PostgreSQL: when the others take over what a silent process owned",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who may send events to /v1/track and /v1/batch with a write key instead of an account's."""

    name: str = key(REQUIRED, forms.text("a name"), "what its events are known by")
    write_key: Secret = key(REQUIRED, forms.secret(), "the user of Basic auth; no password")
    account: str = key("", ACCOUNT, "whose the events are; default: the first account")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """Where facts are copied to, of all accounts."""

    name: str = key(
        REQUIRED,
        forms.matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", 'a short name such as "billing"'),
        "what its place among the facts is known by",
    )
    url: str = key(
        REQUIRED,
        forms.matching(
            r"file:///\S+|https?://[^\s/?#]+[^\s]*",
            'such as "https://example.com/facts" or "file:///path"',
        ),
        "gets signed POSTs of NDJSON; or a folder, for files of it",
    )
    types: tuple[str, ...] = key(
        ("*",), forms.list_of(_FACTS), 'of which types, such as ["message.*"]'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A phone number that the file gives to an account, and what runs for its texts and calls."""

    number: str = key(REQUIRED, _E164, "in E.164")
    account: str = key("", ACCOUNT, "whose it is; default: the first account")
    sms_url: str = key("", forms.url(), "asked what to answer to a text")
    sms_method: str = key("POST", _METHOD, "")
    sms_fallback_url: str = key("", forms.url(), "asked when sms_url fails")
    sms_fallback_method: str = key("POST", _METHOD, "")
    voice_url: str = key("", forms.url(), "asked what to do with a call")
    voice_method: str = key("POST", _METHOD, "")
    voice_twiml: str = key("", voice_document.form(), "run without asking anybody")
    voice_fallback_url: str = key("", forms.url(), "asked when voice_url fails")
    voice_fallback_method: str = key("POST", _METHOD, "")
    status_callback: str = key("", forms.url(), "told that a call is over")
    status_callback_method: str = key("POST", _METHOD, "")


class DomainUser(msgspec.Struct, frozen=True, kw_only=True):
    """A phone's name and password."""

    username: str
    password: Secret


_USER: Final = forms.record(
    DomainUser,
    {
        "username": forms.matching(USERNAME, "a name of 1 to 32 letters and digits"),
        "password": forms.secret(pattern="(?s).{1,128}", kind="a text of 1 to 128 characters"),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A SIP domain, whose users may register and call, and what their calls run."""

    name: str = key(
        REQUIRED,
        forms.matching(
            DOMAIN_NAME, 'a host\'s name in small letters, such as "office.example.com"'
        ),
        "what phones have as their domain",
    )
    account: str = key("", ACCOUNT, "whose it is; default: the first account")
    voice_url: str = key("", forms.url(), "asked what to do with a call")
    voice_method: str = key("POST", _METHOD, "")
    voice_twiml: str = key("", voice_document.form(), "run without asking anybody")
    voice_fallback_url: str = key("", forms.url(), "asked when voice_url fails")
    voice_fallback_method: str = key("POST", _METHOD, "")
    voice_status_callback_url: str = key("", forms.url(), "told that a call is over")
    voice_status_callback_method: str = key("POST", _METHOD, "")
    users: tuple[DomainUser, ...] = key(
        (), forms.list_of(_USER), "whose phones may register and call"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who may bind to the SMPP server."""

    system_id: str = key(REQUIRED, _SYSTEM_ID, "the name they bind with")
    password: Secret = key(REQUIRED, _PASSWORD, "at most 8 octets (SMPP v3.4 5.2.2)")
    account: str = key("", ACCOUNT, "the account they act for; default: the first")
    binds: int = key(4, forms.whole_number(1), "binds at once")
    tps: float = key(
        100.0, forms.number(), "submit_sm per second (0: no limit), all binds together"
    )
    senders: tuple[str, ...] = key(
        (), forms.list_of(forms.text("an address")), "source addresses they may use; [] is any"
    )
