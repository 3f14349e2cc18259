"""What the command line says and does where its users err, interrupt it, or look elsewhere."""
import base64
import json
import os
import pty
import signal
import socket
import subprocess
import tempfile

from hermes_test import BIN, Case, is_connected, main


class Values(Case):
    def test_a_value_that_cannot_be_meant_is_refused_and_the_sentence_says_what_can(self):
        self.broker.run("topic", "create", "t")
        time = b"not a time (nanoseconds since 1970, now, -5m, 2026-11-25"
        number = b"not a number (0, 1, 2, ...)"
        for words, said in (
                ("sub t --from seq:18446744073709551616", b"seq: wants a number, of 64 bits at most"),
                ("sub t --from seq:-1", b"seq: wants a number"),
                ("sub t --from seq:", b"seq: wants a number"),
                ("sub t --from time:1969-12-31T23:59:59", time),
                ("sub t --from time:2600-01-01T00:00:00", time),
                ("sub t --from time:2023-02-30T00:00:00", time),
                ("sub t --from time:2023-02-28T00:00:00.1e9", time),
                ("sub t --from time:18446744073709551616", time),
                ("sub t --from time:-5x", time),
                ("export t --since 1900-01-01T00:00:00", time),
                ("sub t --count abc", number),
                ("sub t --count -1", number),
                ("sub t --count 1.5", number),
                ("pub t --count 99999999999999999999", number),
                ("sub t --timeout -1", b"it is 0 or more"),
                ("sub t --timeout nan", b"not a number"),
                ("pub t --rate inf", b"not a number"),
                ("pub t --rate -5", b"it is 0 or more"),
                ("pub t --size 5", b"--size is of generated messages"),
                ("pub t --count 1 --file x", b"--count and --file are two things"),
                ("sub t --payload text", b"--payload is of --format json"),
                ("sub t --push-back --group g", b"publishers do not wait for members of a group"),
                ("export t --format pcapng --payload text", b"--payload is of csv and json"),
                ("export t --payload hex", b"it is auto, text or base64"),
                ("group create t g --max-deliveries many", number),
                ("group create t g --max-deliveries 4294967296", b"at most 4294967295"),
                ("group create t g --lease 0", b"it is from 10ms to 24h"),
                ("group create t g --span 0", b"it is above 0"),
                ("group dead t g --sequence x", number),
                ("bench nope", b"it is ring, mpmc, codec, log, store, topic, rate, eager, broker, net, udp or all"),
                ("bench codec --rate 5", b"--rate and --arrivals are of the suite rate"),
                ("group delete t g --json", b"--json is of list, info and dead"),
                ("topic create x --window 0", b"a power of two from 256K to 1G"),
                ("topic create x --segment 0", b"a multiple of the window"),
                ("topic delete t --window 1M", b"--window is of create"),
                ("topic list t", b"Usage"),
                ("demo --count 0", b"--count 0"),
                ("demo --backend uring", b"it is auto, io_uring or epoll")):
            with self.subTest(words):
                result = self.broker.run(*words.split(), data=b"", check=False)
                self.assertEqual(result.returncode, 64, result.stderr)
                self.assertIn(said, result.stderr)
        self.assertEqual([t["name"] for t in self.listed()], ["t"])

    def listed(self):
        return [json.loads(line) for line in self.broker.run("topic", "list", "--json").stdout.splitlines()]

    def test_a_count_of_none_is_none(self):
        b = self.broker
        b.run("topic", "create", "t")
        self.assertEqual(b.run("pub", "t", "--count", "0", data=b"x\n").stdout, b"0\n")
        self.assertEqual(b.info("t")["last_sequence"], 0)
        self.assertEqual(b.run("sub", "t", "--count", "0").stdout, b"")

    def test_times_are_read_to_the_nanosecond(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("pub", "t", data=b"x\n")
        for words, lines in ((["--until", "2261-01-01T00:00:00"], 2), (["--since", "2260-12-31T23:59:59.999999999Z"], 1),
                             (["--since", "1970-01-01T00:00:00.000000001"], 2), (["--until", "1970-01-01T00:00:00Z"], 1)):
            self.assertEqual(len(b.run("export", "t", *words).stdout.splitlines()), lines, words)

    def test_a_path_that_is_another_for_each_who_looks_is_refused(self):
        for command in ("hermesd", "hermes topic list"):
            result = subprocess.run([os.path.join(BIN, command.split()[0]), *command.split()[1:]], capture_output=True,
                                    env=dict(os.environ, HERMES_HOME="relative"), cwd=self.broker.home, timeout=60)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"HERMES_HOME is 'relative': it must be an absolute path", result.stderr)
        result = subprocess.run([os.path.join(BIN, "hermesd"), "--data", "relative"], capture_output=True,
                                env=self.broker.environment, cwd=self.broker.home, timeout=60)
        self.assertEqual(result.returncode, 64)
        self.assertIn(b"it is an absolute path", result.stderr)
        self.assertNotIn("relative", os.listdir(self.broker.home))

    def test_the_broker_says_what_a_setting_may_be(self):
        for setting, legal in (("broker]\nworkers = 1", "a number from 2 to 64"), ("broker]\nsocket = here", "an absolute path"),
                               ("net]\nbackend = kqueue", "auto, io_uring or epoll"), ("topic]\nwindow = 5M", "a power of two"),
                               ("broker]\nsocket_mode = rw", "an octal number"), ("limits]\nrings_per_user = 0", "a number above 0")):
            with tempfile.NamedTemporaryFile("w") as file:
                file.write("[" + setting)
                file.flush()
                result = subprocess.run([os.path.join(BIN, "hermesd"), "--config", file.name], env=self.broker.environment,
                                        capture_output=True, timeout=60)
            self.assertEqual(result.returncode, 1)
            self.assertIn(": it is " + legal, result.stderr.decode())
        for option in ("--backend", "--wait"):
            result = subprocess.run([os.path.join(BIN, "hermesd"), option, "x"], env=self.broker.environment,
                                    capture_output=True, timeout=60)
            self.assertEqual(result.returncode, 64)
            self.assertIn(b": it is a", result.stderr)


