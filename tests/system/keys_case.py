"""A broker that sends a topic to who has a token, over TLS, and others that have one."""
import os
import random
import signal
import socket

from hermes_test import Broker
from mirror_case import SMALL, MirrorCase

RULES = "allow token:desk subscribe t\n"


class KeysCase(MirrorCase):
    host = "127.0.0.1"

    def setUp(self):
        super().setUp()
        self.broker.run("topic", "create", "t", *SMALL)

    @staticmethod
    def new_broker():
        return Broker(starts=False)

    def make_broker(self):
        """The one that sends: over TLS, to who has a token."""
        broker = self.new_broker()
        self.addCleanup(broker.close)
        broker.run("cert", "server", self.host)
        self.write(broker, "rules", RULES)
        self.token = broker.run("auth", "token", "create", "desk").stdout.decode()
        while True:  # below the ports that the kernel gives out: nobody takes it while the broker is away
            port = random.SystemRandom().randrange(15000, 30000)
            self.url = {"tls": f"tls://{self.host}:{port}", "tcp": f"tcp://127.0.0.1:{port + 1}"}
            self.write(broker, "hermes.conf", f"[net]\nlisten = {self.url['tls']}, {self.url['tcp']}\n")
            try:
                broker.start()
                return broker
            except AssertionError:
                broker.process.wait()
                broker.process.stdout.close()
                self.assertIn("in use", broker.messages())

    def is_free(self):
        """What is left of connections is no matter."""
        try:
            for url in self.url.values():
                host, port = url.split("//")[1].rsplit(":", 1)
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((host, int(port)))
                    probe.listen()
        except OSError:
            return False
        return True

    @staticmethod
    def write(broker, name, content):
        with open(os.open(os.path.join(broker.home, name), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(content)

    def another(self, authority=None, token=None):
        other = self.new_broker()
        self.addCleanup(other.close)
        self.write(other, "token", token or self.token)
        authority = authority or os.path.join(self.broker.home, "certs/ca.crt")
        self.write(other, "hermes.conf", f"[mirror]\nca = {authority}\ntoken_file = {other.home}/token\n")
        other.start()
        return other

    def reload(self, rules):
        self.write(self.broker, "rules", rules)
        before = self.broker.messages().count("read again")
        self.broker.process.send_signal(signal.SIGHUP)
        self.wait_for(lambda: self.broker.messages().count("read again") > before, "it reads them again")
