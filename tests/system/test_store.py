"""The store over time: retention, changes while it runs, sync topics."""
import base64
import csv
import io
import json
import os
import resource
import signal
import struct
import subprocess
import time
import zlib

from hermes_test import Case, is_sanitized, main

SMALL = ["--window", "256K", "--segment", "1M"]
MIB = 1 << 20


class Store(Case):
    def numbers(self, topic):
        """The sequences of all that is there."""
        rows = self.broker.run("sub", topic, "--from", "first", "--timeout", "0", "--format", "hex").stdout.splitlines()
        return [int(row.split(b" ")[0]) for row in rows]

    def assert_unbroken(self, there, last):
        self.assertTrue(there == list(range(there[0], last + 1)), f"{there[0]} to {there[-1]}, {len(there)} in all")

    def stored(self, topic):
        return sum(os.path.getsize(path) for path in self.broker.segments(topic))

    def test_retention_by_bytes(self):
        b = self.broker
        b.run("topic", "create", "t", *SMALL, "--keep-bytes", "3M")
        for i in range(4):
            b.run("pub", "t", "--count", "20000", "--size", "96", "--durable")
            last = 20000 * (i + 1)
            info = b.info("t")
            self.assertEqual(info["last_sequence"], last)
            self.wait_for(lambda: b.info("t")["first_position"] + 4 * MIB >= b.info("t")["persisted_position"], "the oldest go")
            info = b.info("t")
            if last > 40000:
                self.assertGreater(info["first_position"], 0)
            self.assertGreaterEqual(info["persisted_position"] - info["first_position"], min(3 * MIB, 128 * last))
            there = self.numbers("t")
            self.assert_unbroken(there, last)
        self.assertLessEqual(self.stored("t"), 5 * MIB + 5 * 64)
        first = b.info("t")["first_position"]
        self.assertEqual(b.stop(), (0, []))
        b.start()
        self.assertEqual(b.info("t")["first_position"], first)
        self.assertEqual(self.numbers("t")[-1], last)
        b.kill()
        b.start()
        self.assertEqual(self.numbers("t")[-1], last)

    def test_retention_is_altered_while_it_runs(self):
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        publisher = b.popen("pub", "t", "--count", "60000", "--size", "96", "--rate", "60000", stdout=subprocess.DEVNULL)
        self.wait_for(lambda: len(b.segments("t")) >= 4, "some segments are there")
        self.assertEqual(b.info("t")["first_position"], 0)
        b.run("topic", "alter", "t", "--keep-bytes", "1M")
        self.wait_for(lambda: b.info("t")["first_position"] > 0, "it takes effect")
        self.assertEqual(publisher.wait(60), 0)
        info = b.info("t")
        self.assertEqual((info["keep_bytes"], info["last_sequence"]), (MIB, 60000))
        b.kill()
        b.start()
        self.assertEqual(b.info("t")["keep_bytes"], MIB)
        for bad in (["--keep-age", "7 years"], ["--when-full", "perhaps"], ["--keep-bytes", "-1"], []):
            self.assertEqual(b.run("topic", "alter", "t", *bad, check=False).returncode, 64)
        self.assertEqual(b.run("topic", "alter", "unknown", "--keep-bytes", "0", check=False).returncode, 1)

    def test_retention_is_altered_whenever_the_last_message_came(self):
        b = self.broker
        names = [f"t{i}" for i in range(24)]
        for i, name in enumerate(names):
            b.run("topic", "create", name, *SMALL)
            b.run("pub", name, "--count", "20000", "--size", "96", "--durable")
            time.sleep(i * 0.01)  # its persister lies down at one of these moments
            b.run("topic", "alter", name, "--keep-bytes", "1M")
        for name in names:
            self.wait_for(lambda: b.info(name)["first_position"] > 0, f"it takes effect for {name}")

    def test_retention_by_age(self):
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        b.run("pub", "t", "--count", "40000", "--size", "96", "--durable")
        self.assertEqual(len(b.segments("t")), 5)
        b.run("topic", "alter", "t", "--keep-age", "1h")
        self.assertEqual(len(b.segments("t")), 5)
        b.run("topic", "alter", "t", "--keep-age", "1ms")
        self.wait_for(lambda: len(b.segments("t")) == 1, "all but the last go, though nobody publishes")
        there = self.numbers("t")
        self.assert_unbroken(there, 40000)

    def test_reader_that_retention_overtakes(self):
        """It is told once, and goes on with the oldest there is."""
        b = self.broker
        b.run("topic", "create", "t", *SMALL, "--keep-bytes", "1M")
        b.run("pub", "t", "--count", "8000", "--size", "96", "--durable")
        slow = b.popen("sub", "t", "--from", "first", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = int(slow.stdout.readline().split(b" ")[0])
        slow.send_signal(signal.SIGSTOP)
        b.run("pub", "t", "--count", "80000", "--size", "96", "--durable")
        self.wait_for(lambda: len(b.segments("t")) <= 3, "the oldest go")
        slow.send_signal(signal.SIGCONT)
        seen = [first]
        while seen[-1] != 80000 or len(seen) <= 8000:
            seen.append(int(slow.stdout.readline().split(b" ")[0]))
        slow.kill()
        error = slow.communicate()[1]
        jumps = [i for i in range(1, len(seen)) if seen[i] != seen[i - 1] + 1 and (seen[i - 1], seen[i]) != (8000, 1)]
        self.assertEqual(len(jumps), 1)
        self.assertEqual(error.count(b"older messages were removed"), 1)

    def verify(self, *arguments):
        result = self.broker.run("verify", *arguments, "--json", check=False)
        return result.returncode, [json.loads(line) for line in result.stdout.splitlines()]

    def test_verify(self):
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        b.run("topic", "create", "clean", *SMALL)
        b.run("topic", "create", "m", "--durability", "memory")
        for topic in ("t", "clean"):
            b.run("pub", topic, "--count", "40000", "--size", "96", "--durable")
        code, found = self.verify()
        self.assertEqual(code, 0)
        self.assertEqual([(f["topic"], f["messages"], f["damaged"], f["complete"]) for f in found],
                         [("clean", 40000, 0, True), ("t", 40000, 0, True)])
        # A flipped bit, a torn page, a segment cut short, one deleted: each is named, the rest stays readable.
        segments = b.segments("t")
        self.assertEqual(len(segments), 5)
        with open(segments[0], "r+b") as file:
            file.seek(64 + 128 * 1000 + 50)
            file.write(b"!")
        with open(segments[1], "r+b") as file:
            file.seek(64 + 128 * 96)
            file.write(bytes(4096))
        code, found = self.verify("t")
        self.assertEqual(code, 1)
        self.assertEqual([(d["from"], d["to"]) for d in found[0]["damage"]],
                         [(128000, 128128), (MIB + 12288, MIB + 12288 + 4096)])
        self.assertEqual(found[0]["messages"], 40000 - 1 - 32)
        expected = [n for n in range(1, 40001) if n != 1001 and not 8192 + 96 < n <= 8192 + 96 + 32]
        sub = b.run("sub", "t", "--from", "first", "--timeout", "0", "--format", "hex", check=False)
        self.assertEqual(sub.returncode, 1)
        self.assertIn(b"damaged from position 128000 to 128128", sub.stderr)
        self.assertTrue([int(row.split(b" ")[0]) for row in sub.stdout.splitlines()] == expected)
        os.truncate(segments[2], 64 + MIB // 2 + 10)
        code, found = self.verify("t")
        self.assertEqual(found[0]["messages"], 40000 - 33 - 8192 + 4096)
        os.unlink(segments[3])
        code, found = self.verify("t")
        self.assertEqual((code, found[0]["damage"][-1]["from"], found[0]["damage"][-1]["to"]), (1, 3 * MIB, 4 * MIB))
        self.assertEqual(self.verify("clean")[0], 0)
        self.assertEqual(b.run("pub", "t", data=b"on and on\n").stdout, b"40001\n")
        self.assertEqual(b.run("verify", "m", check=False).returncode, 1)
        self.assertEqual(b.run("verify", "unknown", check=False).returncode, 1)

    def test_segments_vanish_under_everybody(self):
        """Errors, and nobody dies of them."""
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        b.run("topic", "create", "other", *SMALL)
        b.run("pub", "t", "--count", "30000", "--size", "96", "--durable")
        slow = b.popen("sub", "t", "--from", "first", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(slow.stdout.readline().startswith(b"1 "))
        slow.send_signal(signal.SIGSTOP)
        segments = b.segments("t")
        os.truncate(segments[0], 64 + MIB // 2)  # it has this one mapped
        os.truncate(segments[1], 100)
        slow.send_signal(signal.SIGCONT)
        while not slow.stdout.readline().startswith(b"30000 "):
            self.assertIsNone(slow.poll())
        slow.kill()
        self.assertIn(b"damaged from position", slow.communicate()[1])
        # The one that is written to: the topic stops confirming, and says why.
        os.unlink(segments[-1])
        result = b.run("pub", "t", "--durable", "--count", "1000", check=False)
        self.assertEqual(result.returncode, 1)
        self.told("deleted or cut short by somebody else")
        self.assertTrue(b.info("t")["failed"])
        b.run("pub", "other", "--durable", data=b"fine\n")

    def test_export_and_replay_between_times(self):
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        b.run("topic", "create", "copy", *SMALL)
        lines = [b'say "hello", twice', b"\xff\x00binary", b"", "gr\u00fc\u00dfe".encode()] * 50
        b.run("pub", "t", data=b"\n".join(lines) + b"\n")
        rows = [json.loads(row) for row in b.run("export", "t", "--format", "json").stdout.splitlines()]
        times = [row["timestamp"] for row in rows]
        self.assertEqual(len(rows), 200)
        text = b.run("export", "t").stdout.decode()
        table = list(csv.DictReader(io.StringIO(text, newline="")))
        payload = lambda row: base64.b64decode(row["payload"]) if row["encoding"] == "base64" else row["payload"].encode()
        self.assertEqual([payload(row) for row in table], lines)
        self.assertEqual([int(row["timestamp"]) for row in table], times)
        path = os.path.join(b.home, "t.pcapng")
        b.run("export", "t", "--format", "pcapng", "--output", path)
        with open(path, "rb") as file:
            data = file.read()
        packets, at = [], 0
        while at < len(data):
            kind, length = struct.unpack_from("<II", data, at)
            self.assertEqual(struct.unpack_from("<I", data, at + length - 4)[0], length)
            if kind == 6:
                _, high, low, captured, original = struct.unpack_from("<IIIII", data, at + 8)
                self.assertEqual(captured, original)
                packets.append((high << 32 | low, data[at + 28:at + 28 + captured]))
            at += length
        self.assertEqual([time for time, _ in packets], times)
        self.assertEqual([packet[32:] for _, packet in packets], lines)
        for _, packet in packets:
            self.assertEqual(struct.unpack_from("<I", packet, 28)[0], zlib.crc32(packet[:28], zlib.crc32(packet[32:])))
        # Between two times: from the first on, up to before the second.
        since, until = times[40], times[160]
        wanted = [line for line, time in zip(lines, times) if since <= time < until]
        b.run("replay", "--from-topic", "t", "--topic", "copy", "--speed", "max", "--since", str(since), "--until", str(until))
        copied = [json.loads(row) for row in b.run("export", "copy", "--format", "json").stdout.splitlines()]
        self.assertEqual([base64.b64decode(r["payload"]) if "encoding" in r else r["payload"].encode() for r in copied], wanted)
        self.assertEqual(len(b.run("export", "t", "--format", "json", "--since", str(since), "--until", str(until)).stdout.splitlines()),
                         len(wanted))
        for bad in (["export", "t", "--since", "tomorrow"], ["export", "t", "--format", "xml"], ["export"],
                    ["replay", "x.csv", "--topic", "t", "--since", "1"]):
            self.assertEqual(b.run(*bad, check=False).returncode, 64)
        self.assertEqual(b.run("export", "unknown", check=False).returncode, 1)
        self.assertEqual(b.run("export", "t", "--output", "/dev/full", check=False).returncode, 1)

    def restamp(self, path, times):
        """Gives the messages of a segment other times, as publishers whose clocks differ or are set would have done."""
        with open(path, "r+b") as file:
            data = bytearray(file.read())
            at = 64
            for time in times:
                length, = struct.unpack_from("<I", data, at + 24)
                struct.pack_into("<Q", data, at + 16, time)
                crc = zlib.crc32(data[at:at + 28], zlib.crc32(data[at + 32:at + 32 + length]))
                struct.pack_into("<I", data, at + 28, crc)
                at += -(-(32 + length) // 64) * 64
            file.seek(0)
            file.write(data)
        os.unlink(path.replace(".log", ".idx"))

    def test_between_two_times_is_each_message_that_was_then(self):
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        b.run("topic", "create", "copy", *SMALL)
        b.run("pub", "t", "--count", "2000", "--size", "16")
        first = json.loads(b.run("export", "t", "--format", "json").stdout.splitlines()[0])["timestamp"]
        self.assertEqual(b.stop(), (0, []))
        second = 10 ** 9
        times = [first + i * 10 ** 6 - i % 7 * 3 * 10 ** 6 for i in range(2000)]  # some publishers, a little apart
        for i in range(500, 510):
            times[i] += 7 * 86400 * second  # a clock that is a week ahead for a moment
        times[1500:] = [time - 60 * second for time in times[1500:]]  # and one that is set back for good
        self.restamp(b.segments("t")[0], times)
        b.start()
        ranges = [(times[300], times[900]), (times[300], None), (None, times[900]), (times[1600], times[1700]),
                  (times[505], None), (first + 30 * 86400 * second, None)]
        for since, until in ranges:
            where = [*(["--since", str(since)] if since else []), *(["--until", str(until)] if until else [])]
            wanted = [i + 1 for i, time in enumerate(times) if (since or 0) <= time < (until or 1 << 64)]
            rows = [json.loads(row) for row in b.run("export", "t", "--format", "json", *where).stdout.splitlines()]
            self.assertEqual([row["sequence"] for row in rows], wanted)
            before = b.info("copy")["last_sequence"]
            b.run("replay", "--from-topic", "t", "--topic", "copy", "--speed", "max", *where)
            self.assertEqual(b.info("copy")["last_sequence"] - before, len(wanted))

    def test_stamps_that_are_no_time_are_replayed_as_the_present_and_told(self):
        """Neither does anything wait for them."""
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        b.run("topic", "create", "copy", *SMALL)
        b.run("pub", "t", "--count", "5", "--size", "16")
        self.assertEqual(b.stop(), (0, []))
        times = [10 ** 18, 0, 1 << 63, (1 << 64) - 1, 10 ** 18 + 1]
        self.restamp(b.segments("t")[0], times)
        b.start()
        self.assertEqual(len(b.run("export", "t", "--format", "json").stdout.splitlines()), 5)
        before = time.time_ns()
        result = b.run("replay", "--from-topic", "t", "--topic", "copy", "--speed", "1", "--keep-times")
        self.assertIn(b"3 messages carried no time", result.stderr)
        copied = [json.loads(row)["timestamp"] for row in b.run("export", "copy", "--format", "json").stdout.splitlines()]
        self.assertEqual((copied[0], copied[4]), (times[0], times[4]))
        for stamp in copied[1:4]:
            self.assertLess(abs(stamp - before), 60 * 10 ** 9)

    def test_file_size_limit(self):
        """RLIMIT_FSIZE: an error like a full disk, no signal."""
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        resource.prlimit(b.process.pid, resource.RLIMIT_FSIZE, (MIB // 2, resource.RLIM_INFINITY))
        result = b.run("pub", "t", "--count", "30000", "--size", "96", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"no space left on the disk", result.stderr)
        resource.prlimit(b.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        b.run("pub", "t", "--durable", data=b"again\n")
        there = self.numbers("t")
        self.assert_unbroken(there, b.info("t")["last_sequence"])

    def test_sync_topics(self):
        b = self.broker
        for name, options in (("t", []), ("s", ["--shared"])):
            b.run("topic", "create", name, *SMALL, *options, "--durability", "sync")
            self.assertEqual(b.info(name)["durability"], "sync")
            publishers = [b.popen("pub", name, "--count", "500", stdout=subprocess.DEVNULL) for _ in range(4 if options else 1)]
            for p in publishers:
                self.assertEqual(p.wait(60), 0)
            info = b.info(name)
            self.assertEqual(info["last_sequence"], 500 * len(publishers))
            self.assertEqual(info["durable_position"], info["committed_position"])
            self.assertEqual(b.stop(), (0, []))
            b.start()
            self.assertEqual(len(self.numbers(name)), 500 * len(publishers))


    def test_topic_that_is_not_served_is_left_alone(self):
        """Its definition is damaged or cannot be read: nothing of it is deleted or written over."""
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        b.run("topic", "create", "u", *SMALL)
        b.run("pub", "t", "--count", "1000", "--size", "96", "--durable")
        self.assertEqual(b.stop(), (0, []))
        path = os.path.join(b.home, "data", "topics", "t", "topic.conf")
        with open(path) as file:
            good = file.read()
        os.rename(path, path + ".good")
        for damaged in (True, False):
            if damaged:
                with open(path, "w") as file:
                    file.write(good.replace("durability = async", "durability = perhaps"))
            else:
                os.symlink("topic.conf", path)  # ELOOP when it is opened, as it could be EIO or EMFILE
            b.start()
            self.assertEqual(b.run("topic", "list").stdout.count(b"async"), 1)
            result = b.run("topic", "create", "t", *SMALL, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"not served", result.stderr)
            self.assertEqual(b.stop(), (0, []))
            self.assertIn("topic 't' is not served", b.messages())
            os.unlink(path)
        os.rename(path + ".good", path)
        b.start()
        self.assertEqual(self.numbers("t"), list(range(1, 1001)))

    def test_readers_go_over_from_store_to_live(self):
        """From the first message on, begun at any moment beside a publisher that runs flat out."""
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        publisher = b.popen("pub", "t", "--count", "1500000", stdout=subprocess.DEVNULL)
        readers = []
        for i in range(4):
            self.wait_for(lambda: b.info("t")["last_sequence"] > 150000 * i, "it goes on")
            readers.append(b.popen("sub", "t", "--from", "first", "--count", "1500000", "--format", "hex", stdout=subprocess.PIPE))
        found = [0] * 4
        for i, reader in enumerate(readers):  # by turns, so that the others fall behind and go over again
            for row in reader.stdout:
                found[i] += 1
                if int(row[:row.index(b" ")]) != found[i]:
                    self.fail(f"reader {i}: {row[:40]} in place of {found[i]}")
            self.assertEqual((reader.wait(60), found[i]), (0, 1500000))
        self.assertEqual(publisher.wait(60), 0)

    def test_memory_does_not_grow_with_the_store(self):
        b = self.broker
        b.run("topic", "create", "t", *SMALL)

        def private():
            """Bytes that only the broker has."""
            with open(f"/proc/{b.process.pid}/smaps_rollup") as rollup:
                return sum(int(line.split()[1]) << 10 for line in rollup if line.startswith("Private_Dirty"))
        sanitized = is_sanitized()
        b.run("pub", "t", "--count", "20000", "--size", "96")
        self.run_searches(20000)  # each worker has had something to do
        before = private()
        b.run("pub", "t", "--count", "2000000", "--size", "96")  # 100 times as much
        self.run_searches()
        self.assertTrue(sanitized or private() < before + 2 * MIB)
        b.kill()
        b.start()
        self.run_searches()
        self.assertTrue(sanitized or private() < before + 2 * MIB)

    def run_searches(self, last=2020000):
        for sequence in range(1, last, last // 20 + 1):
            row = self.broker.run("sub", "t", "--from", f"seq:{sequence}", "--count", "1", "--format", "hex").stdout
            self.assertEqual(int(row.split(b" ")[0]), sequence)

    def test_damage_further_back_does_not_keep_a_topic_from_being_served(self):
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        b.run("pub", "t", "--count", "60000", "--size", "96")
        self.assertEqual(b.stop(), (0, []))
        paths = b.segments("t")
        self.assertGreater(len(paths), 6)
        with open(paths[1], "r+b") as file:  # no header any more
            file.write(bytes(64))
        os.unlink(paths[3])
        for path in paths[2:]:
            os.unlink(path.replace(".log", ".idx"))
        b.start()
        self.told("segments are missing in 1 places")
        there = self.numbers_around_damage("t")
        lost = 2 * MIB // 128
        self.assertEqual(len(there), 60000 - lost)
        self.assertEqual((there[0], there[-1]), (1, 60000))
        for sequence in (1, there[-1], there[len(there) // 2], there[len(there) // 4]):
            row = b.run("sub", "t", "--from", f"seq:{sequence}", "--count", "1", "--format", "hex").stdout
            self.assertEqual(int(row.split(b" ")[0]), sequence)
        result = b.run("verify", "t", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"2 damaged", result.stdout)

    def numbers_around_damage(self, topic):
        result = self.broker.run("sub", topic, "--from", "first", "--timeout", "0", "--format", "hex", check=False)
        self.assertEqual(result.stderr.count(b"damaged from position"), 2)
        return [int(row.split(b" ")[0]) for row in result.stdout.splitlines()]


class Scrubbed(Case):
    broker_config = "[store]\nscrub_mb_s = 1000\nscrub_hours = 0\n"

    def test_damage_is_found_by_itself(self):
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        b.run("topic", "create", "clean", *SMALL)
        for topic in ("t", "clean"):
            b.run("pub", topic, "--count", "20000", "--size", "96", "--durable")
        self.assertEqual(b.info("t")["corrupt"], 0)
        with open(b.segments("t")[1], "r+b") as file:
            file.seek(64 + 128 * 5 + 40)
            file.write(b"!")
        self.wait_for(lambda: b.info("t")["corrupt"] == 1, "it is found")
        self.told(f"topics/t: damaged from position {MIB + 640} to {MIB + 768}: ")
        os.unlink(b.segments("t")[0])
        self.wait_for(lambda: b.info("t")["corrupt"] == 2, "a lost segment is found")
        b.run("pub", "t", "--count", "1000", "--durable")
        self.assertEqual(b.info("clean")["corrupt"], 0)
        b.run("topic", "delete", "t")
        self.assertEqual(b.stop(), (0, []))

    def test_what_comes_and_goes_is_no_damage(self):
        """Segments that are begun, retention, topics that are deleted: all of it while they are read again and again."""
        b = self.broker
        b.run("topic", "create", "t", *SMALL, "--keep-bytes", "1M")
        publisher = b.popen("pub", "t", "--count", "800000", "--size", "96", stdout=subprocess.DEVNULL)
        rounds = 0
        while publisher.poll() is None or rounds < 5:
            rounds += 1
            b.run("topic", "create", "other", *SMALL)
            b.run("pub", "other", "--count", "20000", "--size", "96", "--durable")
            self.assertEqual(b.info("other")["corrupt"], 0)
            b.run("topic", "delete", "other")
        self.assertEqual(publisher.returncode, 0)
        self.assertGreater(b.info("t")["first_position"], 0)
        self.assertEqual(b.info("t")["corrupt"], 0)
        self.assertNotIn("damaged", b.messages())
        self.assertEqual(b.stop(), (0, []))


main()