class Sentences(Case):
    broker_config = "[broker]\nsessions_max = 4\n[limits]\nsessions_per_user = 9\ngreet_ms = 600000\n"

    def said(self, *arguments):
        result = self.broker.run(*arguments, data=b"", check=False)
        self.assertEqual(result.returncode, 1, result.stderr)
        return result.stderr.decode()

    def test_a_sentence_names_its_object_once_and_its_reason_once(self):
        b = self.broker
        b.run("topic", "create", "m", "--durability", "memory")
        self.assertEqual(self.said("pub", "nope"), "hermes: no topic 'nope' (hermes topic create nope)\n")
        self.assertEqual(self.said("group", "info", "m", "g"), "hermes: no group 'g' of topic 'm'\n")
        self.assertEqual(self.said("group", "create", "nope", "g"), "hermes: no topic 'nope' (hermes topic create nope)\n")
        self.assertEqual(self.said("group", "dead", "nope", "g"), "hermes: no topic 'nope' (hermes topic create nope)\n")
        self.assertEqual(self.said("group", "create", "m", "g", "--lease", "48h"),
                         "hermes: g: lease of 172800 s: it must be from 10 ms to 24 hours\n")
        self.assertEqual(self.said("verify", "m"), "hermes: topic 'm' is kept in memory alone: nothing of it is stored\n")
        self.assertEqual(self.said("topic", "create", "m"), "hermes: topic 'm': exists already\n")
        self.assertEqual(self.said("pub", "m", "--durable", "--count", "1"),
                         "hermes: topic 'm' is kept in memory alone: nothing of it becomes durable\n")
        self.assertEqual(self.said("topic", "create", "x", "--window", "5M"),
                         "hermes: x: window of 5242880 bytes: it must be a power of two from 256K to 1G\n")
        self.assertEqual(self.said("replay", "/nonexistent", "-t", "m"),
                         "hermes: /nonexistent: it cannot be opened: No such file or directory\n")
        nobody = subprocess.run([os.path.join(BIN, "hermes"), "topic", "list"], capture_output=True,
                                env=dict(os.environ, HERMES_HOME="/nonexistent"), timeout=60)
        self.assertEqual(nobody.stderr, b"hermes: no broker at /nonexistent/broker.sock (is hermesd running?)\n")

    def test_who_is_in_the_way_is_not_said_to_be_another_process(self):
        b = self.broker
        b.run("topic", "create", "t")
        publisher = b.popen("pub", "t", stdin=subprocess.PIPE)
        subscriber = b.popen("sub", "t", "--name", "n")
        self.wait_for(lambda: (b.info("t")["publishers"], b.info("t")["subscribers"]) == (1, 1), "both are there")
        self.assertEqual(self.said("pub", "t"), "hermes: topic 't' has a publisher, and is not shared\n")
        self.assertEqual(self.said("sub", "t", "--name", "n"),
                         "hermes: durable subscription 'n' of topic 't' has its subscriber already\n")
        publisher.stdin.close()
        subscriber.kill()

    def test_a_broker_that_is_full_says_so(self):
        b = self.broker
        for _ in range(4):
            place = socket.socket(socket.AF_UNIX)
            self.addCleanup(place.close)
            place.connect(os.path.join(b.home, "broker.sock"))
        self.wait_for(lambda: b.run("topic", "list", check=False).returncode != 0, "all places are taken")
        for _ in range(20):
            self.assertEqual(self.said("topic", "list"), "hermes: 4 connections ([broker] sessions_max): a limit is reached\n")


