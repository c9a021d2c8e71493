"""SDP: session descriptions, and offer and answer over them; SIP and WebRTC share it."""
