"""WebRTC below its descriptions: ICE, and DTLS for the keys of SRTP, by aiortc and aioice."""
