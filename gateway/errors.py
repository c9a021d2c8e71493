"""The error catalogue: Twilio's codes, with the HTTP status REST answers them with and their names.

The names are Twilio's own (https://www.twilio.com/docs/api/errors), because apps and their logs
match on them; what went wrong in one case is said beside them, by whoever found it.
"""

from enum import StrEnum
from typing import Final

import msgspec

_MORE_INFO: Final = "https://www.twilio.com/docs/errors/"


class Level(StrEnum):
    """How bad: a warning is noted and the work goes on."""

    ERROR = "error"
    WARNING = "warning"


class TwilioError(msgspec.Struct, frozen=True, kw_only=True):
    """One code of the catalogue; `http_status` is 0 for a code that no REST answer carries."""

    code: int
    http_status: int
    message: str
    level: Level

    @property
    def more_info(self) -> str:
        """The page about this code, as REST's `more_info` gives it."""
        return f"{_MORE_INFO}{self.code}"


def describe(code: int) -> TwilioError:
    """The entry of `code`; a code that is not in the catalogue gets a plain one."""
    known = _CATALOGUE.get(code)
    if known is not None:
        return known
    status = 400 if 20000 <= code < 30000 else 0
    return TwilioError(code=code, http_status=status, message=f"Error {code}", level=Level.ERROR)


_E: Final = Level.ERROR
_W: Final = Level.WARNING
_GEO: Final = (
    "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"
)
_FROM: Final = (
    "The 'From' phone number provided is not a valid message-capable Twilio phone number"
    " for this destination"
)

