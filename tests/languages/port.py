"""One side of test_languages.py in Python: port.py publish|consume TOPIC SIZE,SIZE..."""
import sys

import hermes_msg as hermes

role, topic, sizes = sys.argv[1], sys.argv[2], [int(n) for n in sys.argv[3].split(",")]


def pattern(n):
    return bytes(i * 7 % 251 for i in range(n))


with hermes.connect() as client:
    if role == "publish":
        pub = client.publisher(topic)
        for n in sizes:
            pub.send(pattern(n))
        try:
            pub.send(bytes(65537))
            sys.exit("65,537 bytes were taken")
        except hermes.PayloadTooLarge:
            pub.wait()
    else:
        sub = client.subscriber(topic, "first")
        for n in sizes:
            message = sub.poll(60)
            assert message is not None and message.payload == pattern(n), n
print("good")
