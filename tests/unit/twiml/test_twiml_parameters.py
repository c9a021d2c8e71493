import msgspec

from twiml.call import (
    DialEnded,
    DialStatus,
    QueueLeft,
    QueueResult,
    Recorded,
    RecordEnd,
    Referred,
    ReferStatus,
    Texted,
)
from twiml.parameters import (
    MAX_SIP_HEADERS,
    Happening,
    Leg,
    Participant,
    Place,
    Progress,
    Waiting,
    conference_parameters,
    dequeued_parameters,
    dial_parameters,
    gather_parameters,
    queue_parameters,
    record_parameters,
    refer_parameters,
    sms_parameters,
    status_parameters,
    voice_parameters,
    waiting_parameters,
)

LEG = Leg(
    call_sid="CA1",
    account_sid="AC1",
    from_="+15550002000",
    to="+15550001000",
    status="ringing",
    direction="inbound",
)


def test_what_every_request_says() -> None:
    assert voice_parameters(LEG) == (
        ("CallSid", "CA1"),
        ("AccountSid", "AC1"),
        ("From", "+15550002000"),
        ("To", "+15550001000"),
        ("Caller", "+15550002000"),
        ("Called", "+15550001000"),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("ApiVersion", "2010-04-01"),
    )


def test_what_is_known_is_said() -> None:
    leg = msgspec.structs.replace(
        LEG,
        from_place=Place(city="Oslo", country="NO"),
        parent_call_sid="CA0",
        forwarded_from="+15550003000",
        caller_name="Ann",
        call_token="t",
        stir_verstat="No-TN-Validation",
        stir_passport_token="p",
        answered_by="human",
        application_sid="AP1",
        sip_domain="d.example",
        sip_domain_sid="SD1",
        sip_call_id="c@d",
        sip_source_ip="192.0.2.1",
        sip_headers=(("X-Ticket", "7"), ("Via", "hidden"), ("x-odd", "a\udc80b")),
        custom=(("room", "blue"),),
    )
    assert voice_parameters(leg)[9:] == (
        ("FromCity", "Oslo"),
        ("FromState", ""),
        ("FromZip", ""),
        ("FromCountry", "NO"),
        ("CallerCity", "Oslo"),
        ("CallerState", ""),
        ("CallerZip", ""),
        ("CallerCountry", "NO"),
        ("ParentCallSid", "CA0"),
        ("ForwardedFrom", "+15550003000"),
        ("CallerName", "Ann"),
        ("CallToken", "t"),
        ("StirVerstat", "No-TN-Validation"),
        ("StirPassportToken", "p"),
        ("AnsweredBy", "human"),
        ("ApplicationSid", "AP1"),
        ("SipDomain", "d.example"),
        ("SipDomainSid", "SD1"),
        ("SipCallId", "c@d"),
        ("SipSourceIp", "192.0.2.1"),
        ("SipHeader_X-Ticket", "7"),
        ("SipHeader_x-odd", "a?b"),
        ("room", "blue"),
    )
    to = msgspec.structs.replace(LEG, to_place=Place(zip="1"))
    assert ("ToZip", "1") in voice_parameters(to)
    assert ("CalledZip", "1") in voice_parameters(to)


def test_headers_are_bounded() -> None:
    headers = tuple((f"X-{at}", "v") for at in range(1000))
    leg = msgspec.structs.replace(LEG, sip_headers=headers)
    assert len(voice_parameters(leg)) == 9 + MAX_SIP_HEADERS


def test_a_status_callback_says_when_and_which() -> None:
    said = status_parameters(LEG, Progress(at=0.0, sequence=2))
    assert said[:9] == voice_parameters(LEG)
    assert said[9:] == (
        ("Timestamp", "Thu, 01 Jan 1970 00:00:00 +0000"),
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", "2"),
    )


def test_the_last_status_callback_says_how_long() -> None:
    progress = Progress(
        at=1.0,
        sequence=3,
        duration=61,
        sip_response_code=200,
        recording_url="https://r/1",
        recording_sid="RE1",
        recording_duration="60",
    )
    assert status_parameters(LEG, progress)[12:] == (
        ("CallDuration", "61"),
        ("Duration", "2"),
        ("SipResponseCode", "200"),
        ("RecordingUrl", "https://r/1"),
        ("RecordingSid", "RE1"),
        ("RecordingDuration", "60"),
    )
    never = status_parameters(LEG, Progress(at=1.0, sequence=3, duration=0))
    assert never[12:] == (("CallDuration", "0"), ("Duration", "0"))


