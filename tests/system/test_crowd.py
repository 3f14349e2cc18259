"""Very many connections that have nothing to do, each with an outlet: what they cost."""
import os
import resource
import socket
import struct
import time

import stream_client as s
from hermes_test import LONG, Case, is_sanitized, main

WANTED = 10_000 if LONG else 2_000
MOST_BYTES = 10_000  # of memory for each of them, on average


def measured(pid):
    """(bytes of memory, seconds of a processor) that it has"""
    with open(f"/proc/{pid}/status") as file:
        kilobytes = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return kilobytes * 1024, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Crowd(Case):
    broker_config = f"[net]\nlisten = tcp://127.0.0.1:0\n[broker]\nsessions_max = {2 * WANTED}\n[limits]\ngreet_ms = 60000\n" \
                    f"sessions_per_user = {2 * WANTED}\n"

    def setUp(self):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        self.count = min(WANTED, limit[1] - 200)
        super().setUp()

    def connect(self, address):
        """Asks for all that it wants at once, and reads the answers later."""
        client = socket.create_connection(address)
        self.addCleanup(client.close)
        client.settimeout(60)
        hello = struct.pack("<H6x64s", 2, b"crowd")
        wanted = s.name("t") + struct.pack("<QIIQQ", 0, s.AT_END, 0, 0, 1 << 20)
        client.sendall(s.HEADER.pack(s.MAGIC, 1, s.HELLO, 0, 1, 0, len(hello), 0) + hello
                       + s.HEADER.pack(s.MAGIC, 1, s.OUTLET_OPEN, 0, 2, 0, len(wanted), 0) + wanted)
        return client

    def read(self, client, kind):
        header = client.recv(s.HEADER.size, socket.MSG_WAITALL)
        _, _, came, _, _, _, length, _ = s.HEADER.unpack(header)
        payload = client.recv(length, socket.MSG_WAITALL) if length else b""
        self.assertEqual(came, kind, payload)
        return payload

    def test_who_is_idle_costs_little_and_hears_of_what_comes(self):
        address = "127.0.0.1", int(self.broker.process.stdout.readline().rsplit(b":", 1)[1])
        publisher = s.Client(address)
        publisher.create("t")
        pid = self.broker.process.pid
        before, _ = measured(pid)
        clients = []
        while len(clients) < self.count:  # some at a time: who has not greeted is one of few
            some = [self.connect(address) for _ in range(min(10, self.count - len(clients)))]
            for client in some:
                self.read(client, s.WELCOME)
                self.read(client, s.OUTLET)
            clients += some
        after, spent = measured(pid)
        each = (after - before) / len(clients)
        self.assertTrue(is_sanitized() or each < MOST_BYTES, f"{len(clients)} connections, {each:.0f} bytes each")
        print(f"{len(clients)} connections, {each:.0f} bytes of memory each")
        if LONG:
            time.sleep(10)
            print(f"{(measured(pid)[1] - spent) / 10:.2%} of a core, while they are idle")
        intake = publisher.publisher("t")
        publisher.publish(intake.handle, s.frame(1, b"to all"))
        for client in clients:
            payload = self.read(client, s.LOG)
            self.assertEqual([m.payload for m in s.messages(0, payload[32:])], [b"to all"])
        publisher.close()


main()
