import msgspec

from twiml.parameters import (
    MAX_SIP_HEADERS,
    Leg,
    Place,
    Progress,
    status_parameters,
    voice_parameters,
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
