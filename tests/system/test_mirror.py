"""A topic of one broker on another, in datagrams that a proxy loses, delays and reorders: every byte compared."""
import os
import resource
import socket
import time
import unittest

import hermes_test
import stream_client as s
from hermes_test import Broker, is_sanitized
from mirror_case import INSECURE, SMALL, MirrorCase, free_port

MIRROR_REMOVE, EINVALID, ENOTFOUND = 50, -1, -6


class Mirror(MirrorCase):
    # ---- what is copied ----

    def test_the_copy_has_every_byte_and_readers_see_it(self):
        self.broker.run("topic", "create", "t", *SMALL)
        self.publish("t", 200)
        self.publish("t", 20, 30000)
        port = self.serve("t")
        self.other.run("mirror", "add", "t", f"udp://127.0.0.1:{port}", *SMALL)
        self.assert_same()
        self.publish("t", 2000)
        self.publish("t", 50, 32000)
        self.assert_same()
        self.assertEqual(self.messages(self.other), self.messages(self.broker))
        self.assertIn(b"0 damaged", self.other.run("verify", "t").stdout)
        end = self.broker.info("t")["committed_position"]
        self.shows(self.broker, role="serves", state="active", receivers=1, position=end, lag_bytes=0, gone=0)
        self.shows(self.other, role="follows", state="active", position=end, lag_bytes=0, gone=0)
        for broker, follows in ((self.broker, 0), (self.other, 1)):  # the same, without a word with the broker
            wanted = {"name": f"udp://127.0.0.1:{port}", "topic": "t", "follows": follows, "state": 2, "position_bytes": end}
            self.wait_for(lambda: wanted.items() <= self.counted(broker).items(), f"{wanted} is counted")
            self.assertGreater(self.counted(broker)["log_bytes"], 0)
            row = next(line for line in broker.run("stat").stdout.decode().splitlines() if line.startswith("udp://"))
            self.assertEqual(row.split()[:5], [f"udp://127.0.0.1:{port}", "t", *(["follows", "active", "-"] if follows else
                                                                                ["serves", "active", "1"])])

    def test_several_follow_over_ipv6_in_memory_and_one_of_them_serves_another(self):
        self.broker.run("topic", "create", "t", *SMALL)
        try:
            port = self.serve("t", "[::1]") if socket.has_ipv6 else None
        except OSError:
            self.skipTest("no IPv6 here")
        third, last = self.another(), self.another()
        self.other.run("mirror", "add", "t", f"udp://[::1]:{port}", *SMALL)
        third.run("mirror", "add", "t", f"udp://[::1]:{port}", "--durability", "memory", *SMALL)
        last.run("mirror", "add", "t", f"udp://127.0.0.1:{self.serve('t', broker=third)}", *SMALL)
        self.state(self.other, "active")
        self.publish("t", 300)
        for broker in (self.other, third, last):
            self.await_copy(broker=broker)
        told = self.messages(self.broker)
        for broker in (self.other, third, last):
            self.assertEqual(self.messages(broker), told)

    def test_no_faster_than_its_rate(self):
        source = self.another("[mirror]\nrate = 512K\n")
        source.run("topic", "create", "t", *SMALL)
        self.publish("t", 100, 8000, broker=source)
        begin = time.monotonic()
        self.other.run("mirror", "add", "t", f"udp://127.0.0.1:{self.serve('t', broker=source)}", *SMALL)
        self.await_copy(of=source)
        took = time.monotonic() - begin
        size = source.info("t")["committed_position"]
        self.assertGreater(took, (size - 65536) / 524288)  # but for what may go at once

    def test_threads_that_spin_copy_as_well(self):
        spins = "[mirror]\nspin_us = 20000\n"
        source, copy = self.another(spins), self.another(spins)
        source.run("topic", "create", "t", *SMALL)
        copy.run("mirror", "add", "t", f"udp://127.0.0.1:{self.serve('t', broker=source)}", *SMALL)
        for _ in range(3):
            self.publish("t", 100, broker=source)
            self.await_copy(broker=copy, of=source)
        self.assertEqual(self.messages(copy), self.messages(source))

    # ---- a network that loses, delays and reorders ----

    def through(self, loss, delay, count, seed):
        self.broker.run("topic", "create", "t", *SMALL)
        proxy = self.proxy(self.serve("t"), loss, delay, seed)
        self.other.run("mirror", "add", "t", proxy.url, *SMALL)
        self.publish("t", count, 600)
        self.assert_same()
        return proxy

    def test_one_datagram_in_a_hundred_is_lost(self):
        self.through(0.01, 0.002, 3000, 1)

    def test_one_in_ten_is_lost(self):
        proxy = self.through(0.1, 0.005, 2000, 2)
        self.assertGreater(proxy.lost, 0)
        self.counts(self.other, "lost", "naks")
        self.counts(self.broker, "repaired", "naks", "rtt_ns")
        self.shows(self.other, gone=0)

    def test_three_in_ten_are_lost(self):
        self.through(0.3, 0.002, 1000, 3)

    def test_a_blackout_is_caught_up_with(self):
        self.broker.run("topic", "create", "t", *SMALL)
        proxy = self.proxy(self.serve("t"))
        self.other.run("mirror", "add", "t", proxy.url, *SMALL)
        self.publish("t", 100)
        self.await_copy()
        proxy.loss = 1.0
        self.publish("t", 3000)  # more than a window
        self.state(self.other, "waiting")
        self.state(self.broker, "waiting")
        proxy.loss = 0.0
        self.assert_same()

    # ---- restarts ----

    def test_both_are_killed_in_the_middle_and_go_on_where_they_were(self):
        self.broker.run("topic", "create", "t", *SMALL)
        proxy = self.proxy(self.serve("t"), 0.05, 0.001, 4)
        self.other.run("mirror", "add", "t", proxy.url, *SMALL)
        for killed in (self.other, self.broker, self.other, self.broker):
            before = self.other.info("t")["committed_position"]
            self.publish("t", 1000, 600)
            self.wait_for(lambda: self.other.info("t")["committed_position"] > before, "some of it is copied")
            killed.kill()
            killed.start()
        self.publish("t", 100)
        self.assert_same()
        self.assertEqual(self.messages(self.other), self.messages(self.broker))

    def test_both_are_stopped_in_good_order_and_go_on_where_they_were(self):
        self.broker.run("topic", "create", "t", *SMALL)
        self.other.run("mirror", "add", "t", f"udp://127.0.0.1:{self.serve('t')}", *SMALL)
        for stopped in (self.other, self.broker):
            self.publish("t", 100)
            self.await_copy()
            self.assertEqual(stopped.stop(), (0, []))
            stopped.start()
            self.assert_same()
        self.publish("t", 100)
        self.assert_same()

    def test_publishers_come_and_go_and_the_copy_follows(self):
        self.broker.run("topic", "create", "t", *SMALL)
        self.other.run("mirror", "add", "t", f"udp://127.0.0.1:{self.serve('t')}", *SMALL)
        self.state(self.other, "active")
        for _ in range(10):  # each has an epoch of its own
            self.publish("t", 5)
        self.assert_same()

    # ---- what is gone ----

    def test_who_comes_late_begins_with_what_is_still_there(self):
        self.broker.run("topic", "create", "t", *SMALL, "--keep-bytes", "1M")
        while self.broker.info("t")["first_position"] == 0:
            self.publish("t", 2000, 600)
        begin = self.broker.info("t")["first_position"]
        port = self.serve("t")
        self.other.run("mirror", "add", "t", f"udp://127.0.0.1:{port}", "--window", "256K", "--segment", "4M")
        self.await_copy()
        self.assert_same(begin=self.broker.info("t")["first_position"])
        self.assertGreaterEqual(self.other.info("t")["first_position"], begin)
        self.other.kill()
        self.other.start()
        self.publish("t", 100)
        self.assert_same(begin=self.broker.info("t")["first_position"])

    def test_what_a_topic_in_memory_has_no_more_is_lost_and_the_copy_in_memory_goes_on(self):
        memory = ("--durability", "memory", "--window", "256K")
        self.broker.run("topic", "create", "t", *memory)
        proxy = self.proxy(self.serve("t"))
        self.other.run("mirror", "add", "t", proxy.url, *memory)
        self.publish("t", 10)
        self.await_copy()
        proxy.loss = 1.0
        self.publish("t", 3000, 600)
        self.state(self.other, "waiting")
        proxy.loss = 0.0
        self.publish("t", 10)
        self.await_copy()
        self.counts(self.other, "gone")
        last = self.broker.info("t")["last_sequence"]
        self.assertEqual(self.other.info("t")["last_sequence"], last)

    def test_another_topic_of_the_same_name_is_not_taken_for_the_same(self):
        self.broker.run("topic", "create", "t", *SMALL)
        port = self.serve("t")
        self.other.run("mirror", "add", "t", f"udp://127.0.0.1:{port}", *SMALL)
        self.publish("t", 10)
        self.await_copy()
        self.broker.run("mirror", "remove", "t")
        self.broker.run("topic", "delete", "t")
        self.broker.run("topic", "create", "t", *SMALL)
        self.publish("t", 20)
        self.broker.run("mirror", "serve", "t", f"udp://127.0.0.1:{port}")
        self.state(self.other, "diverged")
        self.assertEqual(self.other.info("t")["last_sequence"], 10)

    # ---- by configuration ----

    def configured(self, text, broker=None):
        if broker is None:
            broker = Broker(INSECURE + text)
            self.addCleanup(broker.close)
            return broker
        with open(os.path.join(broker.home, "hermes.conf"), "w") as file:
            file.write(INSECURE + text)
        broker.kill()
        broker.start()
        return broker

    def test_a_source_in_memory_that_began_anew_is_not_taken_for_the_same(self):
        """Nor when it is longer by then than the copy, message by message alike."""
        memory = ("--durability", "memory", "--window", "256K")
        self.broker.run("topic", "create", "t", *memory)
        proxy = self.proxy(self.serve("t"))
        self.other.run("mirror", "add", "t", proxy.url, *memory)
        self.broker.run("pub", "t", data=b"of the first life\n" * 10)
        self.await_copy()
        proxy.loss = 1.0
        self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start()
        self.broker.run("pub", "t", data=b"of the second one\n" * 11)
        proxy.loss = 0.0
        self.state(self.other, "diverged")
        self.assertEqual(self.other.info("t")["last_sequence"], 10)

    def test_mirrors_that_are_configured_begin_at_the_start(self):
        self.broker.run("topic", "create", "t")
        self.publish("t", 10)
        nowhere, port = free_port(), free_port()
        follows = self.configured(f"[mirror]\nadd = t udp://127.0.0.1:{nowhere}\n")
        self.shows(follows, role="follows", url=f"udp://127.0.0.1:{nowhere}")
        self.configured(f"[mirror]\nserve = t udp://127.0.0.1:{port}\nserve = none udp://127.0.0.1:{port}\n",
                        self.broker)
        self.told("no such topic yet")
        self.configured(f"[mirror]\nadd = t udp://127.0.0.1:{port}\n", follows)  # it comes before what is known
        self.shows(follows, role="follows", url=f"udp://127.0.0.1:{port}")
        self.await_copy(broker=follows)

    # ---- what is refused ----

    def test_a_mirror_takes_no_publisher_until_it_is_removed(self):
        self.broker.run("topic", "create", "t", *SMALL)
        self.other.run("mirror", "add", "t", f"udp://127.0.0.1:{self.serve('t')}", *SMALL)
        self.publish("t", 10)
        self.await_copy()
        for command, said in ((("pub", "t"), "takes no publisher of its own"),
                              (("topic", "delete", "t"), "has a mirror"),
                              (("topic", "purge", "t"), "is a mirror"),
                              (("mirror", "add", "t", "udp://127.0.0.1:9"), "follows udp://")):
            result = self.other.run(*command, data=b"x\n", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(said, result.stderr.decode())
        self.other.kill()
        self.other.start()
        self.assertEqual(self.other.run("pub", "t", data=b"x\n", check=False).returncode, 1)
        self.other.run("mirror", "remove", "t")
        self.assertEqual(self.mirrors(self.other), [])
        self.other.run("pub", "t", data=b"x\n")
        self.assertEqual(self.other.info("t")["last_sequence"], 11)
        self.other.run("topic", "delete", "t")

    def refused(self, said, *command):
        result = self.other.run("mirror", *command, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(said, result.stderr.decode())
        self.assertEqual(self.mirrors(self.other), [])

    def test_what_cannot_be_a_mirror_is_refused_by_name(self):
        self.other.run("topic", "create", "t")
        self.other.run("topic", "create", "shared", "--shared")
        self.other.run("topic", "create", "used")
        self.other.run("pub", "used", data=b"x\n")
        self.refused("not udp://HOST:PORT", "add", "t", "tcp://127.0.0.1:7000")
        self.refused("the port is missing", "add", "t", "udp://127.0.0.1")
        self.refused("port 0", "serve", "t", "udp://127.0.0.1:0")
        self.refused("shared", "add", "shared", "udp://127.0.0.1:7000")
        self.refused("messages of its own", "add", "used", "udp://127.0.0.1:7000")
        self.refused("no mirror", "remove", "t")
        self.refused("bound", "serve", "t", "udp://203.0.113.7:7000")  # nobody's address (RFC 5737)
        self.refused("not udp://HOST:PORT", "add", "new", "nonsense")
        self.assertNotIn(b"new", self.other.run("topic", "list").stdout)
        self.other.run("pub", "t", data=b"x\n")  # it is a topic like others still

    def test_without_insecure_nothing_is_sent_in_the_clear_and_nothing_is_followed(self):
        plain = Broker()
        self.addCleanup(plain.close)
        plain.run("topic", "create", "t")
        result = plain.run("mirror", "add", "t", "udp://127.0.0.1:7000", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("insecure = true", result.stderr.decode())
        port = self.serve("t", broker=plain)
        self.other.run("mirror", "add", "t", f"udp://127.0.0.1:{port}")
        self.wait_for(lambda: self.mirrors(plain)[0]["refused"] > 0, "it is asked")
        self.shows(plain, receivers=0)
        self.shows(self.other, state="waiting", datagrams=0)

    def test_a_mirror_that_may_not_be_any_more_is_listed_and_can_be_removed(self):
        self.broker.run("topic", "create", "t", *SMALL)
        self.other.run("mirror", "add", "t", f"udp://127.0.0.1:{self.serve('t')}", *SMALL)
        self.publish("t", 10)
        self.await_copy()
        self.assertEqual(self.other.stop(), (0, []))
        with open(os.path.join(self.other.home, "hermes.conf"), "w") as file:
            file.write("[net]\ninsecure = false\n")
        self.other.start()
        self.state(self.other, "failed")
        self.other.run("mirror", "remove", "t")
        self.assertEqual(self.mirrors(self.other), [])
        self.other.run("pub", "t", data=b"x\n")  # it is a topic like others
        self.assertEqual(len(self.messages(self.other)), 11)

    def test_which_mirror_is_meant_is_said_by_its_address_and_another_address_is_none(self):
        self.broker.run("topic", "create", "t", *SMALL)
        first = f"udp://127.0.0.1:{self.serve('t')}"
        self.other.run("mirror", "add", "t", first, *SMALL)
        second = f"udp://127.0.0.1:{self.serve('t', broker=self.other)}"
        client = s.Client(os.path.join(self.other.home, "broker.sock"))
        self.addCleanup(client.close)
        for url, code, said in ("udp://127.0.0.1:9", ENOTFOUND, "no mirror at udp://127.0.0.1:9"), ("", EINVALID, "two mirrors"):
            with self.assertRaisesRegex(s.Error, said) as caught:
                client.ask(MIRROR_REMOVE, s.name("t") + s.name(url))
            self.assertEqual(caught.exception.code, code)
        self.other.run("mirror", "remove", "t", first)
        self.assertEqual([mirror["url"] for mirror in self.mirrors(self.other)], [second])

    @unittest.skipIf(is_sanitized(), "AddressSanitizer has reserved all memory there is")
    def test_a_mirror_that_cannot_begin_is_none(self):
        self.other.run("topic", "create", "t", *SMALL)
        process = self.other.process.pid
        with open(f"/proc/{process}/statm") as file:
            mapped = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        before = resource.prlimit(process, resource.RLIMIT_AS, (mapped + (2 << 20), resource.RLIM_INFINITY))  # no stack fits
        result = self.other.run("mirror", "add", "t", "tls://127.0.0.1:9", check=False)
        resource.prlimit(process, resource.RLIMIT_AS, before)
        self.assertEqual(result.returncode, 1)
        self.assertIn("thread", result.stderr.decode())
        self.assertEqual(self.mirrors(self.other), [])
        self.assertFalse(os.path.exists(os.path.join(self.other.home, "data/topics/t/mirror.conf")))
        self.other.run("pub", "t", data=b"x\n")  # it is a topic like others

    def test_a_window_that_is_too_small_is_said(self):
        self.broker.run("topic", "create", "t", "--window", "1M")
        self.other.run("mirror", "add", "t", f"udp://127.0.0.1:{self.serve('t')}", *SMALL)
        while [m["state"] for m in self.mirrors(self.other)] != ["failed"]:
            self.publish("t", 100, 30000)
        self.wait_for(lambda: "window is smaller" in self.other.messages(), "the operator is told")


if __name__ == "__main__":
    hermes_test.main()
