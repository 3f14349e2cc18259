"""TLS, certificates, tokens and rules: a client of Python's own ssl module against a broker with certificates of `hermes cert`,
on both event loops."""
import contextlib
import fcntl
import json
import os
import pty
import pwd
import signal
import socket
import ssl
import struct
import subprocess
import termios
import unittest

import stream_client as s
from hermes_test import BIN, Broker, Case, main

EACCESS, ENOTFOUND, EPROTOCOL, ECLOSED, ELIMIT = -5, -6, -20, -23, -21
TOPIC_LIST, TOPIC_DESCRIBE, TOPIC_ALTER, TOPIC_PURGE, EPOCH_FIND, UNSERVED_LIST = 22, 23, 34, 47, 41, 46
GROUP_CREATE, GROUP_ALTER, GROUP_DELETE, GROUP_LIST, BROKER_DESCRIBE = 36, 37, 38, 39, 43
PUBLISHER_OPEN, SUBSCRIBER_OPEN, WINDOW_OPEN, SEGMENT_OPEN = 25, 29, 31, 32
LISTEN = "[net]\nlisten = tls://127.0.0.1:0, tcp://127.0.0.1:0\n"


class Tls(Case):
    settings = LISTEN

    def setUp(self):
        self.clients = []
        self.broker = Broker(backend=self.broker_backend, starts=False)
        self.addCleanup(self.broker.close)
        self.broker.run("cert", "server")
        self.begin()

    def tearDown(self):
        for client in self.clients:
            client.close()
        if self.broker.process.poll() is None:
            self.assertEqual(self.broker.stop(), (0, []), self.broker.messages())

    def begin(self, settings=None):
        settings = self.settings if settings is None else settings
        with open(self.path("hermes.conf"), "w") as file:
            file.write(settings.replace("HOME", self.broker.home))
        self.broker.start()
        self.ports = {}
        for _ in range(settings.count("://")):
            url = self.broker.process.stdout.readline().split()[-1].decode()
            self.ports[url.split(":")[0]] = int(url.rsplit(":", 1)[1])

    def again(self, settings):
        """With other settings."""
        self.assertEqual(self.broker.stop(), (0, []))
        self.begin(settings)

    def path(self, name):
        return os.path.join(self.broker.home, name)

    def context(self, authority="certs", certificate=None):
        context = ssl.create_default_context(cafile=self.path(authority + "/ca.crt"))
        if certificate is not None:
            context.load_cert_chain(self.path(certificate + ".crt"), self.path(certificate + ".key"))
        return context

    def keep(self, client):
        self.clients.append(client)
        return client

    def unix(self, **options):
        return self.keep(s.Client(self.path("broker.sock"), **options))

    def tcp(self, **options):
        return self.keep(s.Client(("127.0.0.1", self.ports["tcp"]), **options))

    def tls(self, context=None, **options):
        return self.keep(s.Client(("127.0.0.1", self.ports["tls"]), tls=context or self.context(), **options))

    def raw(self, port="tls"):
        return self.keep(socket.create_connection(("127.0.0.1", self.ports[port]), timeout=60))

    @contextlib.contextmanager
    def raises(self, code):
        with self.assertRaises(s.Error) as caught:
            yield caught
        self.assertEqual(caught.exception.code, code, caught.exception)

    def hung_up(self, sock):
        try:
            while sock.recv(65536):
                pass
        except (ConnectionResetError, ssl.SSLError):
            pass
        sock.close()

    def reload(self):
        """What is on disk holds when this returns."""
        before = self.broker.messages().count("read again") + self.broker.messages().count("stay as they were")
        self.broker.process.send_signal(signal.SIGHUP)
        self.wait_for(lambda: self.broker.messages().count("read again") + self.broker.messages().count("stay as they were") > before,
                      "it reads them again")

    def publish_and_read(self, publisher, subscriber, topic, payloads):
        intake, outlet = publisher.publisher(topic), subscriber.subscribe(topic, credit=1 << 30)
        publisher.publish(intake.handle, b"".join(s.frame(i + 1, p) for i, p in enumerate(payloads)))
        got = []
        while len(got) < len(payloads):
            kind, handle, data = subscriber.receive()
            self.assertEqual((kind, handle), (s.LOG, outlet.handle))
            _, position, _, _, frames = s.parse_log(data)
            got += [m.payload for m in s.messages(position, frames)]
        self.assertEqual(got, payloads)


