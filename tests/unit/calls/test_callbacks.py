"""Which events of a call are told, and what is said of them."""

import msgspec
import pytest
from twilio.request_validator import RequestValidator

from gateway.calls.callbacks import KIND, for_event
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.parameters import call_parameters
from gateway.core.runner import Done
from gateway.webhooks.callbacks import Patience, Payload, StatusCallbacks
from tests.integration.webhook_servers import TOKEN, answer, fetching, serving
from twiml.nouns import CallEvent

ALL = tuple(event.value for event in CallEvent)
NOW = 1_700_000_000.0
PATIENCE = Patience(retry_for=14400.0)
CALL = Call(
    account_sid="AC1",
    sid="CA1",
    direction=CallDirection.OUTBOUND_API,
    status=CallStatus.INITIATED,
    from_address="+15550002000",
    to_address="+15550001000",
    status_callback="https://app.example/status",
    status_callback_method="GET",
    status_callback_events=ALL,
    date_created=NOW,
    date_updated=NOW,
)


def changed(**changes: object) -> Call:
    return msgspec.structs.replace(CALL, **changes)


def told(call: Call, event: CallEvent, sequence: int = 0, **given: object) -> Payload:
    (job,) = for_event(call, event, sequence=sequence, now=NOW, policy=PATIENCE, **given)
    return msgspec.json.decode(job.payload, type=Payload)


def test_a_callback_is_a_job_of_its_call() -> None:
    (job,) = for_event(CALL, CallEvent.RINGING, sequence=1, now=NOW, policy=PATIENCE)
    assert (
        (job.kind, job.account_sid, job.sid)
        == (KIND, "AC1", "CA1")
        == ("call_status", "AC1", "CA1")
    )
    assert (job.endpoint, job.sequence) == ("https://app.example", "CA1")
    assert job.expire_at == NOW + PATIENCE.retry_for
    payload = msgspec.json.decode(job.payload, type=Payload)
    assert (payload.url, payload.method) == ("https://app.example/status", "GET")


@pytest.mark.parametrize(
    ("event", "call", "status"),
    [
        (CallEvent.INITIATED, CALL, "initiated"),
        (CallEvent.RINGING, CALL, "ringing"),
        # What the call is by now does not matter: the event is told.
        (CallEvent.RINGING, changed(status=CallStatus.COMPLETED), "ringing"),
        (CallEvent.ANSWERED, CALL, "in-progress"),
        *(
            (CallEvent.COMPLETED, changed(status=status), status.value)
            for status in (
                CallStatus.COMPLETED,
                CallStatus.BUSY,
                CallStatus.FAILED,
                CallStatus.NO_ANSWER,
                CallStatus.CANCELED,
            )
        ),
    ],
)
def test_the_status_is_the_events(event: CallEvent, call: Call, status: str) -> None:
    assert dict(told(call, event).parameters)["CallStatus"] == status


def test_what_is_said_of_a_step() -> None:
    said = told(CALL, CallEvent.RINGING, 1, extra=[("SipCallId", "c1")]).parameters
    assert said == [
        *call_parameters(CALL, status=CallStatus.RINGING),
        ("Timestamp", "Tue, 14 Nov 2023 22:13:20 +0000"),
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", "1"),
        ("SipCallId", "c1"),
    ]


def test_nobody_says_otherwise_what_a_callback_says() -> None:
    forged = [(name, "forged") for name in ("CallSid", "SequenceNumber", "CallDuration", "X")]
    said = told(changed(status=CallStatus.COMPLETED), CallEvent.COMPLETED, 1, extra=forged)
    names = [name for name, _ in said.parameters]
    assert len(names) == len(set(names))
    assert [name for name, value in said.parameters if value == "forged"] == ["X"]


ENDS = [
    # started, ended, code, what is said of it
    (NOW - 61, NOW, 200, {"CallDuration": "61", "Duration": "2", "SipResponseCode": "200"}),
    (NOW - 60, NOW, 0, {"CallDuration": "60", "Duration": "1"}),
    (0.0, NOW, 486, {"CallDuration": "0", "Duration": "0", "SipResponseCode": "486"}),
]


@pytest.mark.parametrize(("started", "ended", "code", "said"), ENDS)
def test_what_is_said_of_the_end(
    started: float, ended: float, code: int, said: dict[str, str]
) -> None:
    call = changed(status=CallStatus.COMPLETED, started=started, ended=ended, sip_code=code)
    steps = dict(told(call, CallEvent.RINGING).parameters)
    end = dict(told(call, CallEvent.COMPLETED, 3).parameters)
    assert {name: end[name] for name in end.keys() - steps.keys()} == said
    assert end["SequenceNumber"] == "3"


def test_an_error_is_told_at_the_end() -> None:
    call = changed(status=CallStatus.FAILED, error_code=32011)
    assert told(call, CallEvent.COMPLETED).parameters[-1] == ("ErrorCode", "32011")
    assert "ErrorCode" not in dict(told(call, CallEvent.RINGING).parameters)


@pytest.mark.parametrize("event", CallEvent)
@pytest.mark.parametrize(
    ("url", "events"),
    [("https://app.example", ("completed",)), ("https://app.example", ()), ("", ALL)],
)
def test_only_what_is_asked_for_is_told(
    event: CallEvent, url: str, events: tuple[str, ...]
) -> None:
    call = changed(status_callback=url, status_callback_events=events)
    jobs = for_event(call, event, sequence=0, now=NOW, policy=PATIENCE)
    assert len(jobs) == (bool(url) and event.value in events)


def test_a_child_names_its_parent() -> None:
    call = changed(parent_sid="CA0", direction=CallDirection.OUTBOUND_DIAL)
    said = dict(told(call, CallEvent.ANSWERED).parameters)
    assert (said["CallSid"], said["ParentCallSid"]) == ("CA1", "CA0")


class Tokens:
    """One account with a token."""

    def token_of(self, account_sid: str) -> str | None:
        return TOKEN


async def test_an_app_gets_it_signed() -> None:
    async with serving(answer("204 No Content")) as server, fetching() as fetcher:
        call = changed(status_callback=f"{server.origin}/status", status_callback_method="POST")
        (job,) = for_event(call, CallEvent.ANSWERED, sequence=2, now=NOW, policy=PATIENCE)
        assert await StatusCallbacks(fetcher, Tokens(), PATIENCE)(job, 1) == Done()
        (seen,) = server.seen
    assert dict(seen.form)["CallStatus"] == "in-progress"
    assert seen.form == told(call, CallEvent.ANSWERED, 2).parameters
    assert seen.headers["I-Twilio-Idempotency-Token"] == job.id
    assert RequestValidator(TOKEN).validate(
        f"{server.origin}/status", dict(seen.form), seen.headers["X-Twilio-Signature"]
    )