class Connection(Case):
    def setUp(self):
        super().setUp()
        self.url = "--url", f"unix:{self.broker.home}/broker.sock?shm=no"

    def test_a_url_that_is_empty_is_not_taken_for_another(self):
        for option in ("--url", "--tls-ca", "--tls-cert", "--tls-key", "--tls-server-name", "--token-file"):
            for words in ((option, ""), (option + "=",)):
                result = self.broker.run(*words, "topic", "create", "t", check=False)
                self.assertEqual((result.returncode, result.stderr), (64, f"hermes: {option} '': it is empty\n".encode()))
            self.assertEqual(self.broker.run("topic", "list", option, check=False).returncode, 64)
        self.assertEqual(self.broker.run("topic", "list", "--json").stdout, b"")

    def test_what_went_out_over_a_connection_has_its_sequence(self):
        for kind in ((), ("--shared",)):
            topic = "t" + "".join(kind)
            self.broker.run(*self.url, "topic", "create", topic, *kind)
            self.assertEqual(self.broker.run("pub", topic, "--count", "5").stdout, b"5\n")
            self.assertEqual(self.broker.run(*self.url, "pub", topic, data=b"a\nb\n").stdout, b"7\n")
            self.assertEqual(self.broker.run(*self.url, "pub", topic, data=b"").stdout, b"7\n")
            self.assertEqual(self.broker.run(*self.url, "replay", "-", "--topic", topic, data=b"1,2\n").stdout, b"8\n")