class Tunnel(Tls):
    """Bytes go through as they are, and nothing older or other than TLS 1.3 does."""

    def test_what_is_published_over_tls_comes_over_tls(self):
        publisher, subscriber = self.tls(), self.tls()
        publisher.create("t")
        self.publish_and_read(publisher, subscriber, "t", [b"hello", b"world", b"", b"x" * 65536])
        self.assertEqual(subscriber.socket.version(), "TLSv1.3")

    def test_byte_by_byte(self):
        """The handshake, hello and a request, each byte in a segment of its own."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        sock = self.raw()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def step(action):
            while True:
                try:
                    result = action()
                    break
                except ssl.SSLWantReadError:
                    self.flush(sock, outgoing)
                    incoming.write(sock.recv(7))
            self.flush(sock, outgoing)
            return result

        step(tls.do_handshake)
        hello = s.HEADER.pack(s.MAGIC, 1, s.HELLO, 0, 1, 0, 72, 0) + struct.pack("<H6x64s", 2, b"slow")
        step(lambda: tls.write(hello + s.HEADER.pack(s.MAGIC, 1, s.PING, 0, 2, 0, 0, 0)))
        answers = b""
        while len(answers) < 32 + 24 + 32:
            answers += step(lambda: tls.read(1000))
        self.assertEqual((answers[5], answers[56 + 5]), (s.WELCOME, s.OK))

    def flush(self, sock, outgoing):
        for byte in outgoing.read():
            sock.sendall(bytes([byte]))

    def test_what_is_cut_within_a_record_is_nothing(self):
        self.tls().create("t")
        client = self.tls()
        intake = client.publisher("t")
        client.publish(intake.handle, s.frame(1, b"whole"))
        raw = socket.socket(fileno=client.socket.detach())
        raw.sendall(b"\x17\x03\x03\x01\x00" + bytes(100))  # the beginning of a record
        raw.close()
        self.wait_for(lambda: self.broker.info("t")["publishers"] == 0, "its end is noticed")
        self.assertEqual(self.broker.info("t")["last_sequence"], 1)

    def test_a_goodbye_is_answered_by_one(self):
        client = self.tls()
        client.socket.unwrap()  # close_notify to and fro; anything else raises
        # Who breaks the rules reads why, then goodbye, and no cut.
        client = self.tls()
        client.send(s.PING, b"x")
        kind, _, data = client.receive()
        self.assertEqual((kind, struct.unpack_from("<i", data)[0]), (s.ERROR, EPROTOCOL))
        self.assertEqual(client.socket.recv(1), b"")

    def test_older_versions_are_refused(self):
        context = self.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            self.tls(context)
        self.told("unsupported protocol")
        self.tls().ask(s.PING)

    def test_what_is_no_tls_is_hung_up_on_and_tls_is_nothing_to_the_plain_port(self):
        for data in (s.HEADER.pack(s.MAGIC, 1, s.HELLO, 0, 1, 0, 72, 0) + bytes(72), b"GET / HTTP/1.1\r\n\r\n", os.urandom(300),
                     b"\x16\x03\x01\xff\xff" + bytes(65535), b"\x16\x03\x01\x40\x01" + bytes(16385), bytes(5)):
            sock = self.raw()
            with contextlib.suppress(ConnectionError):
                sock.sendall(data)
            self.hung_up(sock)
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            self.keep(s.Client(("127.0.0.1", self.ports["tcp"]), tls=self.context()))
        self.tls().ask(s.PING)

    def test_records_that_lie_end_the_session(self):
        client = self.tls()
        raw = socket.socket(fileno=client.socket.detach())
        raw.settimeout(60)
        with contextlib.suppress(ConnectionError):
            raw.sendall(b"\x17\x03\x03\x40\x00" + os.urandom(16384))
        self.hung_up(raw)
        self.told("this is no TLS 1.3")
        self.tls().ask(s.PING)

    def test_there_is_nothing_to_renegotiate(self):
        """A ClientHello within the session, as a record of the handshake in the clear: TLS 1.3 has no such thing."""
        client = self.tls()
        raw = socket.socket(fileno=client.socket.detach())
        raw.settimeout(60)
        raw.sendall(b"\x16\x03\x03\x00\x04\x01\x00\x00\x00")
        self.hung_up(raw)
        self.tls().ask(s.PING)

    def test_all_that_is_sent_while_nothing_is_read(self):
        """Both directions at once, more than any buffer holds."""
        publisher, subscriber = self.tls(), self.tls()
        publisher.create("t", s.ASYNC, window=1 << 20, segment=1 << 20)
        outlet = subscriber.subscribe("t", credit=1 << 40)
        intake = publisher.publisher("t")
        credit, sent = intake.credit, 0
        for i in range(300):
            frame = s.frame(i + 1, bytes([i % 256]) * 20000)
            while credit < len(frame):
                kind, _, data = publisher.receive()
                self.assertEqual(kind, s.CONFIRM)
                credit += s.parse_confirm(data)[3]
            credit -= len(frame)
            publisher.publish(intake.handle, frame)
            sent += 1
        got = []
        while len(got) < sent:
            kind, handle, data = subscriber.receive()
            self.assertEqual((kind, handle), (s.LOG, outlet.handle))
            _, position, _, _, frames = s.parse_log(data)
            got += [m.payload for m in s.messages(position, frames)]
        self.assertEqual(got, [bytes([i % 256]) * 20000 for i in range(sent)])

    def test_a_handshake_that_stands_ends_at_its_deadline(self):
        self.again(LISTEN + "[limits]\ngreet_ms = 300\n")
        silent, half = self.raw(), self.raw()
        outgoing = ssl.MemoryBIO()
        hello = self.context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            hello.do_handshake()
        with contextlib.suppress(ConnectionError):
            half.sendall(outgoing.read()[:100])
        for sock in (silent, half):
            self.hung_up(sock)
        with contextlib.suppress(OSError, EOFError):  # hands may be shaken in time, or not
            self.hung_up(self.tls(greet=False).socket)
        self.told("has not said hello")

    def refused(self, settings, *words):
        with open(self.path("hermes.conf"), "w") as file:
            file.write(settings)
        result = subprocess.run([os.path.join(BIN, "hermesd")], env=self.broker.environment, capture_output=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_it_does_not_start_without_what_it_needs(self):
        self.assertEqual(self.broker.stop(), (0, []))
        self.refused("[net]\nlisten = tls://127.0.0.1:0\n[tls]\nclients = required\n", b"client_ca")
        self.refused(LISTEN + "[auth]\nrules = /nowhere/rules\n", b"/nowhere/rules")
        os.chmod(self.path("certs/server.key"), 0o604)
        self.refused(LISTEN, b"chmod 600")
        os.remove(self.path("certs/server.crt"))
        self.refused(LISTEN, b"hermes cert server")

    def test_beyond_loopback_nothing_is_open(self):
        self.assertEqual(self.broker.stop(), (0, []))
        self.refused("[net]\nlisten = tcp://0.0.0.0:0\n", b"tls://", b"insecure")
        self.begin("[net]\nlisten = tls://0.0.0.0:0\n")
        self.told("nobody can")
        stranger = self.tls()
        self.assertEqual(stranger.capabilities, 2 | 4)
        for kind, data in ((s.PING, b""), (TOPIC_LIST, bytes(128)), (BROKER_DESCRIBE, b"")):
            with self.raises(EACCESS):
                stranger.ask(kind, data)
        token = self.broker.run("auth", "token", "create", "t").stdout.decode().strip()
        self.reload()
        self.assertEqual(self.tls(token=token).capabilities, 2 | 4)
        self.clients[-1].ask(s.PING)


    def test_a_terminal_that_hangs_up_stops_it_and_kill_hup_does_not(self):
        self.reload()
        self.tls().ask(s.PING)
        self.assertEqual(self.broker.stop(), (0, []))
        master, slave = pty.openpty()
        broker = subprocess.Popen([os.path.join(BIN, "hermesd")], env=self.broker.environment, stdin=slave, stdout=subprocess.PIPE,
                                  stderr=self.broker.log, start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.assertIn(b"serving", broker.stdout.readline())
        os.close(master)
        self.assertEqual(broker.wait(60), 0)
        broker.stdout.close()


class TunnelEpoll(Tunnel):
    broker_backend = "epoll"
    test_a_terminal_that_hangs_up_stops_it_and_kill_hup_does_not = None


class Certificates(Tls):
    settings = LISTEN + "[tls]\nclient_ca = HOME/certs/ca.crt\n"

    def make(self, *arguments, directory="certs"):
        self.broker.run("cert", *arguments, "--dir", self.path(directory), "--force")

    def pair(self, name):
        read = []
        for ending in (".crt", ".key"):
            with open(self.path("certs/" + name + ending), "rb") as file:
                read.append(file.read())
        return read

    def test_files_are_closed_and_nothing_is_overwritten(self):
        for name in ("ca.key", "server.key"):
            self.assertEqual(os.stat(self.path("certs/" + name)).st_mode & 0o777, 0o600)
        for words in (("authority",), ("server",)):
            self.assertIn(b"--force", self.broker.run("cert", *words, check=False).stderr)
        for name in ("../x", ".x", "a b", "x" * 64):
            self.assertEqual(self.broker.run("cert", "client", name, check=False).returncode, 1)
        for host in ("a,b", "DNS:x", "a/b", "@section", "10.0.0.256", "10.0.1"):
            self.assertEqual(self.broker.run("cert", "server", host, "--force", check=False).returncode, 1)
        for name in ("ca", "server"):  # the files of the authority and of the broker
            before = self.pair(name)
            self.assertEqual(self.broker.run("cert", "client", name, "--force", check=False).returncode, 1)
            self.assertEqual(self.pair(name), before)
        for words in (("client", "a b"), ("client", "ca"), ("server", "a/b")):
            self.assertEqual(self.broker.run("cert", *words, "--dir", self.path("none"), check=False).returncode, 1)
            self.assertFalse(os.path.exists(self.path("none")))
        made = json.loads(self.broker.run("cert", "client", "alice", "--json").stdout)
        self.assertEqual((made["kind"], made["name"], made["certificate"]), ("client", "alice", self.path("certs/alice.crt")))
        self.assertIn(b"did you mean server", self.broker.run("cert", "sever", check=False).stderr)

    def test_a_client_refuses_what_is_not_as_it_should_be(self):
        wrong = [
            ("expired", ("server", "--until", "-1h"), "certs"),
            ("Hostname mismatch", ("server", "elsewhere.example"), "certs"),
            ("unable to get local issuer|unknown ca|self-signed|certificate verify failed", ("server",), "other"),
        ]
        for words, arguments, directory in wrong:
            self.make(*arguments, directory=directory)
            if directory != "certs":
                for name in ("server.crt", "server.key"):
                    os.replace(self.path(f"{directory}/{name}"), self.path("certs/" + name))
            self.reload()
            with self.assertRaisesRegex(ssl.SSLCertVerificationError, words):
                self.tls()
        for name in ("crt", "key"):  # self-signed
            with open(self.path("other/ca." + name), "rb") as ours, open(self.path("certs/server." + name), "wb") as file:
                file.write(ours.read())
        self.reload()
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.tls()
        self.make("server")
        self.reload()
        self.tls().ask(s.PING)

    def test_who_a_client_is_by_its_certificate(self):
        for name in ("alice", "bob"):
            self.make("client", name)
        with open(self.path("rules"), "w") as file:
            file.write("allow cert:alice all a.*\nallow * create t\n")
        self.reload()
        alice, bob, nobody = (self.tls(self.context(certificate=c)) for c in ("certs/alice", "certs/bob", None))
        alice.create("a.1")
        for client in (bob, nobody):
            with self.raises(ENOTFOUND):
                client.subscribe("a.1")
            client.ask(s.PING)
        self.told("cert:bob")
        self.told("anonymous")
        self.publish_and_read(alice, self.tls(self.context(certificate="certs/alice")), "a.1", [b"x"])

    def refused(self, certificate):
        """In TLS 1.3 the client is through before the server has looked at its certificate: it is told when it reads."""
        with self.assertRaises((ssl.SSLError, ConnectionResetError, EOFError, BrokenPipeError)):
            self.tls(self.context(certificate=certificate))

    def test_a_clients_certificate_that_is_not_good(self):
        self.make("client", "late", "--until", "-1h")
        self.make("client", "alice", directory="other")
        self.make("client", "good")
        for certificate in ("certs/late", "other/alice", "certs/server"):
            self.refused(certificate)
        self.told("certificate has expired")
        self.told("unable to get local issuer certificate")
        self.tls(self.context(certificate="certs/good")).ask(s.PING)
        self.tls().ask(s.PING)
        self.again(self.settings + "clients = required\n")
        self.refused(None)
        self.told("has no certificate, and needs one")
        self.tls(self.context(certificate="certs/good")).ask(s.PING)

    def test_other_certificates_at_once_and_nobody_who_may_stay_is_dropped(self):
        self.make("client", "alice")
        alice, nobody = self.tls(self.context(certificate="certs/alice")), self.tls()
        before = nobody.socket.getpeercert()["serialNumber"]
        self.make("server")
        self.reload()
        for client in (alice, nobody):
            client.ask(s.PING)
        self.assertNotEqual(self.tls().socket.getpeercert()["serialNumber"], before)
        # What cannot be read changes nothing.
        with open(self.path("certs/server.crt"), "w") as file:
            file.write("nonsense")
        self.reload()
        self.told("stay as they were")
        self.tls().ask(s.PING)
        # Another authority: whose certificate it does not vouch for goes.
        self.make("authority")
        self.make("server")
        self.reload()
        nobody.ask(s.PING)
        kind, _, data = alice.receive()
        self.assertEqual((kind, struct.unpack_from("<i", data)[0]), (s.ERROR, EACCESS))


class CertificatesEpoll(Certificates):
    broker_backend = "epoll"


class Tokens(Tls):
    settings = LISTEN + "[auth]\nrequired = true\n"

    def create(self, name, *options):
        return json.loads(self.broker.run("auth", "token", "create", name, "--json", *options).stdout)["token"]

    def file(self, change):
        with open(self.path("tokens")) as file:
            lines = file.read()
        with open(self.path("tokens"), "w") as file:
            file.write(change(lines))

    def test_what_is_kept_is_no_secret(self):
        secret = self.create("desk")
        self.assertRegex(secret, "^hms_[A-Za-z0-9_-]{43}$")
        self.assertNotEqual(secret, self.create("desk2"))
        with open(self.path("tokens")) as file:
            self.assertNotIn(secret, file.read())
        self.assertEqual(os.stat(self.path("tokens")).st_mode & 0o777, 0o600)
        again = self.broker.run("auth", "token", "create", "desk", check=False)
        self.assertEqual((again.returncode, b"'desk'" in again.stderr), (1, True))
        self.assertIn(b"'desk'?", self.broker.run("auth", "token", "revoke", "dosk", check=False).stderr)
        with open("/dev/full", "w") as full:
            lost = self.broker.popen("auth", "token", "create", "lost", stdout=full, stderr=subprocess.PIPE)
            self.assertIn(b"No space left", lost.communicate()[1])
        self.assertEqual(lost.returncode, 1)
        self.assertEqual(self.broker.run("auth", "token", "list", "--tokens", self.path("nosuch"), check=False).returncode, 1)
        listed = [json.loads(line) for line in self.broker.run("auth", "token", "list", "--json").stdout.splitlines()]
        self.assertEqual([(t["name"], t["expires"], t["valid"]) for t in listed], [("desk", None, True), ("desk2", None, True)])

    def test_a_token_lets_in_and_nothing_else_does(self):
        good, over, revoked = self.create("good", "--expires", "1d"), self.create("over"), self.create("gone")
        self.broker.run("auth", "token", "revoke", "gone")
        self.file(lambda lines: "\n".join(line[:-1] + "1" if line.startswith("over ") else line for line in lines.split("\n")))
        self.reload()
        for connect in (self.tls, self.tcp):
            client = connect(token=good)
            client.create("t" + connect.__name__)
            texts = set()
            for wrong in (over, revoked, good[:-1] + ("A" if good[-1] != "A" else "E"), "", "x" * 64, good + "x"):
                stranger = connect()
                with self.raises(EACCESS) as caught:
                    stranger.show(wrong)
                texts.add(str(caught.exception))
                self.hung_up(stranger.socket)
            self.assertEqual(len(texts), 1, texts)
            stranger = connect()
            self.assertEqual(stranger.capabilities & 2, 2)
            for kind, data in ((s.PING, b""), (TOPIC_LIST, bytes(128)), (s.TOPIC_DELETE, s.name("ttls"))):
                with self.raises(EACCESS):
                    stranger.ask(kind, data)
        self.told("is over")
        self.told("is not known")
        self.unix().ask(s.PING)
        before = json.loads(self.broker.run("stat", "--json").stdout)["loops"][0]
        self.assertEqual(before["refused_tokens"], 12)

    def test_each_has_its_own_limits(self):
        one, other = self.create("one"), self.create("other")
        self.again(self.settings + "[limits]\nsessions_per_user = 3\n")
        mine = [self.tcp(token=one) for _ in range(3)]
        for connect in (self.tcp, self.tls):
            with self.raises(ELIMIT):
                connect(token=one)
            connect(token=other).ask(s.PING)
        for client in mine:
            client.ask(s.PING)
        mine[0].close()

        def is_let_in():
            with contextlib.suppress(s.Error):
                return self.tcp(token=one)
        self.wait_for(is_let_in, "its place is free")

    def test_before_hello_there_is_no_token(self):
        client = self.tls(greet=False)
        with self.raises(EPROTOCOL):
            client.ask(s.AUTHENTICATE, self.create("t").encode().ljust(64, b"\0"))

    def test_who_does_not_say_who_it_is_has_its_time_for_that(self):
        self.again(self.settings + "[limits]\ngreet_ms = 300\n")
        with contextlib.suppress(OSError, EOFError):  # it may be faster than hello
            self.hung_up(self.tcp().socket)
        self.told("[limits] greet_ms")

    def test_revoked_while_it_is_there(self):
        stays, goes = self.create("stays"), self.create("goes")
        self.reload()
        staying, going = self.tls(token=stays), self.tls(token=goes)
        staying.create("t")
        outlet = staying.subscribe("t")
        self.broker.run("auth", "token", "revoke", "goes")
        self.broker.run("auth", "reload")
        kind, sequence, data = going.receive()
        self.assertEqual((kind, sequence, struct.unpack_from("<i", data)[0]), (s.ERROR, 0, EACCESS))
        self.assertEqual(going.socket.recv(1), b"")
        intake = staying.publisher("t")
        staying.publish(intake.handle, s.frame(1, b"on"))
        kinds = set()
        while s.LOG not in kinds:
            kind, handle, _ = staying.receive()
            kinds.add(kind)
            self.assertIn(handle, (outlet.handle, intake.handle))
        # One of the same name is another.
        second = self.create("goes")
        self.reload()
        with self.raises(EACCESS):
            self.tls(token=goes)
        self.tls(token=second).ask(s.PING)


class CommandLine(Tls):
    """`hermes` over TLS: before and behind the command, by options and by the environment."""

    settings = LISTEN + "[auth]\nrequired = true\n"

    def test_whom_to_trust_and_who_one_is_can_be_said(self):
        url, authority = f"tls://localhost:{self.ports['tls']}", "--tls-ca=" + self.path("certs/ca.crt")
        with open(os.open(self.path("token"), os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(self.broker.run("auth", "token", "create", "desk").stdout)
        self.reload()
        self.broker.run("--url", url, authority, "topic", "create", "t", "--token-file", self.path("token"))
        self.broker.environment.update(HERMES_URL=url, HERMES_TLS_CA=self.path("certs/ca.crt"),
                                       HERMES_TOKEN_FILE=self.path("token"))
        self.broker.run("pub", "t", data=b"hello\n")
        self.assertEqual(self.broker.run("sub", "t", "--from", "first", "--count", "1").stdout, b"hello\n")
        for code, wrong, words in ((1, (authority + ".not",), b"ca.crt.not"), (64, ("--tls-ca", ""), b"--tls-ca"),
                                   (1, ("--token-file", self.path("broker.sock")), b"broker.sock"),
                                   (1, ("--tls-server-name", "elsewhere"), b"but for localhost")):
            refused = self.broker.run("ping", *wrong, check=False)
            self.assertEqual((refused.returncode, words in refused.stderr), (code, True), refused.stderr)


class Rules(Tls):
    """A topic that one may not see is not there; one that one sees, and may not use so, says so."""

    def rules(self, *lines):
        with open(self.path("rules"), "w") as file:
            file.write("".join(line + "\n" for line in lines))

    def setUp(self):
        super().setUp()
        root = self.unix()
        for topic in ("hidden", "seen", "open"):
            root.create(topic, s.ASYNC, shared=1)
        self.rules("allow anonymous publish seen", "allow anonymous all open*  # and more")
        self.reload()

    def requests(self, topic, topic_id):
        name = s.name(topic)
        return [
            (s.TOPIC_DELETE, name), (TOPIC_DESCRIBE, name), (TOPIC_PURGE, name),
            (TOPIC_ALTER, name + struct.pack("<IIQQ", 1, 0, 0, 0)),
            (s.OUTLET_OPEN, name + struct.pack("<QIIQQ", 0, 1, 0, 0, 0)),
            (s.INTAKE_OPEN, name + struct.pack("<QIIQQ", 0, 0, 0, 0, 1)),
            (GROUP_CREATE, name + s.name("g") + s.name("") + bytes(40)),
            (GROUP_ALTER, name + s.name("g") + s.name("") + bytes(40)),
            (GROUP_DELETE, name + s.name("g") + s.name("") + bytes(40)),
            (GROUP_LIST, name + s.name("") + bytes(8)),
            (EPOCH_FIND, struct.pack("<QII", topic_id, 1, 0)),
            (s.MEMBER_OPEN, name + s.name("g") + bytes(48 + 24)),
        ]

    def with_descriptors(self, topic, topic_id):
        """Those that are answered on the Unix socket alone."""
        name = s.name(topic)
        return [
            (PUBLISHER_OPEN, name + bytes(32)), (SUBSCRIBER_OPEN, name + bytes(128 + 48)),
            (WINDOW_OPEN, struct.pack("<QII", topic_id, 1, 0)), (SEGMENT_OPEN, struct.pack("<QIIQ", topic_id, 0, 0, 0)),
        ]

    def assert_hidden(self, client, requests):
        for (kind, data), (_, missing) in zip(requests("hidden", self.hidden), requests("absent", 12345)):
            answer, expected = self.answer(client, kind, data), self.answer(client, kind, missing)
            self.assertEqual((answer[0], answer[1].replace("hidden", "absent")), expected, kind)
            self.assertIn(answer[0], (ENOTFOUND, ECLOSED), kind)

    def answer(self, client, kind, data):
        try:
            return 0, client.ask(kind, data, expected=None)
        except s.Error as error:
            return error.code, str(error)

    def topic_id(self, topic):
        return struct.unpack_from("<Q", self.unix().ask(TOPIC_DESCRIBE, s.name(topic), 24), 8 + 128)[0]

    def test_what_one_may_not_see_is_not_there(self):
        client, self.hidden = self.tcp(), self.topic_id("hidden")
        self.assert_hidden(client, self.requests)
        for _ in range(2):  # whether there is one or not
            with self.raises(EACCESS):
                client.create("hidden")
            with self.raises(EACCESS):
                client.create("other")
        listed = client.ask(TOPIC_LIST, s.name(""), 24)
        names = [listed[8 + 264 * i:8 + 264 * i + 128].rstrip(b"\0") for i in range(struct.unpack_from("<I", listed)[0])]
        self.assertEqual(names, [b"open", b"seen"])
        self.assertEqual(struct.unpack_from("<I", client.ask(UNSERVED_LIST, s.name(""), 24))[0], 0)
        self.told("anonymous (127.0.0.1")
        self.assertEqual(len(self.unix().ask(TOPIC_LIST, s.name(""), 24)), 8 + 3 * 264)

    def test_what_one_sees_and_may_not_use_so(self):
        client, seen = self.tcp(), self.topic_id("seen")
        allowed = {TOPIC_DESCRIBE, s.INTAKE_OPEN, GROUP_LIST, EPOCH_FIND}
        for kind, data in self.requests("seen", seen):
            answer = self.answer(client, kind, data)
            self.assertEqual(answer[0] == EACCESS, kind not in allowed, (kind, answer))
        for kind, data in self.requests("open", self.topic_id("open"))[1:]:
            self.assertNotEqual(self.answer(client, kind, data)[0], EACCESS, kind)
        client.create("open.2")
        for letters in ("hidden", "seen", "new"):  # what is given up goes where one may not put it
            with self.raises(EACCESS):
                client.ask(GROUP_CREATE, s.name("open") + s.name("h") + s.name(letters) + bytes(40))
        client.ask(GROUP_CREATE, s.name("open") + s.name("h") + s.name("open.letters") + bytes(40))
        loop = json.loads(self.broker.run("stat", "--json").stdout)["loops"][0]
        self.assertGreater(loop["refused_requests"], 5)

    def test_other_rules_while_it_runs(self):
        stays, goes = self.tcp(), self.tcp()
        stays.publisher("seen")
        goes.subscribe("open")
        self.rules("allow anonymous publish seen")
        self.reload()
        kind, _, data = goes.receive()
        self.assertEqual((kind, struct.unpack_from("<i", data)[0]), (s.ERROR, EACCESS))
        stays.ask(s.PING)
        self.rules("allow anonymous publish seen", "deny all")
        self.reload()
        self.told("line 2: it is: allow WHO")
        stays.ask(s.PING)
        with self.raises(ENOTFOUND):
            stays.subscribe("open")
        os.remove(self.path("rules"))
        self.reload()
        stays.subscribe("hidden")

    @unittest.skipIf(os.getuid() != 0, "it takes another user")
    def test_a_user_of_this_host_is_known_by_the_kernel(self):
        self.again(LISTEN + "[broker]\nsocket_mode = 0666\n")
        self.rules("allow user:nobody subscribe seen", "allow anonymous all *")
        self.reload()
        os.chmod(self.broker.home, 0o755)
        self.hidden = self.topic_id("hidden")
        self.assertEqual(self.as_nobody(self.what_nobody_gets), [b"None", b"%d" % EACCESS, b"%d" % ENOTFOUND, b"hidden"])

    def what_nobody_gets(self):
        client = self.unix()
        for ask in (lambda: client.subscribe("seen"), lambda: client.publisher("seen"), lambda: client.subscribe("hidden")):
            try:
                ask()
                yield None
            except s.Error as error:
                yield error.code
        self.assert_hidden(client, self.requests)
        self.assert_hidden(client, self.with_descriptors)
        yield "hidden"

    def as_nobody(self, answers):
        """What they are in a process of that user."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setuid(pwd.getpwnam("nobody").pw_uid)
                os.write(writing, b" ".join(str(answer).encode() for answer in answers()))
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            said = file.read()
        os.waitpid(child, 0)
        return said.split()

    def test_refusals_are_counted_and_shown(self):
        stranger = self.raw()
        stranger.sendall(b"no TLS, but what has as many bytes\r\n")
        self.hung_up(stranger)
        with self.raises(EACCESS):
            self.tcp(token="hms_" + "x" * 43)
        for _ in range(2):
            with self.raises(EACCESS):
                self.tcp().create("other")

        def counted():
            loop = json.loads(self.broker.run("stat", "--json").stdout)["loops"][0]
            return [loop["refused_" + kind] for kind in ("connections", "tokens", "requests")] == [1, 1, 2]
        self.wait_for(counted, "each is counted")
        self.assertIn(b"\n  refused: connections 1  tokens 1  requests 2\n", self.broker.run("stat").stdout)

    def test_who_is_hung_up_on_comes_again_a_few_times_and_hears_what_may_be_wrong(self):
        for kind, port in (("tcp", "tls"), ("tls", "tcp")):
            url = f"{kind}://127.0.0.1:{self.ports[port]}"
            result = self.broker.run("--url", url, "--tls-ca", self.path("certs/ca.crt"), "topic", "list", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"no broker at {url} (is hermesd running? or is it {port}://?)".encode(), result.stderr)

        def refused():
            return json.loads(self.broker.run("stat", "--json").stdout)["loops"][0]["refused_connections"]
        self.wait_for(refused, "it is counted")
        self.assertLess(refused(), 40)

    def test_reload_signals_the_broker_of_this_host_alone(self):
        """What a broker over a network says of its process is the number of another one here."""
        result = self.broker.run("--url", f"tcp://127.0.0.1:{self.ports['tcp']}", "auth", "reload", check=False)
        self.assertEqual((result.returncode, b"on its own host" in result.stderr), (1, True), result.stderr)
        result = self.broker.run("--url", f"unix:{self.path('nosuch')}", "auth", "reload", check=False)
        self.assertEqual((result.returncode, b"no broker at" in result.stderr), (1, True), result.stderr)
        self.broker.run("--url", f"unix:{self.path('broker.sock')}?shm=no", "auth", "reload")
        self.wait_for(lambda: "read again" in self.broker.messages(), "it reads them again")

    def test_check_says_what_the_broker_does(self):
        def check(*words, code):
            result = self.broker.run("auth", "check", *words, "--json", check=False)
            self.assertEqual(result.returncode, code, result.stderr)
            return json.loads(result.stdout)
        self.assertEqual(check("anonymous", "publish", "seen", code=0)["line"], 1)
        self.assertEqual(check("anonymous", "administer", "open.x", code=0)["line"], 2)
        self.assertEqual(check("anonymous", "subscribe", "seen", code=1)["allowed"], False)
        self.assertEqual(check("token:x", "publish", "seen", code=1)["line"], None)
        self.assertEqual(check(f"uid:{os.geteuid()}", "administer", "hidden", code=0)["line"], None)  # the broker's own user
        self.assertEqual(check("uid:0", "publish", "hidden", code=0)["allowed"], True)
        self.assertEqual(check("uid:4242", "publish", "hidden", code=1)["allowed"], False)
        self.assertIn(b"did you mean publish", self.broker.run("auth", "check", "anonymous", "publsh", "t", check=False).stderr)
        self.assertIn(b"nobody", self.broker.run("auth", "check", "alice", "publish", "t", check=False).stderr)


del Tls  # has no tests of its own
main()
