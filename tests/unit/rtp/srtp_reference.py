"""SRTP and SRTCP written down from RFC 3711 and RFC 7714, one packet at a time, for comparison.

The ciphers are those of `cryptography`, the framing is the RFCs': nothing of libsrtp is in it.
"""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC


def keystream(key: bytes, iv: bytes, size: int) -> bytes:
    """AES in counter mode (RFC 3711 §4.1.1)."""
    return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(bytes(size))


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def derive(key: bytes, salt: bytes, label: int, size: int) -> bytes:
    """RFC 3711 §4.3.1 with a key derivation rate of 0; a shorter salt is filled on the right."""
    x = int.from_bytes(salt.ljust(14, b"\0")) ^ (label << 48)
    return keystream(key, (x << 16).to_bytes(16), size)


def counter_mode(key: bytes, salt: bytes, ssrc: bytes, index: int, text: bytes) -> bytes:
    iv = (int.from_bytes(salt) << 16) ^ (int.from_bytes(ssrc) << 64) ^ (index << 16)
    return xor(text, keystream(key, iv.to_bytes(16), len(text)))


def tag(key: bytes, octets: bytes, size: int) -> bytes:
    mac = HMAC(key, hashes.SHA1())  # what RFC 3711 §4.2.1 names
    mac.update(octets)
    return mac.finalize()[:size]


def protect_cm(master: bytes, packet: bytes, roc: int, tag_size: int) -> bytes:
    """AES_CM_128_HMAC_SHA1: a packet with a header of 12 octets."""
    key, salt = master[:16], master[16:]
    header, payload = packet[:12], packet[12:]
    index = roc << 16 | int.from_bytes(packet[2:4])
    text = counter_mode(
        derive(key, salt, 0, 16), derive(key, salt, 2, 14), packet[8:12], index, payload
    )
    authentic = derive(key, salt, 1, 20)
    return header + text + tag(authentic, header + text + roc.to_bytes(4), tag_size)


def protect_rtcp_cm(master: bytes, packet: bytes, index: int) -> bytes:
    key, salt = master[:16], master[16:]
    text = counter_mode(
        derive(key, salt, 3, 16), derive(key, salt, 5, 14), packet[4:8], index, packet[8:]
    )
    whole = packet[:8] + text + (1 << 31 | index).to_bytes(4)
    return whole + tag(derive(key, salt, 4, 20), whole, 10)


def gcm(key: bytes, salt: bytes, packet: bytes, roc: int) -> bytes:
    """AEAD_AES_GCM of an RTP packet with its session key and salt (RFC 7714 §8)."""
    iv = xor(bytes(2) + packet[8:12] + roc.to_bytes(4) + packet[2:4], salt)
    return packet[:12] + AESGCM(key).encrypt(iv, packet[12:], packet[:12])


def protect_gcm(master: bytes, packet: bytes, roc: int, key_size: int) -> bytes:
    key, salt = master[:key_size], master[key_size:]
    return gcm(derive(key, salt, 0, key_size), derive(key, salt, 2, 12), packet, roc)


def protect_rtcp_gcm(master: bytes, packet: bytes, index: int, key_size: int) -> bytes:
    key, salt = master[:key_size], master[key_size:]
    iv = xor(bytes(2) + packet[4:8] + bytes(2) + index.to_bytes(4), derive(key, salt, 5, 12))
    last = (1 << 31 | index).to_bytes(4)
    cipher = AESGCM(derive(key, salt, 3, key_size))
    return packet[:8] + cipher.encrypt(iv, packet[8:], packet[:8] + last) + last
