"""The command line as its users type it, bad input included."""
import base64
import concurrent.futures
import json
import os
import signal
import subprocess
import time

from hermes_test import BIN, Broker, Case, main


class Cli(Case):
    def test_lines_there_and_back(self):
        b = self.broker
        b.run("topic", "create", "t")
        lines = [f"line {i} ä" for i in range(1000)]
        self.assertEqual(b.run("pub", "t", data="\n".join(lines).encode()).stdout, b"1000\n")
        out = b.run("sub", "t", "--from", "first", "--timeout", "0").stdout.decode().splitlines()
        self.assertEqual(out, lines)
        out = b.run("sub", "t", "--from", "seq:998", "--count", "2").stdout.decode().splitlines()
        self.assertEqual(out, lines[997:999])

    def test_json_and_binary(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("pub", "t", data=b'say "hi"\\\t\n\xff\xfe\n\n')
        rows = [json.loads(line) for line in
                b.run("sub", "t", "--from", "first", "--timeout", "0", "--format", "json").stdout.splitlines()]
        self.assertEqual(rows[0]["payload"], 'say "hi"\\\t')
        self.assertEqual(base64.b64decode(rows[1]["payload"]), b"\xff\xfe")
        self.assertEqual(rows[1]["encoding"], "base64")
        self.assertEqual([r["sequence"] for r in rows], [1, 2, 3])
        self.assertEqual(rows[2]["length"], 0)
        self.assertLess(abs(rows[0]["timestamp"] / 1e9 - time.time()), 60)
        hexes = b.run("sub", "t", "--from", "seq:2", "--count", "1", "--format", "hex").stdout
        self.assertEqual(hexes, b"2 fffe\n")
        when = rows[1]["timestamp"]
        first = b.run("sub", "t", "--from", f"time:{when}", "--count", "1", "--format", "json").stdout
        self.assertGreaterEqual(json.loads(first)["timestamp"], when)

    def test_the_broker_describes_itself(self):
        b = self.broker
        b.run("topic", "create", "t")
        described = lambda: json.loads(b.run("info", "--json").stdout)
        self.wait_for(lambda: described()["sessions"] == 1, "whoever made the topic has gone")
        info = described()
        self.assertEqual((info["pid"], info["uid"], info["topics"]), (b.process.pid, os.getuid(), 1))
        self.assertIn(info["engine"], ("io_uring", "epoll"))
        self.assertGreater(info["longest_turn_ns"], 0)
        self.assertGreater(info["uptime_ns"], info["longest_turn_ns"])
        self.assertLessEqual(info["longest_own_ns"], info["longest_turn_ns"])
        self.assertEqual(info["notes_lost"], 0)
        self.assertIn(b"longest turn  ", b.run("info").stdout)

    def test_topics(self):
        b = self.broker
        for name in ("b", "a", "c"):
            b.run("topic", "create", name, "--shared", "--window", "512K", "--segment", "1M")
        rows = [json.loads(line) for line in b.run("topic", "list", "--json").stdout.splitlines()]
        self.assertEqual([r["name"] for r in rows], ["a", "b", "c"])
        self.assertEqual(rows[0]["window_bytes"], 512 * 1024)
        self.assertTrue(rows[0]["shared"])
        b.run("topic", "delete", "b")
        self.assertFalse(os.path.exists(os.path.join(b.home, "data/topics/b")))
        self.assertEqual(b.run("topic", "info", "b", check=False).returncode, 1)
        self.assertIn(b"topic        a\n", b.run("topic", "info", "a").stdout)

    def test_many_topics_are_all_listed(self):
        b = self.broker
        for i in range(300):
            b.run("topic", "create", f"t{i:03}", "--durability", "memory", "--window", "256K")
        rows = b.run("topic", "list", "--json").stdout.splitlines()
        self.assertEqual([json.loads(r)["name"] for r in rows], [f"t{i:03}" for i in range(300)])

    def test_bad_input_is_named(self):
        b = self.broker
        b.run("topic", "create", "t")
        cases = [
            (["topic", "create", "a/b"], 1, b"not a legal name"),
            (["topic", "create", "a" * 300], 1, b"not a legal name"),
            (["topic", "create", ""], 64, b"an argument is empty"),
            (["topic", "create", "t"], 1, b"exists"),
            (["topic", "create", "w", "--window", "100000"], 1, b"power of two"),
            (["topic", "create", "w", "--window", "4M", "--segment", "5M"], 1, b"multiple"),
            (["topic", "create", "w", "--window", "4M", "--segment", "2M"], 1, b"multiple of the window's 4194304"),
            (["topic", "create", "w", "--window", "lots"], 64, b"not a size"),
            (["topic", "create", "w", "--durability", "stone"], 64, b"async, sync or memory"),
            (["topic", "delete", "none"], 1, b"no topic 'none'"),
            (["topic", "explode", "t"], 64, b"no action"),
            (["sub", "none"], 1, b"no topic 'none'"),
            (["pub", "none"], 1, b"no topic 'none'"),
            (["sub", "t", "--from", "yesterday"], 64, b"first, end"),
            (["sub", "t", "--format", "xml"], 64, b"lines, raw"),
            (["pub", "t", "--count", "1", "--size", "65537"], 64, b"65536"),
            (["dump", "none"], 1, b"no topic"),
            (["dump", "/etc/hostname"], 1, b"no header"),
            (["replay", "/nonexistent", "--topic", "t"], 1, b"No such file"),
            (["replay", "x"], 64, b"Usage"),
            (["frobnicate"], 64, b"no command"),
            ([], 64, b"Usage"),
        ]
        for arguments, code, text in cases:
            with self.subTest(arguments=arguments):
                result = b.run(*arguments, data=b"x\n", check=False)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(text, result.stderr)
        result = b.run("pub", "t", data=b"x" * 65537, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"too large", result.stderr)
        self.assertEqual(b.run("pub", "t", data=b"y" * 65536).stdout, b"1\n")

    def test_a_window_that_is_larger_than_the_usual_segment(self):
        """Who says nothing of segments gets such as fit."""
        b = self.broker
        b.run("topic", "create", "w", "--window", "128M")  # the broker's segments have 64 MiB
        self.assertEqual((b.info("w")["window_bytes"], b.info("w")["segment_bytes"]), (128 << 20, 128 << 20))
        b.run("pub", "w", "--durable", data=b"x\n")
        self.assertEqual(b.run("sub", "w", "--from", "first", "-t", "0").stdout, b"x\n")
        self.assertEqual(b.stop(), (0, []))
        with open(os.path.join(b.home, "hermes.conf"), "w") as file:
            file.write("[topic]\nwindow = 128M\n")
        refused = subprocess.run([os.path.join(BIN, "hermesd")], env=b.environment, capture_output=True, timeout=60)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b"hermes.conf: a segment of 67108864 bytes is no multiple of a window of 134217728", refused.stderr)
        with open(os.path.join(b.home, "hermes.conf"), "a") as file:
            file.write("segment = 128M\n")
        b.start()
        self.assertEqual(b.run("sub", "w", "--from", "first", "-t", "0").stdout, b"x\n")

    def test_no_broker_is_said_plainly(self):
        result = subprocess.run([os.path.join(BIN, "hermes"), "topic", "list"], capture_output=True,
                                env=dict(os.environ, HERMES_HOME="/nonexistent/" + "x" * 120))
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"is hermesd running?", result.stderr)

    def test_second_broker_is_refused(self):
        b = self.broker
        second = subprocess.run([os.path.join(BIN, "hermesd")], env=b.environment, capture_output=True)
        self.assertEqual(second.returncode, 1)
        self.assertIn(b"another broker serves", second.stderr)
        b.run("topic", "list")  # the first one is not disturbed

    def test_exclusive_topic_has_one_publisher(self):
        b = self.broker
        b.run("topic", "create", "t")
        first = b.popen("pub", "t", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.wait_for(lambda: b.info("t")["publishers"] == 1, "the publisher opens")
        result = b.run("pub", "t", data=b"x\n", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"has a publisher", result.stderr)
        self.assertEqual(b.run("topic", "delete", "t", check=False).returncode, 1)
        first.communicate(b"one\n")
        self.assertEqual(b.run("pub", "t", data=b"two\n").stdout, b"2\n")

    def test_a_signal_ends_publishing_though_the_broker_is_gone(self):
        b = self.broker
        for shared in ([], ["--shared"]):
            topic = "shared" if shared else "exclusive"
            b.run("topic", "create", topic, *shared)
            child = b.popen("pub", topic, "--count", "1000M", "--size", "1000", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            while json.loads(b.run("topic", "info", topic, "--json").stdout)["last_sequence"] < 1000:
                pass
            b.kill()
            child.send_signal(signal.SIGTERM)
            _, said = child.communicate(timeout=9) # less than any of its waits
            self.assertIn(b"messages are in topic " + topic.encode(), said)
            b.start()

    def test_a_broker_that_does_not_answer_is_not_the_end_of_what_is_read(self):
        """Whoever has not got all says so, so long after the question."""
        b = self.broker
        b.environment["HERMES_REQUEST_TIMEOUT_MS"] = "3000"
        b.run("topic", "create", "t", "--window", "256K", "--segment", "1M")
        b.run("topic", "create", "copy", "--window", "256K", "--durability", "memory", "--push-back")
        b.run("pub", "t", "--count", "20000", "--size", "96", "--durable")
        slow = b.popen("sub", "copy", "--push-back", stdout=subprocess.DEVNULL)
        self.wait_for(lambda: b.info("copy")["waited_for"] == 1, "it is waited for")
        slow.send_signal(signal.SIGSTOP)
        readers = [b.popen(*command.split(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                   for command in ("sub t --from first --timeout 0", "export t", "dump t")]
        replay = b.popen("replay", "--from-topic", "t", "--topic", "copy", "--speed", "max", stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE)
        for reader in readers:  # each is in the first segment, until somebody takes more from it
            reader.stdout.readline()
        self.wait_for(lambda: b.info("copy")["last_sequence"] > 1000, "it replays until it has to wait")
        b.process.send_signal(signal.SIGSTOP)
        self.addCleanup(b.process.send_signal, signal.SIGCONT)
        slow.send_signal(signal.SIGCONT)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            said = pool.submit(replay.stderr.readline)
            told = [error for _, error in pool.map(lambda reader: reader.communicate(timeout=60), readers)]
        b.process.send_signal(signal.SIGCONT)  # for whoever closes
        replay.wait(60)
        for error, child in zip([*told, said.result()], [*readers, replay]):
            self.assertIn(b"hermes: t: cannot open a segment: the broker is not reachable", error, child.args)
            self.assertEqual(child.returncode, 1, child.args)

    def test_shared_topic_has_one_order(self):
        b = self.broker
        b.run("topic", "create", "t", "--shared")
        publishers = [b.popen("pub", "t", "--count", "20000", "--size", str(20 + 30 * i),
                              stdout=subprocess.DEVNULL) for i in range(4)]
        for p in publishers:
            self.assertEqual(p.wait(120), 0)
        rows = b.run("sub", "t", "--from", "first", "--timeout", "0").stdout.splitlines()
        self.assertEqual(len(rows), 80000)
        for i in range(4):
            mine = [int(r.split(b" ")[0]) for r in rows if len(r) == 20 + 30 * i]
            self.assertEqual(mine, list(range(1, 20001)))

    def test_memory_topic_tells_what_was_lost(self):
        b = self.broker
        b.run("topic", "create", "m", "--durability", "memory", "--window", "256K")
        b.run("pub", "m", "--count", "100000", "--size", "32")
        out = b.run("sub", "m", "--from", "first", "--timeout", "0").stdout.splitlines()
        self.assertEqual(int(out[-1].split(b" ")[0]), 100000)
        self.assertLess(len(out), 100000)
        first = int(out[0].split(b" ")[0])
        self.assertEqual([int(r.split(b" ")[0]) for r in out], list(range(first, 100001)))
        self.assertEqual(b.segments("m"), [])

    def test_waiting_subscriber_wakes(self):
        b = self.broker
        b.run("topic", "create", "t")
        subscriber = b.popen("sub", "t", "--from", "first", "--count", "3", stdout=subprocess.PIPE)
        self.wait_for(lambda: b.info("t")["subscribers"] == 1, "the subscriber opens")
        for word in (b"a\n", b"b\n", b"c\n"):
            b.run("pub", "t", data=word)
        self.assertEqual(subscriber.communicate(timeout=60)[0], b"a\nb\nc\n")

    def test_deleted_topic_ends_its_subscribers(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("pub", "t", data=b"last\n")
        subscriber = b.popen("sub", "t", "--from", "first", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(subscriber.stdout.readline(), b"last\n")
        b.run("topic", "delete", "t")
        out, err = subscriber.communicate(timeout=60)
        self.assertEqual(out, b"")
        self.assertIn(b"deleted", err)

    def test_everything_survives_an_orderly_stop(self):
        b = self.broker
        b.run("topic", "create", "t", "--window", "256K", "--segment", "1M")
        b.run("topic", "create", "s", "--shared")
        for i in range(3):
            self.assertEqual(b.run("pub", "t", "--count", "20000").stdout, f"{20000 * (i + 1)}\n".encode())
            self.assertEqual(b.run("pub", "s", "--count", "1000").stdout, f"{1000 * (i + 1)}\n".encode())
            self.assertEqual(b.stop(), (0, []))
            b.start()
            rows = b.run("sub", "t", "--from", "first", "--timeout", "0").stdout.splitlines()
            self.assertEqual(len(rows), 20000 * (i + 1))
        self.assertGreater(len(b.segments("t")), 3)
        b.run("dump", "t")

    def test_replay(self):
        b = self.broker
        feed = os.path.join(b.home, "feed.csv")
        with open(feed, "w") as file:
            file.writelines(f"{34200 + i / 1000:.9f},{i},x\n" for i in range(500))
        b.run("topic", "create", "f")
        b.run("topic", "create", "g")
        self.assertEqual(b.run("replay", feed, "--topic", "f", "--speed", "max").stdout, b"500\n")
        started = time.monotonic()
        b.run("replay", feed, "--topic", "g", "--speed", "1")
        self.assertGreater(time.monotonic() - started, 0.45)
        b.run("replay", "--from-topic", "f", "--topic", "g", "--speed", "max")
        out = b.run("sub", "g", "--from", "first", "--timeout", "0").stdout
        with open(feed, "rb") as file:
            self.assertEqual(out, file.read() * 2)
        b.run("topic", "create", "same")
        b.run("replay", "--from-topic", "f", "--topic", "same", "--speed", "max", "--keep-times")
        self.assertEqual(b.run("export", "same").stdout, b.run("export", "f").stdout)
        self.assertEqual(b.run("replay", feed, "--topic", "same", "--keep-times", check=False).returncode, 64)
        itch = os.path.join(b.home, "feed.itch")
        system = b"S" + bytes(10) + b"O"
        with open(itch, "wb") as file:
            file.write((len(system).to_bytes(2, "big") + system) * 5 + b"\0\0" + system)
        b.run("topic", "create", "i")
        self.assertEqual(b.run("replay", itch, "--topic", "i").stdout, b"6\n")
        with open(itch, "ab") as file:
            file.write(b"\0\x20Sxx")
        self.assertEqual(b.run("replay", itch, "--topic", "i", check=False).returncode, 1)


class Epoll(Case):
    def setUp(self):
        self.broker = Broker(backend="epoll")
        self.addCleanup(self.broker.close)

    def test_the_other_event_loop(self):
        b = self.broker
        b.run("topic", "create", "t", "--shared")
        publishers = [b.popen("pub", "t", "--count", "5000", stdout=subprocess.DEVNULL) for _ in range(3)]
        for p in publishers:
            self.assertEqual(p.wait(60), 0)
        self.assertEqual(b.info("t")["last_sequence"], 15000)
        self.assertEqual(b.stop(), (0, []))


main()