def test_what_actions_are_told() -> None:
    assert gather_parameters("12", "#") == (
        ("Digits", "12"),
        ("FinishedOnKey", "#"),
        ("msg", "Gather End"),
    )
    recorded = Recorded(ask=1, end=RecordEnd.LIMIT, sid="RE1", url="https://r/RE1", duration=9)
    assert record_parameters(recorded, "5") == (
        ("RecordingUrl", "https://r/RE1"),
        ("RecordingSid", "RE1"),
        ("RecordingDuration", "9"),
        ("Digits", "5"),
    )
    left = QueueLeft(ask=1, result=QueueResult.QUEUE_FULL)
    assert queue_parameters(left) == (("QueueResult", "queue-full"), ("QueueTime", "0"))
    texted = Texted(ask=1, status="sent", message_sid="SM1")
    assert sms_parameters(texted) == (("SmsSid", "SM1"), ("SmsStatus", "sent"))
    referred = Referred(ask=1, status=ReferStatus.NO_ANSWER, sip_code=202)
    assert refer_parameters(referred) == (
        ("ReferCallStatus", "no-answer"),
        ("ReferSipResponseCode", "202"),
    )


def test_a_dials_action_is_told_of_its_recording_and_of_its_queue() -> None:
    ended = DialEnded(
        ask=1,
        status=DialStatus.COMPLETED,
        bridged=True,
        recording_url="https://r/RE1",
        recording_sid="RE1",
        recording_duration=7,
        queue_sid="QU1",
        queue_result=QueueResult.BRIDGED,
        queue_time=3,
    )
    assert dial_parameters(ended) == (
        ("DialCallStatus", "completed"),
        ("DialBridged", "true"),
        ("RecordingUrl", "https://r/RE1"),
        ("RecordingSid", "RE1"),
        ("RecordingDuration", "7"),
        ("QueueResult", "bridged"),
        ("QueueSid", "QU1"),
        ("QueueTime", "3"),
    )


def test_what_is_told_of_who_waits_and_is_fetched() -> None:
    waiting = Waiting(queue_sid="QU1", position=2, waited=30, average=45, size=5, max_size=100)
    assert waiting_parameters(waiting) == (
        ("QueueSid", "QU1"),
        ("QueuePosition", "2"),
        ("QueueTime", "30"),
        ("AvgQueueTime", "45"),
        ("CurrentQueueSize", "5"),
        ("MaxQueueSize", "100"),
    )
    assert dequeued_parameters("QU1", 31, "CA2") == (
        ("QueueSid", "QU1"),
        ("QueueTime", "31"),
        ("DequeingCallSid", "CA2"),
    )


def test_what_happens_in_a_conference_is_told() -> None:
    joined = Happening(
        conference_sid="CF1",
        name="room",
        event="participant-join",
        sequence=1,
        at=0.0,
        participant=Participant(call_sid="CA1", muted=True, coached="CA2", label="agent"),
    )
    assert conference_parameters(joined) == (
        ("ConferenceSid", "CF1"),
        ("FriendlyName", "room"),
        ("StatusCallbackEvent", "participant-join"),
        ("SequenceNumber", "1"),
        ("Timestamp", "Thu, 01 Jan 1970 00:00:00 +0000"),
        ("CallSid", "CA1"),
        ("Muted", "true"),
        ("Hold", "false"),
        ("Coaching", "true"),
        ("CallSidToCoach", "CA2"),
        ("StartConferenceOnEnter", "true"),
        ("EndConferenceOnExit", "false"),
        ("ParticipantLabel", "agent"),
    )


def test_the_end_of_a_conference_is_told_with_its_cause() -> None:
    ended = Happening(
        conference_sid="CF1",
        name="room\udc80",
        event="conference-end",
        sequence=9,
        at=0.0,
        ended_by="CA1",
        ended_by_label="agent",
        ended_reason="participant-with-end-conference-on-exit-left",
        ended_why="agent left",
    )
    told = conference_parameters(ended)
    assert told[1] == ("FriendlyName", "room?")
    assert told[5:] == (
        ("CallSidEndingConference", "CA1"),
        ("ParticipantLabelEndingConference", "agent"),
        ("ReasonConferenceEnded", "participant-with-end-conference-on-exit-left"),
        ("Reason", "agent left"),
    )
    left = Happening(
        conference_sid="CF1",
        name="room",
        event="participant-leave",
        sequence=8,
        at=0.0,
        participant=Participant(call_sid="CA1"),
        reason_left="participant_hung_up",
        call_status="completed",
    )
    assert conference_parameters(left)[-2:] == (
        ("ReasonParticipantLeft", "participant_hung_up"),
        ("ParticipantCallStatus", "completed"),
    )
