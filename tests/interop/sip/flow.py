"""Call flows as data, and how one side of a flow is written as a scenario of sipp.

A flow is what RFC 3665 and RFC 5359 draw: who says what, one step after another. Each side is a
list of steps of its own, so that a caller of ours can meet a callee of ours, or the gateway. The
writer knows of a dialog what sipp leaves to its scenarios: tags, CSeq, branches, routes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from typing import Final


class Side(StrEnum):
    """Who makes the call."""

    CALLER = "caller"
    CALLEE = "callee"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdp:
    """An offer or an answer of one audio stream.

    `address` None and `port` 0 are where this side's media is."""

    direction: str = "sendrecv"
    address: str | None = None
    port: int = 0
    payloads: tuple[int, ...] = (0, 101)


AUDIO: Final = Sdp()
_FORMATS: Final = {
    0: "PCMU/8000",
    8: "PCMA/8000",
    9: "G722/8000",
    18: "G729/8000",
    101: "telephone-event/8000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Send a request. `uri` is for one that begins a dialog or stands alone.

    `again` is how long until it is sent again without an answer, in seconds; 0 for never."""

    method: str
    sdp: Sdp | None = None
    headers: tuple[str, ...] = ()
    uri: str = "{target}"
    body: tuple[str, str] | None = None  # its type, and its text
    credentials: str = ""  # "[authentication]"
    again: float = 0.5
    label: str = ""
    then: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer the last request that came, or, with `invite`, the INVITE that is still open."""

    status: int
    reason: str
    sdp: Sdp | None = None
    headers: tuple[str, ...] = ()
    invite: str = ""  # "late": something else came since
    label: str = ""
    then: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hear:
    """Wait for a request (a method) or a response (a status).

    `check` are expressions that headers, or "Body", must match; `take` keeps a header's value in
    a variable. Within `patience` seconds, else the flow goes on at `otherwise`, or fails.
    """

    what: str
    optional: bool = False
    challenge: bool = False
    check: Mapping[str, str] = field(default_factory=dict)
    take: Mapping[str, str] = field(default_factory=dict)
    patience: float = 30.0
    otherwise: str = ""
    label: str = ""
    then: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Do nothing for `seconds`."""

    seconds: float
    label: str = ""
    then: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Last step: be there for what is sent again, if it is for any time."""

    seconds: float = 1.0
    label: str = ""
    then: str = ""


Step = Ask | Answer | Hear | Rest | Stay
Steps = tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Who one side is: URIs, where it is reached and where its media is.

    sipp fills in what stands in brackets.
    """

    target: str = "sip:callee@[remote_ip]:[remote_port]"
    to: str = "sip:callee@[remote_ip]:[remote_port]"
    from_: str = "sip:caller@[local_ip]:[local_port]"
    contact: str = "[local_ip]:[local_port]"
    user: str = "sipp"
    transport: str = "udp"  # in small letters: some know no other
    media: str = "[media_ip]"
    media_port: str = "[media_port]"
    also: Mapping[str, str] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """`text` with its names in braces filled in."""
        known = {"target": self.target, "to": self.to, "from": self.from_, "user": self.user}
        known |= {"contact": self.contact, "transport": self.transport, **self.also}
        for name, value in known.items():
            text = text.replace("{" + name + "}", value)
        return text


_IN_DIALOG: Final = frozenset({"PRACK", "UPDATE", "BYE", "INFO", "REFER", "NOTIFY"})
_METHODS: Final = _IN_DIALOG | {"INVITE", "ACK", "CANCEL", "REGISTER", "OPTIONS", "MESSAGE"}
_ALONE: Final = frozenset({"CANCEL", "REGISTER", "OPTIONS", "MESSAGE"})


class _Writer:
    """Writes the steps of one side, in their order."""

    def __init__(self, side: Side, names: Names) -> None:
        self._side = side
        self._names = names
        self._at = 0
        self._cseq = 0
        self._invite = (0, 0, "")  # step, CSeq and URI of our last INVITE
        self._asked = ""
        self._in_dialog = False
        self._refused = False
        self._version = 0
        self._heard = ""
        self._labels: dict[str, str] = {}
        self._variables: list[str] = []

    def write(self, steps: Steps) -> str:
        """The whole scenario."""
        table: dict[type, Callable[[Step], str]] = {
            Ask: self._ask,  # type: ignore[dict-item]
            Answer: self._answer,  # type: ignore[dict-item]
            Hear: self._hear,  # type: ignore[dict-item]
            Rest: self._rest,  # type: ignore[dict-item]
            Stay: self._stay,  # type: ignore[dict-item]
        }
        lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<scenario name="flow">']
        for self._at, step in enumerate(steps, 1):
            if step.label:
                lines.append(f'<label id="{self._label(step.label)}"/>')
            lines.append(table[type(step)](step))
        if self._variables:
            lines.append(f'<Reference variables="{",".join(dict.fromkeys(self._variables))}"/>')
        return "\n".join([*lines, "</scenario>", ""])

    def _label(self, name: str) -> str:
        return self._labels.setdefault(name, str(len(self._labels) + 1))

    def _then(self, step: Step) -> str:
        return f' next="{self._label(step.then)}"' if step.then else ""

    def _ask(self, step: Ask) -> str:
        branch, cseq, uri = self._at, self._cseq, step.uri
        established = step.method in _IN_DIALOG or (step.method == "INVITE" and self._in_dialog)
        match step.method:
            case "ACK" | "CANCEL":
                sent_at, cseq, uri = self._invite
                own = step.method == "ACK" and not self._refused
                branch = branch if own else sent_at
                established = own
            case _:
                self._cseq = cseq = self._cseq + 1
        if step.method == "INVITE":
            self._invite = (self._at, cseq, "[$contact]" if established else step.uri)
        self._in_dialog = self._in_dialog or established
        self._asked = step.method
        return self._sending(
            [
                f"{step.method} {'[$contact]' if established else uri} SIP/2.0",
                f"Via: SIP/2.0/[transport] [local_ip]:[local_port]"
                f";branch=z9hG4bK-[pid]-[call_number]-{branch};rport",
                *self._parties(established or step.method == "ACK"),
                "Call-ID: [call_id]",
                f"CSeq: {cseq} {step.method}",
                *(["[routes]"] if established else []),
                *self._contact(step.method, step.headers),
                "Max-Forwards: 70",
                *step.headers,
                *([step.credentials] if step.credentials else []),
            ],
            self._body(step.sdp, step.body),
            step,
            again=0 if step.method == "ACK" else step.again,
        )

    def _parties(self, tagged: bool) -> list[str]:
        if self._side is Side.CALLEE:
            return ["From:[$to];tag=[pid]-[call_number]-b", "To:[$from]"]
        tag = "[peer_tag_param]" if tagged else ""
        return [
            "From: <{from}>;tag=[pid]-[call_number]-a",
            f"To: <{{to}}>{tag}",
        ]

    def _contact(self, method: str, headers: Sequence[str]) -> list[str]:
        if method in {"CANCEL", "BYE", "PRACK"} or any(
            line.startswith("Contact:") for line in headers
        ):
            return []
        return ["Contact: <sip:{user}@{contact};transport={transport}>"]

    def _answer(self, step: Answer) -> str:
        late = bool(step.invite)
        inviting = late or self._heard == "INVITE"
        untagged = self._heard in _ALONE or (self._heard == "INVITE" and not self._in_dialog)
        untagged = untagged or (late and self._side is Side.CALLEE)
        tag = ";tag=[pid]-[call_number]-b" if untagged and step.status > 100 else ""
        self._in_dialog = self._in_dialog or (inviting and 200 <= step.status < 300)
        contact = inviting and 100 < step.status < 300
        lines = [
            f"SIP/2.0 {step.status} {step.reason}",
            "Via:[$via]" if late else "[last_Via:]",
            "From:[$from]" if late else "[last_From:]",
            f"To:[$to]{tag}" if late else f"[last_To:]{tag}",
            "Call-ID: [call_id]",
            "CSeq:[$cseq]" if late else "[last_CSeq:]",
            *(["[last_Record-Route:]"] if inviting and not late else []),
            *(self._contact("", step.headers) if contact else []),
            *step.headers,
        ]
        reliable = any(line.startswith("RSeq:") for line in step.headers)
        again = 0.5 if inviting and (step.status >= 200 or reliable) else 0
        return self._sending(lines, self._body(step.sdp, None), step, again=again)

    def _body(self, sdp: Sdp | None, body: tuple[str, str] | None) -> tuple[str, list[str]]:
        if body is not None:
            return body[0], body[1].splitlines()
        if sdp is None:
            return "", []
        self._version += 1
        media = sdp.address or self._names.media
        port = sdp.port or self._names.media_port
        formats = " ".join(map(str, sdp.payloads))
        events = ["a=fmtp:101 0-16"] if 101 in sdp.payloads else []
        return "application/sdp", [
            "v=0",
            f"o=sipp 1 {self._version} IN IP4 {self._names.media}",
            "s=-",
            f"c=IN IP4 {media}",
            "t=0 0",
            f"m=audio {port} RTP/AVP {formats}",
            *(f"a=rtpmap:{payload} {_FORMATS[payload]}" for payload in sdp.payloads),
            *events,
            f"a={sdp.direction}",
        ]

    def _sending(
        self, lines: list[str], body: tuple[str, list[str]], step: Ask | Answer, *, again: float
    ) -> str:
        kind, content = body
        head = [*lines, *([f"Content-Type: {kind}"] if kind else []), "Content-Length: [len]", ""]
        message = "\n".join(self._names.fill(line) for line in [*head, *content])
        retrans = f' retrans="{int(again * 1000)}"' if again else ""
        return f"<send{retrans}{self._then(step)}><![CDATA[\n{message}\n]]></send>"

    def _hear(self, step: Hear) -> str:
        asked = step.what in _METHODS
        attributes = f'request="{step.what}"' if asked else f'response="{step.what}"'
        if step.optional:
            attributes += ' optional="true"'
        if step.challenge:
            attributes += ' auth="true"'
        attributes += f' timeout="{int(step.patience * 1000)}"'
        if step.otherwise:
            attributes += f' ontimeout="{self._label(step.otherwise)}"'
        takes = dict(step.take)
        if asked:
            self._heard = step.what
            if step.what == "INVITE":
                attributes += ' rrs="true"'
                takes |= {"via": "Via:", "cseq": "CSeq:"}
                if self._side is Side.CALLER or not self._in_dialog:
                    takes |= {"from": "From:", "to": "To:"}
        elif self._asked in {"INVITE", "CANCEL"}:
            self._refused = int(step.what) >= 300
            if not self._refused and step.what != "100":
                attributes += ' rrs="true"'
        actions = [self._ereg(".*", header, name) for name, header in takes.items()]
        if 'rrs="true"' in attributes:  # sipp's own [next_url] trips over a display name
            actions.append(self._ereg("sip:[^>]+", "Contact:", "contact"))
        actions += [
            self._ereg(expression, header, f"seen{self._at}_{number}", ' check_it="true"')
            for number, (header, expression) in enumerate(step.check.items())
        ]
        inner = f"<action>{''.join(actions)}</action>" if actions else ""
        return f"<recv {attributes}{self._then(step)}>{inner}</recv>"

    def _ereg(self, expression: str, header: str, name: str, more: str = "") -> str:
        self._variables.append(name)
        where = 'search_in="body"' if header == "Body" else f'search_in="hdr" header="{header}"'
        found = escape(self._names.fill(expression))
        return f'<ereg regexp="{found}" {where}{more} assign_to="{name}"/>'

    def _rest(self, step: Rest) -> str:
        return f'<pause milliseconds="{int(step.seconds * 1000)}"{self._then(step)}/>'

    def _stay(self, step: Stay) -> str:
        seconds = int(step.seconds * 1000)
        return f'<timewait milliseconds="{seconds}"/>' if seconds else "<nop/>"


def scenario(side: Side, steps: Steps, names: Names) -> str:
    """The XML of sipp for one side of a flow."""
    return _Writer(side, names).write(steps)
