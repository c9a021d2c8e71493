"""The names under which apps are told of things, which nobody outside says: what a page gives to
its call goes to the app beside them, signed as they are.

`SENT` is all that this gateway sends. `KNOWN` are the others that apps written for Twilio believe
as well: https://www.twilio.com/docs/voice/twiml and https://www.twilio.com/docs/messaging/twiml.
"""

from typing import Final

SENT: Final = frozenset({
    # every request about a call
    "CallSid", "AccountSid", "From", "To", "Caller", "Called", "CallStatus", "Direction",
    "ApiVersion", "FromCity", "FromState", "FromZip", "FromCountry", "ToCity", "ToState", "ToZip",
    "ToCountry", "CallerCity", "CallerState", "CallerZip", "CallerCountry", "CalledCity",
    "CalledState", "CalledZip", "CalledCountry", "ParentCallSid", "ForwardedFrom", "CallerName",
    "CallToken", "StirVerstat", "StirPassportToken", "AnsweredBy", "ApplicationSid", "CustomerId",
    "SipDomain", "SipDomainSid", "SipCallId", "SipSourceIp", "SipUsername",
    # status callbacks, and what failed
    "Timestamp", "CallbackSource", "SequenceNumber", "CallDuration", "Duration", "SipResponseCode",
    "ErrorCode", "ErrorUrl",
    # how a verb ended
    "DialCallStatus", "DialCallSid", "DialCallDuration", "DialBridged", "DialSipResponseCode",
    "DialSipCallId", "Digits", "FinishedOnKey", "msg", "ReferCallStatus", "ReferSipResponseCode",
    "NotifySipResponseCode", "ReferTransferTarget",
    # recordings
    "RecordingUrl", "RecordingSid", "RecordingDuration", "RecordingStatus", "RecordingChannels",
    "RecordingStartTime", "RecordingSource", "RecordingTrack",
    # queues
    "QueueSid", "QueueResult", "QueueTime", "QueuePosition", "AvgQueueTime", "CurrentQueueSize",
    "MaxQueueSize", "DequeingCallSid",
    # conferences
    "ConferenceSid", "FriendlyName", "StatusCallbackEvent", "Muted", "Hold", "Coaching",
    "CallSidToCoach", "StartConferenceOnEnter", "EndConferenceOnExit", "ParticipantLabel",
    "ReasonParticipantLeft", "ParticipantCallStatus", "CallSidEndingConference",
    "ParticipantLabelEndingConference", "ReasonConferenceEnded", "Reason",
    # messages, and those of calls
    "MessageSid", "MessageStatus", "SmsSid", "SmsStatus", "SmsMessageSid", "Body", "NumMedia",
    "NumSegments", "Sid", "Content", "ContentType",
})  # fmt: skip

KNOWN: Final = frozenset({
    "AsyncAmdStatus", "Confidence", "DequeueResult", "DequeuedCallSid", "DequeuedCallQueueTime",
    "DequeuedCallDuration", "ErrorMessage", "Language", "MachineDetectionDuration",
    "MessagingServiceSid", "OptOutType", "QueueFriendlyName", "SpeechResult", "StableSpeechResult",
    "StirStatus", "StreamSid", "StreamEvent", "TranscriptionSid", "TranscriptionStatus",
    "TranscriptionText", "TranscriptionUrl", "UnstableSpeechResult",
})  # fmt: skip

BEGINNINGS: Final = ("SipHeader_", "DialSipHeader_", "MediaUrl", "MediaContentType")
"""What is told of many begins so."""


def is_reserved(name: str) -> bool:
    """Whether only the gateway says it; so is what some servers read as the same name.

    PHP and others take `Digits[x]` for `Digits`, whatever blanks stand before it.
    """
    plain = name.partition("[")[0].partition("\0")[0].strip()
    return plain in SENT or plain in KNOWN or plain.startswith(BEGINNINGS)