class Ends(Case):
    def test_a_signal_ends_pub_without_half_a_line(self):
        b = self.broker
        b.run("topic", "create", "t")
        child = b.popen("pub", "t", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.write(child.stdin.fileno(), b"whole\nhal")
        self.wait_for(lambda: b.info("t")["last_sequence"] == 1, "the line is in")
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(60), 0)
        self.assertEqual(b.run("sub", "t", "--from", "first", "-t", "0").stdout, b"whole\n")
        self.assertIn(b"1 of 1 messages are in topic t", child.stderr.read())

    def test_a_broker_that_stands_keeps_nobody_from_ending(self):
        """Who asks it for something ends by the signal itself: nothing is on its way yet."""
        b = self.broker
        b.run("topic", "create", "t")
        b.process.send_signal(signal.SIGSTOP)
        self.addCleanup(b.process.send_signal, signal.SIGCONT)
        for command in ("sub t", "pub t", "export t", "replay --from-topic t -t t", "topic list", "dump t"):
            with self.subTest(command):
                child = b.popen(*command.split(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
                self.wait_for(lambda child=child: is_connected(child), "it asks for its place")
                child.terminate()
                self.assertEqual(child.wait(60), -signal.SIGTERM)

    def test_a_line_that_has_no_end_is_told_as_soon_as_it_is_too_long(self):
        b = self.broker
        b.run("topic", "create", "t")
        child = b.popen("pub", "t", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        os.write(child.stdin.fileno(), b"first\n")
        with self.assertRaises(BrokenPipeError):
            for _ in range(200):
                os.write(child.stdin.fileno(), bytes(1 << 16))
        self.assertEqual(child.wait(60), 1)
        self.assertEqual(child.stderr.read(),
                         b"hermes: standard input: line 2 is too large (a payload holds at most 65536 bytes)\n")
        self.assertEqual(b.info("t")["last_sequence"], 1)

    def test_a_signal_ends_paced_publishing_before_the_next_message(self):
        b = self.broker
        b.run("topic", "create", "source")
        b.run("pub", "source", "--count", "2", "--rate", "1000")
        feed = os.path.join(b.home, "feed.csv")
        with open(feed, "w") as file:
            file.write("1000.5,1\n5000.5,2\n")
        for command in (["pub", "--count", "2", "--rate", "0.001"], ["pub", "--count", "2", "--rate", "1e-300"],
                        ["replay", feed, "-t"], ["replay", "--from-topic", "source", "--speed", "1e-9", "-t"]):
            with self.subTest(command):
                topic = "t" + str(len(command)) + command[-1][-1]
                b.run("topic", "create", topic)
                child = b.popen(*command, topic, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                self.wait_for(lambda topic=topic: b.info(topic)["last_sequence"] == 1, "the first one goes out at once")
                child.send_signal(signal.SIGINT)
                self.assertEqual(child.wait(60), 1)  # not all that was asked for
                self.assertEqual(b.info(topic)["last_sequence"], 1)

    def test_an_idle_subscriber_ends_when_nobody_reads_its_output_any_more(self):
        b = self.broker
        b.run("topic", "create", "t")
        child = b.popen("sub", "t", stdout=subprocess.PIPE)
        self.wait_for(lambda: b.info("t")["subscribers"] == 1, "the subscriber opens")
        child.stdout.close()
        self.assertEqual(child.wait(60), -signal.SIGPIPE)
        read, write = os.pipe()
        child = subprocess.Popen(["bash", "-c", f"trap '' PIPE; exec {BIN}/hermes sub t"], env=b.environment, stdout=write,
                                 stderr=subprocess.PIPE)
        b.children.append(child)
        os.close(write)
        os.close(read)
        self.assertEqual(child.communicate(timeout=60)[1], b"hermes: standard output: Broken pipe\n")
        self.assertEqual(child.returncode, 1)

    def test_a_subscriber_says_when_its_broker_is_away_and_when_it_is_back(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("pub", "t", data=b"again\n")
        for stop in (b.kill, b.stop):
            child = b.popen("sub", "t", "--last", "1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(child.stdout.readline(), b"again\n")
            stop()
            self.assertEqual(child.stderr.readline(), b"hermes sub: the broker is away; waiting for it\n")
            b.start()
            self.assertEqual(child.stderr.readline(), b"hermes sub: the broker is back\n")
            b.run("pub", "t", data=b"again\n")
            self.assertEqual(child.stdout.readline(), b"again\n")
            child.terminate()
            self.assertEqual(child.communicate(timeout=60)[1], b"")
            self.wait_for(lambda: b.info("t")["subscribers"] == 0, "it has gone")

    def test_a_group_that_was_not_there_is_said_to_be_new(self):
        b = self.broker
        b.run("topic", "create", "t")
        for option, kind in (("--group", "group"), ("--name", "durable subscription")):
            result = b.run("sub", "t", option, kind[0], "-t", "0")
            self.assertEqual(result.stderr.decode(), f"hermes sub: {kind} '{kind[0]}' of topic 't' was not there, and was made "
                             f"(hermes group delete t {kind[0]})\n")
            self.assertEqual(b.run("sub", "t", option, kind[0], "-t", "0").stderr, b"")


class Shown(Case):
    def test_the_form_of_payloads_is_one_rule_or_what_was_asked_for(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("pub", "t", data=b'plain\n\xff"\x9b\n\xc2\x9b31m\n')
        forms = {
            "auto": [(None, "plain"), ("base64", base64.b64encode(b'\xff"\x9b').decode()), (None, "\u009b31m")],
            "text": [(None, "plain"), (None, '\ufffd"\ufffd'), (None, "\u009b31m")],
            "base64": [("base64", base64.b64encode(p).decode()) for p in (b"plain", b'\xff"\x9b', b"\xc2\x9b31m")],
        }
        for form, expected in forms.items():
            for command in (["sub", "t", "--from", "first", "-t", "0", "--format", "json"], ["export", "t", "--format", "json"]):
                lines = b.run(*command, "--payload", form).stdout
                rows = [json.loads(line) for line in lines.splitlines()]
                self.assertEqual([(r.get("encoding"), r["payload"]) for r in rows], expected)
                self.assertNotIn(b"\x9b", lines)  # a control character to some terminals
                if form == "auto":
                    self.assertEqual(b.run(*command).stdout, lines)
        self.assertIn(b',base64,cGxhaW4=\r\n', b.run("export", "t", "--payload", "base64").stdout)
        self.assertIn(b',text,"\xff""\x9b"\r\n', b.run("export", "t", "--payload", "text").stdout)

    def on_a_terminal(self, *arguments):
        """What gets there; its own translation of newlines taken back."""
        ours, theirs = pty.openpty()
        child = self.broker.popen(*arguments, stdout=theirs)
        os.close(theirs)
        shown = b""
        try:
            while more := os.read(ours, 4096):
                shown += more
        except OSError:  # the other end was closed
            pass
        os.close(ours)
        self.assertEqual(child.wait(60), 0)
        return shown.replace(b"\r\n", b"\n")

    def test_a_terminal_is_shown_control_characters_and_does_not_obey_them(self):
        b = self.broker
        b.run("topic", "create", "t")
        payload = b"\x1b]0;title\x07 \xc3\xa4\t\r\x7f\xc2\x9b2J\x9b\xff\n"
        b.run("pub", "t", data=payload)
        visible = b"\\x1b]0;title\\x07 \xc3\xa4\t\\x0d\\x7f\\xc2\\x9b2J\\x9b\\xff"
        seek = ["sub", "t", "--from", "first", "-t", "0"]
        self.assertEqual(self.on_a_terminal(*seek).expandtabs(), (visible + b"\n").expandtabs())
        self.assertIn(b"\\x1b]0;title\\x07", self.on_a_terminal(*seek, "--format", "%o %s\\n"))
        self.assertIn(b"\\x1b]0;title", self.on_a_terminal("export", "t", "--payload", "text"))
        self.assertEqual(b.run(*seek).stdout, payload)
        self.assertIn(b"\x1b]0;title\x07", self.on_a_terminal(*seek, "--format", "raw"))


main()
