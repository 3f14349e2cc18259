#!/usr/bin/env python3
"""Prints tests/vectors/sealed.txt, made from docs/reference/udp.md with hmac, hashlib and an AES-GCM of its own (FIPS 197,
NIST SP 800-38D), so that nothing of OpenSSL is in it.

    key    SECRET ID MEMBER GENERATION KEY SALT
    sealed SECRET ID MEMBER PLAIN SEALED"""
import hashlib
import hmac
import struct

SECRET = bytes(range(32))
DATA, NAK, UNKNOWN = 83, 85, 88


def times(a, b):
    """In the field of AES."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def make_box():
    box = []
    for value in range(256):
        inverse = next((x for x in range(256) if times(value, x) == 1), 0)
        rotated = [(inverse << shift | inverse >> (8 - shift)) & 255 for shift in range(5)]
        box.append(rotated[0] ^ rotated[1] ^ rotated[2] ^ rotated[3] ^ rotated[4] ^ 0x63)
    return box


BOX = make_box()


def expand_key(key):
    words = [key[i:i + 4] for i in range(0, 32, 4)]
    constant = 1
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0:
            word = bytes(BOX[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = times(constant, 2)
        elif i % 8 == 4:
            word = bytes(BOX[b] for b in word)
        words.append(bytes(a ^ b for a, b in zip(words[-8], word)))
    return [b"".join(words[i:i + 4]) for i in range(0, 60, 4)]


def aes(round_keys, block):
    state = [a ^ b for a, b in zip(block, round_keys[0])]
    for number, round_key in enumerate(round_keys[1:], 1):
        state = [BOX[b] for b in state]
        state = [state[(i + 4 * (i % 4)) % 16] for i in range(16)]
        if number < 14:
            mixed = []
            for column in range(0, 16, 4):
                c = state[column:column + 4]
                for i in range(4):
                    mixed.append(times(c[i], 2) ^ times(c[(i + 1) % 4], 3) ^ c[(i + 2) % 4] ^ c[(i + 3) % 4])
            state = mixed
        state = [a ^ b for a, b in zip(state, round_key)]
    return bytes(state)


def hash_times(a, b):
    """In the field of GHASH."""
    product = 0
    for bit in range(127, -1, -1):
        product ^= b if a >> bit & 1 else 0
        b = (b >> 1) ^ (0xE1 << 120 if b & 1 else 0)
    return product


def gcm(key, nonce, plain, beside):
    keys = expand_key(key)
    hash_key = int.from_bytes(aes(keys, bytes(16)), "big")
    cipher = b""
    for at in range(0, len(plain), 16):
        stream = aes(keys, nonce + struct.pack(">I", 2 + at // 16))
        cipher += bytes(a ^ b for a, b in zip(plain[at:at + 16], stream))
    padded = beside + bytes(-len(beside) % 16) + cipher + bytes(-len(cipher) % 16)
    padded += struct.pack(">QQ", 8 * len(beside), 8 * len(cipher))
    digest = 0
    for at in range(0, len(padded), 16):
        digest = hash_times(digest ^ int.from_bytes(padded[at:at + 16], "big"), hash_key)
    mask = int.from_bytes(aes(keys, nonce + struct.pack(">I", 1)), "big")
    return cipher + (digest ^ mask).to_bytes(16, "big")


def derive(secret, secret_id, member, generation):
    info = b"hermes mirror 1\0" + struct.pack("<HH4xQ", secret_id, member, generation)
    first = hmac.new(secret, info + b"\1", hashlib.sha256).digest()
    second = hmac.new(secret, first + info + b"\2", hashlib.sha256).digest()
    return first, second[:12]


def datagram(kind, position, number, session, receiver, body):
    head = struct.pack("<IBBHQQII", 0x4D524548, 1, kind, 0, position, 1000, 16 + len(body), 0)
    return head + struct.pack("<QII", number, session, receiver) + body


def seal(secret_id, member, plain):
    number = struct.unpack_from("<Q", plain, 32)[0]
    key, salt = derive(SECRET, secret_id, member, number >> 26)
    nonce = salt[:4] + struct.pack("<Q", struct.unpack("<Q", salt[4:])[0] ^ number)
    head = plain[:28] + struct.pack("<HH", secret_id, member) + plain[32:48]
    return head + gcm(key, nonce, plain[48:], head)


def main():
    test = gcm(bytes(32), bytes(12), bytes(16), b"")  # test case 14 of McGrew, Viega, "The Galois/Counter Mode of Operation"
    assert test.hex() == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
    for secret_id, member, generation in [(1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0), (0xFFFE, 0xFFFF, 2**38 - 1)]:
        key, salt = derive(SECRET, secret_id, member, generation)
        print("key", SECRET.hex(), secret_id, member, generation, key.hex(), salt.hex())
    slices = bytes(i & 255 for i in range(128))
    nak = struct.pack("<QQQQQ", 3, 1000, 300, 128, 64)
    for secret_id, member, plain in [
            (1, 0, datagram(DATA, 4096, 1, 0xABCD0001, 0, slices)),
            (1, 0, datagram(DATA, 4096, 2**26, 0xABCD0001, 0x401, slices)),
            (1, 7, datagram(NAK, 128, 1, 0xABCD0001, 0x401, nak)),
            (300, 0, datagram(UNKNOWN, 0, 5, 0xABCD0001, 0x401, b""))]:
        print("sealed", SECRET.hex(), secret_id, member, plain.hex(), seal(secret_id, member, plain).hex())


main()
