"""What can go wrong in the ng protocol, by whose fault it is."""


class ProtocolError(Exception):
    """The protocol was broken."""


class LocalProtocolError(ProtocolError):
    """Our side wants to send what can't be written."""


class RemoteProtocolError(ProtocolError):
    """What came can't be read."""


class Unanswered(RemoteProtocolError):
    """A command has no answer; the text goes on after the name of who was asked."""
