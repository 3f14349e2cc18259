"""A topic of one broker on several others by multicast: on the loopback interface, and between network namespaces where those
can be made, which needs root, ip and nft."""
import itertools
import os
import shutil
import socket
import subprocess
import unittest

import hermes_test
from keys_case import RULES, KeysCase
from mirror_case import INSECURE, SMALL, free_port

GROUP = "239.255.77.2"


def has_multicast():
    """Does what is sent to a group on the loopback interface come back?"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hears, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as says:
        lo = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
        try:
            hears.bind((GROUP, 0))
            hears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, lo)
            says.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            says.sendto(b"x", hears.getsockname())
            hears.settimeout(5)
            return hears.recv(1) == b"x"
        except OSError:
            return False


class GroupCase(KeysCase):
    host, interface = "127.0.0.1", "lo"

    def serve_group(self):
        """At a port that nobody else has, to a group that others on this machine may be in, too."""
        while True:
            port, group = free_port(), free_port()
            self.group = f"group={GROUP}:{group}&interface={self.interface}"
            url = f"udp://{self.host}:{port}?{self.group}"
            result = self.broker.run("mirror", "serve", "t", url, check=False)
            if result.returncode == 0:
                return url
            self.assertIn("in use", result.stderr.decode())

    def follow_all(self, *others):
        for other in others:
            other.run("mirror", "add", "t", f"{self.url['tls']}?interface={self.interface}", *SMALL)
        for other in others:
            self.state(other, "active")


class Group(GroupCase):
    def test_all_have_every_byte_of_one_stream(self):
        self.serve_group()
        third = self.another()
        self.follow_all(self.other, third)
        self.publish("t", 1000)
        self.assert_same(broker=self.other)
        self.assert_same(broker=third)
        self.shows(self.broker, receivers=2)
        self.wait_for(lambda: self.mirrors(self.broker)[0]["bytes"] <= 2 * self.broker.info("t")["committed_position"],
                      "it is sent once for both, but for what was there before one of them")

    def test_who_leaves_does_not_get_what_comes_and_the_others_do(self):
        self.serve_group()
        third = self.another(token=self.broker.run("auth", "token", "create", "third").stdout.decode())
        both = RULES + "allow token:third subscribe t\n"
        self.reload(both)
        self.follow_all(self.other, third)
        self.publish("t", 100)
        self.await_copy(broker=third)
        self.await_copy()
        self.reload(RULES)
        self.shows(third, state="waiting")
        self.shows(self.broker, receivers=1)
        last = third.info("t")["last_sequence"]
        self.publish("t", 500)
        self.assert_same(broker=self.other)
        self.assertEqual(third.info("t")["last_sequence"], last)
        self.reload(both)
        self.assert_same(broker=third)

    def test_in_the_clear_where_both_say_so(self):
        brokers = [hermes_test.Broker(INSECURE) for _ in range(3)]
        for broker in brokers:
            self.addCleanup(broker.close)
        self.broker = brokers[0]
        self.broker.run("topic", "create", "t", *SMALL)
        url = self.serve_group()
        for other in brokers[1:]:
            other.run("mirror", "add", "t", url, *SMALL)
        for other in brokers[1:]:
            self.state(other, "active")
        self.publish("t", 500)
        for other in brokers[1:]:
            self.assert_same(broker=other)


class Switch:
    """Three hosts, and what connects them."""
    FILTER = """table inet t {
        chain to { type filter hook input priority 0; meta l4proto udp numgen random mod 100 < 5 drop; }
        chain from { type filter hook output priority 0; meta l4proto udp numgen random mod 100 < 5 drop; }
    }"""

    def __init__(self):
        self.hosts = [f"hermes-{os.getpid()}-{name}" for name in ("feed", "one", "two")]
        self.hub = f"hermes-{os.getpid()}-hub"
        try:
            self.lay()
        except BaseException:
            self.remove()
            raise

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def lay(self):
        for name in (self.hub, *self.hosts):
            self.ip("netns", "add", name)
        self.ip("-n", self.hub, "link", "add", "hub", "type", "bridge", "mcast_snooping", "0")
        self.ip("-n", self.hub, "link", "set", "hub", "up")
        for i, host in enumerate(self.hosts):
            self.ip("-n", host, "link", "add", "wire", "type", "veth", "peer", "name", f"port{i}", "netns", self.hub)
            self.ip("-n", host, "address", "add", f"10.213.78.{i + 1}/24", "dev", "wire")
            self.ip("-n", host, "link", "set", "wire", "up")
            self.ip("-n", host, "link", "set", "lo", "up")
            self.ip("-n", self.hub, "link", "set", f"port{i}", "master", "hub", "up")

    def lose(self):
        """One datagram in twenty, of each host, in each direction."""
        for host in self.hosts:
            subprocess.run(["ip", "netns", "exec", host, "nft", "-f", "-"], input=self.FILTER.encode(), check=True, capture_output=True)

    def remove(self):
        for name in (self.hub, *self.hosts):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


class HostedBroker(hermes_test.Broker):
    """hermesd on a host of its own."""

    def __init__(self, host):
        super().__init__(starts=False)
        self.host = host

    def start(self, *before, **options):
        return super().start("ip", "netns", "exec", self.host, *before, **options)


def has_switch():
    """Not every container may make namespaces, and filter in them."""
    if os.geteuid() != 0 or not all(shutil.which(program) for program in ("ip", "nft")):
        return False
    try:
        switch = Switch()
        try:
            switch.lose()
        finally:
            switch.remove()
    except subprocess.CalledProcessError:
        return False
    return True


class Network(GroupCase):
    host, interface = "10.213.78.1", "wire"

    def setUp(self):
        if not has_switch():
            raise unittest.SkipTest("needs root, ip and nft")
        self.switch = Switch()
        self.addCleanup(self.switch.remove)
        self.hosts = itertools.chain(self.switch.hosts)
        super().setUp()

    def new_broker(self):
        return HostedBroker(next(self.hosts))

    def test_a_feed_on_one_host_and_who_reads_it_on_two_others_over_wires_that_lose(self):
        self.switch.lose()
        self.serve_group()
        two = self.another()
        self.follow_all(self.other, two)
        self.publish("t", 2000, 600)
        for broker in (self.other, two):
            self.assert_same(broker=broker)
            self.assertEqual(self.messages(broker), self.messages(self.broker))


if __name__ == "__main__":
    if not has_multicast():
        print("skipped: no multicast on the loopback interface")
        raise SystemExit(77)
    hermes_test.main()
