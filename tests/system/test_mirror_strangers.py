"""Who does not keep to the protocol of mirrors: strangers who want a broker to send, and a source that lies."""
import random
import struct

import hermes_test
from datagrams import CHALLENGE, FARTHEST, JOIN, SETUP, Peer, data, frame, join, nak, setup, status
from hermes_test import Case

PORT = 7400
LINES = b"a line\n" * 100
GOOD = b"".join(frame(sequence, b"good") for sequence in (1, 2, 3))
LIES = {
    "a sequence again": GOOD + frame(3, b"again"),
    "a sequence left out": GOOD + frame(5, b"five"),
    "no frame": GOOD + b"?" * 64,
    "a frame that is longer than any": GOOD + frame(4, b"four", length=2**32 - 1),
    "zeros": GOOD + bytes(64),
}


class Strangers(Case):
    broker_config = "[net]\ninsecure = true\n"

    def setUp(self):
        super().setUp()
        pick = random.SystemRandom()
        self.host = f"127.{pick.randint(1, 254)}.{pick.randint(1, 254)}.{pick.randint(1, 254)}"  # nobody else's
        self.url = f"udp://{self.host}:{PORT}"

    def peer(self, host="127.0.0.1", port=0):
        peer = Peer(host, port)
        self.addCleanup(peer.close)
        return peer

    def answer(self, peer, datagram, kind):
        """The next of that kind; what is lost is sent again."""
        answers = []

        def comes():
            peer.send(datagram, (self.host, PORT))
            answer = peer.receive()
            answers.extend([answer] if answer is not None and answer[0] == kind else [])
            return answers
        self.wait_for(comes, f"an answer of kind {kind}")
        return answers[0]

    def serve(self):
        self.broker.run("topic", "create", "t")
        self.broker.run("pub", "t", data=LINES)
        self.broker.run("mirror", "serve", "t", self.url)

    def joined(self, peer, nonce):
        """(what it joined with, the answer)."""
        body = self.answer(peer, join(nonce), CHALLENGE)[4]
        request = join(nonce, struct.unpack("<QQ", body)[1])
        return request, self.answer(peer, request, SETUP)

    def test_a_stranger_gets_nothing_longer_than_what_it_said(self):
        self.serve()
        peer = self.peer()
        for said in (join(), join(cookie=7), nak(0, [(0, 64)], 5, 1024), status(0, 5, 1024), nak(0, [(0, 1 << 30)], 5, 1024)):
            peer.send(said, (self.host, PORT))
            while (answer := peer.receive()) is not None:
                self.assertLess(48 + len(answer[4]), len(said))

    def test_a_cookie_is_good_at_its_address_alone(self):
        self.serve()
        request, _ = self.joined(self.peer(), 9)
        for other in self.peer(), self.peer("127.0.0.5"):
            self.answer(other, request, CHALLENGE)

    def follow(self, topic, start, log):
        """Answers who joins, and sends it that log from there."""
        source = self.peer(self.host, PORT)
        self.broker.run("mirror", "add", topic, self.url, "--durability", "memory")

        def step():
            heard = source.receive()
            if heard is None or heard[0] != JOIN:
                return
            nonce, cookie = struct.unpack_from("<QQ", heard[4], 16)
            if cookie == 0:
                source.challenge(nonce, heard[5])
                return
            source.send(setup(nonce, start, start, start, number=source.next()), heard[5])
            source.send(data(start, log, source.next()), heard[5])
        return source, step

    def state(self, topic):
        lines = self.broker.run("mirror", "list", "--json").stdout.decode().splitlines()
        return next(line for line in lines if f'"{topic}"' in line)

    def test_a_source_that_lies_is_not_believed(self):
        for number, (what, log) in enumerate(LIES.items()):
            topic = f"t{number}"
            source, step = self.follow(topic, 0, log)
            self.wait_for(lambda: step() or '"state":"failed"' in self.state(topic), what)
            self.assertIn("EMALFORMED", self.state(topic))
            self.assertEqual(self.broker.info(topic)["last_sequence"], 3)
            source.close()
        self.assertEqual(self.broker.stop(), (0, []))

    def test_a_source_may_stand_at_the_end_of_all_positions(self):
        _, step = self.follow("t", FARTHEST - 128, GOOD)
        self.wait_for(lambda: step() or self.broker.info("t")["last_sequence"] == 3, "all three")
        self.assertEqual(self.broker.info("t")["committed_position"], FARTHEST + 64)
        self.assertEqual(self.broker.stop(), (0, []))


if __name__ == "__main__":
    hermes_test.main()
