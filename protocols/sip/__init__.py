"""SIP: the wire, the machines of RFC 3261 and its companions, and sockets only in `endpoint`."""
