"""A topic of one broker on another, sealed with a key that the one asked the other for over TLS."""
import os
import socket
import struct

import hermes_test
import stream_client as s
from keys_case import RULES, KeysCase
from mirror_case import SMALL

MIRROR_KEY, MIRROR_GRANT = 53, 54
EACCESS, ENOTFOUND = -5, -6
JOIN = struct.pack("<IBBHQQII", s.MAGIC, 1, 80, 0, 0, 1, 16 + 80, 0)


class Keys(KeysCase):
    def follow(self, other=None):
        self.port = self.serve("t")
        (other or self.other).run("mirror", "add", "t", self.url["tls"], *SMALL)

    def client(self, address):
        client = s.Client(address)
        self.addCleanup(client.close)
        return client

    def refusals(self):
        return self.mirrors(self.broker)[0]["refused"]

    # ---- what is copied ----

    def test_the_copy_has_every_byte_and_goes_on_when_either_was_away(self):
        self.follow()
        self.publish("t", 500)
        self.assert_same()
        self.shows(self.broker, role="serves", state="active", receivers=1)
        self.shows(self.other, role="follows", state="active", url=self.url["tls"], error="")
        self.assertEqual(self.other.stop(), (0, []))
        self.publish("t", 500)
        self.other.start()
        self.assert_same()
        self.broker.kill()
        self.wait_for(self.is_free, "the kernel lets go of where it listened")  # io_uring: a moment later
        self.broker.start()
        self.publish("t", 500)
        self.assert_same()

    def test_several_have_keys_of_their_own(self):
        self.follow()
        others = [self.other, self.another()]
        others[1].run("mirror", "add", "t", self.url["tls"], *SMALL)
        for other in others:
            self.state(other, "active")
        self.publish("t", 500)
        for other in others:
            self.assert_same(broker=other)
        self.shows(self.broker, receivers=2)

    # ---- who is not let in ----

    def test_who_has_no_key_is_not_answered(self):
        self.follow()
        self.state(self.other, "active")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.connect(("127.0.0.1", self.port))
            before = self.refusals()
            stranger.send(JOIN.ljust(128, b"\0"))
            stranger.send(JOIN[:28] + struct.pack("<HH", 77, 1) + bytes(96 + 16))  # sealed, with nobody's key
            self.wait_for(lambda: self.refusals() >= before + 2, "both are refused")
            stranger.setblocking(False)
            self.assertRaises(BlockingIOError, stranger.recv, 4096)

    def test_who_loses_the_right_gets_nothing_more_until_it_is_given_back(self):
        self.follow()
        self.publish("t", 100)
        self.await_copy()
        self.reload("allow token:other subscribe t\n")
        self.shows(self.broker, receivers=0)
        self.shows(self.other, state="waiting", error="HERMES_ENOTFOUND")  # as of a topic that is not there
        last = self.other.info("t")["last_sequence"]
        self.publish("t", 100)
        self.assertEqual(self.other.info("t")["last_sequence"], last)
        self.reload(RULES)
        self.assert_same()

    def test_who_does_not_trust_the_other_says_so_and_waits(self):
        self.broker.run("cert", "server", "--dir", os.path.join(self.broker.home, "others"))
        wary = self.another(os.path.join(self.broker.home, "others/ca.crt"))
        self.follow(wary)
        self.shows(wary, state="waiting", error="HERMES_EACCESS")
        self.wait_for(lambda: "certificate" in wary.messages(), "the operator is told why")
        self.assertEqual(wary.stop(), (0, []))

    # ---- what is asked for ----

    def grant(self, client, topic="t"):
        reply = client.ask(MIRROR_KEY, s.name(topic), MIRROR_GRANT)
        self.assertEqual(len(reply), 184)
        topic_id, lasts_ns, url, secret, key, member, reserved = struct.unpack("<QQ128s32sHHI", reply)
        self.assertEqual((url.rstrip(b"\0").decode(), member, reserved), (f"udp://127.0.0.1:{self.port}", 1, 0))
        self.assertGreater(lasts_ns, 0)
        return topic_id, secret, key

    def refused(self, code, client, topic):
        with self.assertRaises(s.Error) as caught:
            client.ask(MIRROR_KEY, s.name(topic), MIRROR_GRANT)
        self.assertEqual(caught.exception.code, code, caught.exception)

    def test_a_session_has_one_key_and_another_session_another(self):
        self.port = self.serve("t")
        socket_path = os.path.join(self.broker.home, "broker.sock")
        one, other = self.client(socket_path), self.client(socket_path)
        first = self.grant(one)
        self.assertEqual(self.grant(one), first)
        second = self.grant(other)
        self.assertEqual(second[0], first[0])
        self.assertNotEqual(second[1:], first[1:])
        self.assertNotEqual(second[2], first[2])

    def test_a_key_is_of_a_topic_that_is_sent_and_goes_over_no_plain_connection(self):
        self.broker.run("topic", "create", "unsent")
        self.port = self.serve("t")
        local = self.client(os.path.join(self.broker.home, "broker.sock"))
        self.refused(ENOTFOUND, local, "unsent")
        self.refused(ENOTFOUND, local, "nosuch")
        self.reload("allow anonymous subscribe t\n")
        host, port = self.url["tcp"][len("tcp://"):].rsplit(":", 1)
        self.refused(EACCESS, self.client((host, int(port))), "t")

    def test_no_more_keys_are_handed_out_than_there_are_places(self):
        self.port = self.serve("t")
        clients = [self.client(os.path.join(self.broker.home, "broker.sock")) for _ in range(33)]
        for client in clients[:32]:
            self.grant(client)
        self.refused(-21, clients[32], "t")
        self.broker.run("mirror", "remove", "t")
        self.assertEqual(self.broker.run("mirror", "list").returncode, 0)


if __name__ == "__main__":
    hermes_test.main()