# code, HTTP status, level, name
_TABLE: Final[tuple[tuple[int, int, Level, str], ...]] = (
    # Accounts and REST in general
    (10001, 0, _E, "Account is not active"),
    (20001, 400, _W, "Unknown parameters"),
    (20002, 400, _E, "Invalid FriendlyName"),
    (20003, 401, _E, "Permission Denied"),
    (20004, 405, _E, "Method not allowed"),
    (20005, 403, _E, "Account not active"),
    (20006, 403, _E, "Access Denied"),
    (20007, 400, _E, "Page size too large"),
    (20008, 403, _E, "Test Credentials"),
    (20009, 409, _E, "Cannot delete this resource before it is complete"),
    (20010, 403, _E, "Action disabled for account"),
    (20101, 401, _E, "Invalid Access Token"),
    (20102, 401, _E, "Invalid Access Token header"),
    (20103, 401, _E, "Invalid Access Token issuer/subject"),
    (20104, 401, _W, "Access Token expired or expiration date invalid"),
    (20105, 401, _E, "Access Token not yet valid"),
    (20106, 401, _E, "Invalid Access Token grants"),
    (20107, 401, _E, "Invalid Access Token signature"),
    (20157, 401, _E, "Expiration Time Exceeds Maximum Time Allowed"),
    (20403, 403, _E, "403 Forbidden"),
    (20404, 404, _E, "Not Found"),
    (20409, 409, _E, "Conflict"),
    (20410, 410, _E, "Gone"),
    (20413, 413, _E, "Request Entity Too Large"),
    (20422, 422, _E, "Invalid Parameter"),
    (20423, 400, _E, "Invalid SID"),
    (20426, 426, _E, "Upgrade Required"),
    (20429, 429, _E, "Too Many Requests"),
    (20500, 500, _E, "Internal Server Error"),
    (20503, 503, _E, "Service unavailable"),
    # REST: accounts, numbers and their settings
    (21100, 400, _E, "Accounts Resource"),
    (21101, 400, _E, "Subaccounts cannot contain subaccounts"),
    (21201, 400, _E, "No Called number specified"),
    (21205, 400, _E, "Invalid URL"),
    (21206, 400, _E, "Invalid SendDigits"),
    (21208, 400, _E, "Invalid Timeout"),
    (21209, 400, _E, "Invalid Method"),
    (21213, 400, _E, "Caller phone number is required"),
    (21218, 400, _E, "Invalid ApplicationSid"),
    (21221, 400, _W, "Invalid SipAuthUsername. Must be fewer than 256 chars"),
    (21222, 400, _W, "Invalid SipAuthUsername. Illegal chars"),
    (21223, 400, _W, "Invalid SipAuthPassword. Must be fewer than 256 chars"),
    (21224, 400, _W, "Invalid SipAuthPassword. Illegal chars"),
    (21227, 400, _W, "Headers portion of SIP URI must be fewer than 1024 chars"),
    (21228, 400, _W, "Invalid SIP Header. Illegal chars in header name"),
    (21263, 400, _W, "Invalid Answering Machine Detection Parameters"),
    (21401, 400, _E, "Invalid Phone Number"),
    (21402, 400, _E, "Invalid Url"),
    (21403, 400, _E, "Invalid Method"),
    (21405, 400, _E, "Cannot set VoiceFallbackUrl without setting Url"),
    (21406, 400, _E, "Cannot set SmsFallbackUrl without setting SmsUrl"),
    (21420, 400, _E, "ApplicationSid is not accessible"),
    (21421, 400, _E, "Phone Number is invalid"),
    (21422, 400, _E, "PhoneNumber is not available"),
    (21451, 400, _E, "Invalid area code"),
    (21452, 400, _E, "No phone numbers found in area code"),
    (21457, 400, _E, "AreaCode Parameter not Supported"),
    (21470, 400, _E, "Invalid AccountSid"),
    (21471, 400, _E, "Account does not exist"),
    (21472, 400, _E, "Account is not active"),
    (21475, 400, _E, "Unable to update Status, invalid Status"),
    (21476, 400, _E, "Unable to update Status for subaccount, parent account is suspended"),
    (21477, 400, _E, "Unable to update Status for parent accounts"),
    (21479, 400, _E, "Unable to update Status for subaccount, subaccount has been closed"),
    (21480, 400, _E, "Reached maximum number of subaccounts"),
    (21481, 400, _E, "Invalid PageToken"),
    (21501, 400, _E, "Resource not available"),
    (21502, 400, _E, "Invalid callback url"),
    (21658, 400, _E, "Parameter exceeded character limit"),
    # REST: SIP domains and who may use them
    (21230, 400, _E, "Maximum Domains Reached"),
    (21231, 400, _E, "Domain Validation Error"),
    (21232, 400, _E, "Invalid Domain"),
    (21235, 400, _E, "IP Access Control List Validation Error"),
    (21236, 400, _E, "IP Access Control List Dependencies Violation"),
    (21237, 400, _E, "Maximum IP Addresses Reached for List"),
    (21238, 400, _E, "Address Validation Error"),
    (21239, 400, _E, "Maximum Credential Lists Reached"),
    (21240, 400, _E, "Credential List Validation Error"),
    (21241, 400, _E, "Credential List Dependencies Violation"),
    (21242, 400, _E, "Maximum Credentials Reached for List"),
    (21243, 400, _E, "Credential Validation Error"),
    (21255, 400, _E, "Maximum IP Access Control Lists reached"),
    # REST: calls
    (21215, 400, _E, "Geo Permission configuration is not permitting call"),
    (21216, 400, _E, "API: Call blocked by Twilio blocklist"),
    (21220, 400, _E, "Invalid call state"),
    (21626, 400, _E, "Invalid 'StatusCallbackEvent'"),
    (32018, 400, _E, "Twiml size exceeded maximum allowed value"),
    (32019, 0, _W, "Twiml and Voice URL are both set. Using Voice URL."),
    (32702, 400, _W, "Voice User-Defined Message: Invalid Content"),
    (32703, 400, _W, "Voice User-Defined Message: Content body exceeded max length"),
    # REST: messages
    (21210, 400, _E, "'From' phone number not verified"),
    (21211, 400, _E, "Invalid 'To' Phone Number"),
    (21212, 400, _E, "Invalid From Number (caller ID)"),
    (21214, 400, _E, "'To' phone number cannot be reached"),
    (21217, 400, _E, "Phone number does not appear to be valid"),
    (21218, 400, _E, "Invalid ApplicationSid"),
    (21408, 400, _E, _GEO),
    (21601, 400, _E, "Phone number is not a valid SMS-capable inbound phone number"),
    (21602, 400, _E, "Message body is required"),
    (21603, 400, _E, "A 'From' or 'MessagingServiceSid' parameter is required to send a message"),
    (21604, 400, _E, "The destination 'To' phone number is required to send an SMS"),
    (21605, 400, _E, "Maximum body length is 160 characters (old API endpoint)"),
    (21606, 400, _E, _FROM),
    (21608, 400, _E, "The 'to' phone number provided is not yet verified for this account"),
    (21609, 400, _E, "Invalid 'StatusCallback'"),
    (21610, 400, _E, "Attempt to send to unsubscribed recipient"),
    (21611, 400, _E, "This 'From' number has exceeded the maximum number of queued messages"),
    (21612, 400, _E, "The 'To' phone number is not currently reachable via SMS"),
    (21614, 400, _E, "'To' number is not a valid mobile number"),
    (21616, 400, _E, "The 'From' number matches multiple numbers for your account"),
    (21617, 400, _E, "The concatenated message body exceeds the 1600 character limit"),
    (21618, 400, _E, "The message body cannot be sent"),
    (21619, 400, _E, "Unable to create record"),
    (21620, 400, _E, "Invalid media URL(s)"),
    (21621, 400, _E, "The 'From' number has not been enabled for MMS"),
    (21622, 400, _E, "MMS has not been enabled for your account"),
    (21623, 400, _E, "Number of media files exceeds allowed limit"),
    (21624, 400, _E, "Invalid validity period value"),
    (21627, 400, _E, "Max Price must be a valid float"),
    (21653, 400, _E, "There are more recipient addresses than allowed"),
    (21654, 400, _E, "ContentSid Required"),
    (21655, 400, _E, "The ContentSid is Invalid"),
    (21657, 400, _E, "The Sender ID is invalid"),
    (21701, 400, _E, "The Messaging Service does not exist"),
    (21702, 400, _E, "The Messaging Service is not available to send new messages"),
    (
        21703,
        400,
        _E,
        "The Messaging Service does not have a phone number available to send a message",
    ),
    (21704, 400, _E, "The Messaging Service contains no phone numbers"),
    (21705, 400, _E, "The Messaging Service is invalid"),
    (21710, 400, _W, "Phone Number Already Exists in Messaging Service"),
    (21910, 400, _E, "Invalid From and To pair. From and To should be of the same channel"),
    # Fetching a URL
    (11100, 0, _E, "Invalid URL format"),
    (11200, 0, _E, "HTTP retrieval failure"),
    (11201, 0, _E, "TCP connection timed out"),
    (11202, 0, _E, "TCP connection refused"),
    (11203, 0, _E, "HTTP communication total time out triggered"),
    (11205, 0, _E, "HTTP connection failure"),
    (11206, 0, _E, "HTTP protocol violation"),
    (11210, 0, _E, "HTTP bad host name"),
    (11215, 0, _E, "HTTP too many redirects"),
    (11220, 0, _E, "SSL/TLS Handshake Error"),
    (11235, 0, _E, "Certificate Invalid - Domain Mismatch"),
    (11236, 0, _E, "Certificate Invalid - Certificate Expired"),
    (11237, 0, _E, "Certificate Invalid - Could not find path to certificate"),
    (11240, 0, _E, "HTTP connection edge location is invalid"),
    (11241, 0, _E, "HTTP connection edge location is not supported"),
    (11242, 0, _E, "HTTP connection over Twilio Interconnect is not allowed"),
    (11243, 0, _E, "HTTP retry policy is invalid"),
    (11251, 0, _E, "Fatal protocol violation"),
    (11300, 0, _E, "Invalid template URL"),
    (11310, 0, _E, "Invalid template token"),
    (11320, 0, _E, "Invalid template unclosed brackets"),
    (11750, 0, _E, "TwiML response body too large"),
    (11751, 0, _E, "Media Message - Media exceeds messaging provider size limit"),
    (11770, 0, _E, "Empty response body"),
    # TwiML documents
    (12100, 0, _E, "Document parse failure"),
    (12101, 0, _E, "Invalid Twilio Markup XML version"),
    (12102, 0, _E, "The root element must be Response"),
    (12200, 0, _W, "Schema validation warning"),
    (12300, 0, _E, "Invalid Content-Type"),
    (12301, 0, _E, "Invalid Upload Content-Type"),
    (12400, 0, _E, "Internal Failure"),
    # TwiML on calls
    (13000, 0, _W, "Conference Noun cannot be mixed with Number nouns"),
    (13201, 0, _E, "Dial: Cannot Dial out from a Dial Call Segment"),
    (13210, 0, _W, "Dial: Invalid method value"),
    (13212, 0, _W, "Dial: Invalid timeout value"),
    (13213, 0, _W, "Dial: Invalid hangupOnStar value"),
    (13214, 0, _W, "Dial: Invalid callerId value"),
    (13215, 0, _W, "Dial: Invalid nested element"),
    (13216, 0, _W, "Invalid timeLimit value"),
    (13217, 0, _W, "Dial: Invalid record value"),
    (13218, 0, _W, "Dial: Invalid sequential value"),
    (13219, 0, _W, "Dial: Invalid answerOnBridge value"),
    (13220, 0, _W, "Dial: Invalid ringTone value"),
    (13221, 0, _W, "Dial->Number: Invalid method value"),
    (13222, 0, _W, "Dial->Number: Invalid sendDigits value"),
    (13223, 0, _W, "Dial: Invalid phone number format"),
    (13230, 0, _W, "Dial->Conference: Invalid muted value"),
    (13231, 0, _E, "Dial->Conference: Invalid endConferenceOnExit value"),
    (13232, 0, _W, "Dial->Conference: Invalid startConferenceOnEnter value"),
    (13233, 0, _W, "Dial->Conference: Invalid waitUrl"),
    (13234, 0, _W, "Dial->Conference: Invalid waitMethod"),
    (13235, 0, _W, "Dial->Conference: Invalid beep value"),
    (13237, 0, _W, "Dial->Conference: Invalid Conference Name"),
    (13238, 0, _E, "Dial->Conference: Invalid Verb used in waitUrl, holdUrl, or announceUrl TwiML"),
    (13239, 0, _E, "Dial->Conference: Invalid Trim Value"),
    (13240, 0, _E, "Dial->Conference: Invalid Whisper SID"),
    (13241, 0, _W, "Dial->SIP: Invalid method value"),
    (13243, 0, _W, "Dial->SIP: Invalid SIP URI"),
    (13249, 0, _W, "Dial: Invalid username or password attribute"),
    (13250, 0, _W, "Dial: Too many URIs passed"),
    (13251, 0, _W, "Dial: Too many headers passed"),
    (13252, 0, _W, "Dial: Invalid header name"),
    (13253, 0, _W, "Dial: Header is too long"),
    (13256, 0, _W, "Invalid recordingStatusCallback URL"),
    (13257, 0, _E, "Invalid transcribeCallback URL"),
    (13310, 0, _W, "Gather: Invalid finishOnKey value"),
    (13312, 0, _W, "Gather: Invalid method value"),
    (13313, 0, _W, "Gather: Invalid timeout value"),
    (13314, 0, _W, "Gather: Invalid numDigits value"),
    (13320, 0, _W, "Gather: Invalid nested verb"),
    (13321, 0, _W, "Gather->Say: Invalid voice value"),
    (13322, 0, _W, "Gather->Say: Invalid loop value"),
    (13326, 0, _W, "Gather: Invalid input value"),
    (13327, 0, _W, "Gather: Invalid speechTimeout value"),
    (13328, 0, _W, "Gather: Invalid maxSpeechTime value"),
    (13329, 0, _W, "Gather: Invalid partialResultCallbackMethod value"),
    (13330, 0, _W, "Gather: Invalid hints value"),
    (13331, 0, _W, "Gather: Invalid language value"),
    (13332, 0, _W, "Gather: Invalid bargeIn value"),
    (13333, 0, _W, "Gather: Invalid profanityFilter value"),
    (13334, 0, _W, "Gather: Invalid model value"),
    (13338, 0, _E, "Gather: Invalid actionOnEmptyResult value"),
    (13410, 0, _W, "Play: Invalid loop value"),
    (13430, 0, _W, "Play: Invalid DTMF String"),
    (13510, 0, _W, "Say: Invalid loop value"),
    (13511, 0, _W, "Say: Invalid voice value"),
    (13512, 0, _W, 'Gather element has an invalid "language" attribute value'),
    (13520, 0, _W, "Say: Invalid text"),
    (13521, 0, _W, "<Say> element character limits exceeded"),
    (13610, 0, _W, "Record: Invalid method value"),
    (13611, 0, _W, "Record: Invalid timeout value"),
    (13612, 0, _W, "Record: Invalid maxLength value"),
    (13613, 0, _W, "Record: Invalid finishOnKey value"),
    (13614, 0, _W, "Record: Invalid transcribe value"),
    (13616, 0, _W, "Record: playBeep must be true or false"),
    (13621, 0, _E, "Invalid 'recordingStatusCallbackEvent'"),
    (13699, 0, _W, "Record: Invalid trim value"),
    (13710, 0, _W, "Redirect: Invalid method value"),
    (13750, 0, _E, "Twiml verb not supported by this API version."),
    (13810, 0, _W, "Reject: Invalid cause"),
    (13910, 0, _W, "Pause: Invalid length value"),
    (14201, 0, _E, "Enqueue: Invalid method value"),
    (14202, 0, _E, "Enqueue: Invalid waitUrl"),
    (14203, 0, _E, "Enqueue: Invalid Enqueue action url"),
    (14204, 0, _E, "Enqueue: Queue name too short"),
    (14205, 0, _E, "Enqueue: Queue name too long"),
    (14206, 0, _E, "Enqueue: Invalid waitUrlMethod value"),
    (14210, 0, _E, "Dial->Queue: Invalid whisper method"),
    (14211, 0, _E, "Dial->Queue: Invalid whisper url"),
    (14212, 0, _E, "Dial->Queue: queue name too short"),
    (14213, 0, _E, "Dial->Queue: queue name too long"),
    (14300, 0, _E, "Start: Invalid nested noun value"),
    # Recordings
    (16108, 0, _E, "Voice Recording: Request failed due to concurrent recordings"),
    # TwiML replies to a message
    (14101, 0, _W, 'Invalid "To" attribute'),
    (14102, 0, _W, 'Invalid "From" attribute'),
    (14103, 0, _W, "Invalid Body"),
    (14104, 0, _W, "Invalid Method attribute"),
    (14105, 0, _W, "Invalid statusCallback attribute"),
    (14106, 0, _W, "Document retrieval limit reached"),
    (14107, 0, _E, "SMS send rate limit exceeded"),
    (14108, 0, _W, "From phone number not SMS capable"),
    (14109, 0, _W, "TwiML Reply message limit exceeded"),
    (14110, 0, _W, "Invalid Verb for SMS Reply"),
    (14111, 0, _W, "Invalid To phone number for Trial mode"),
    # Delivery of messages
    (30001, 0, _E, "Queue overflow"),
    (30002, 0, _E, "Account suspended"),
    (30003, 0, _E, "Unreachable destination handset"),
    (30004, 0, _E, "Message blocked"),
    (30005, 0, _E, "Unknown destination handset"),
    (30006, 0, _E, "Landline or unreachable carrier"),
    (30007, 0, _E, "Message filtered"),
    (30008, 0, _E, "Unknown error"),
    (30009, 0, _E, "Missing inbound segment"),
    (30010, 0, _E, "Message price exceeds max price"),
    (30011, 0, _E, "MMS not supported by the receiving phone number in this region"),
    (30012, 0, _E, "TTL is too small"),
    (30013, 0, _E, "TTL is too big"),
    (30014, 0, _E, "'To' attributes are Invalid"),
    (30015, 0, _E, "Non-supported channel type is used"),
    (30016, 0, _E, "'To' and 'From' channel types are incompatible"),
    (30017, 0, _E, "Carrier network congestion"),
    (30018, 0, _W, "Destination carrier requires sender ID pre-registration"),
    (30019, 0, _E, "Content size exceeds carrier limit"),
    (30036, 0, _E, "Validity period expired"),
    (30409, 400, _E, "This message cannot be canceled"),
    (30410, 0, _E, "Provider Timeout Error"),
    (35118, 400, _E, "MessagingServiceSid is required to schedule a message"),
)

_CATALOGUE: Final = {
    code: TwilioError(code=code, http_status=status, message=name, level=level)
    for code, status, level, name in _TABLE
}
