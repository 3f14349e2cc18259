"""hermes stat: what it shows is what happened; of a broker that was killed, too; and whatever clients write."""
import contextlib
import fcntl
import json
import os
import pty
import random
import signal
import socket
import struct
import subprocess
import termios

from hermes_test import BIN, SOURCE, Case, for_anybody, main

HELLO = 16
RECORD = b"x" * 99 + b"\n"


class Catalogue:
    """The file, read by docs/reference/counters.md alone."""

    def __init__(self, data, directory=None):
        self.data, self.directory = data, directory
        magic, version, count, columns_at, column_bytes, self.entries_at, self.entry_bytes = struct.unpack_from(
            "<4sHHIIII", data)
        assert (magic, version) == (b"HCNT", 1)
        self.kinds = [data[192 + 16 * i:208 + 16 * i].rstrip(b"\0").decode() for i in range(16)]
        self.columns = []
        for i in range(count):
            name, unit, kind, _, source, size, offset = struct.unpack_from("<28s12sHHHHI", data,
                                                                           columns_at + i * column_bytes)
            self.columns.append({"name": name.rstrip(b"\0").decode(), "unit": unit.rstrip(b"\0").decode(),
                                 "kind": self.kinds[kind], "source": source, "bytes": size, "offset": offset})

    @classmethod
    def of(cls, directory):
        with open(os.path.join(directory, "broker.counters"), "rb") as file:
            return cls(file.read(), directory)

    def number(self, file, offset, size):
        try:
            with open(os.path.join(self.directory, file), "rb") as opened:
                opened.seek(offset)
                value = int.from_bytes(opened.read(size), "little")
        except FileNotFoundError:
            return None
        return value

    def told(self, index, generation, offset):
        with open(os.path.join(self.directory, "clients.told"), "rb") as file:
            file.seek(64 * index)
            *values, expected = struct.unpack("<8Q", file.read(64))
        total = generation * 0x9E3779B97F4A7C15 % 2**64
        for i, value in enumerate(values):
            total = ((total ^ value) * 0x100000001B3 + i) % 2**64
        return values[offset // 8] if total | 1 == expected else None

    def value(self, column, index, generation, entry, topic, own):
        source, offset, size = column["source"], column["offset"], column["bytes"]
        if source == 0:
            return int.from_bytes(entry[offset:offset + size], "little")
        if source == 2:
            epoch = self.number(f"{topic:016x}.status", 72, 4)
            return self.number(f"{topic:016x}.{epoch}.window", offset, size)
        if source == 5:
            return self.told(index, generation, offset)
        if source == 3 and own["waited_for_line"] == 0 or source == 4 and own["ring_line"] == 0:
            return None
        file, at = {1: ("status", 0), 6: ("readers", 0), 3: ("readers", 192 + 64 * (own.get("waited_for_line", 0) - 1)),
                    4: ("status", 8192 + 64 * (own.get("ring_line", 0) - 1))}[source]
        value = self.number(f"{topic:016x}.{file}", at + offset, size)
        return None if source in (3, 6) and value == 2**64 - 1 else value

    def rows(self, kind):
        found = {}
        for index, at in enumerate(range(self.entries_at, len(self.data), self.entry_bytes)):
            entry = self.data[at:at + self.entry_bytes]
            generation, number, id_, topic, session, owner = struct.unpack_from("<6Q", entry)
            if generation % 2 == 0 or self.kinds[number] != kind:
                continue
            row = {"name": entry[64:192].rstrip(b"\0").decode()}
            if session:
                row["session_id"] = f"{session:016x}"
            if owner >> 32:
                row.update(pid=owner >> 32, uid=owner % 2**32)
            for column in self.columns:
                if column["kind"] == kind:
                    value = self.value(column, index, generation, entry, topic, row)
                    row[column["name"]] = f"{value:016x}" if column["unit"] == "id" else value
            found[f"{id_:016x}"] = row
        return found


class Stat(Case):
    def stat(self, *arguments):
        return json.loads(self.broker.run("stat", "--json", *arguments).stdout)

    def find(self, kind, name, document=None, **members):
        rows = [row for row in (document or self.stat())[kind]
                if row["name"] == name and all(row[key] == value for key, value in members.items())]
        self.assertEqual(len(rows), 1, rows)
        return rows[0]

    def publish(self, topic, count):
        self.broker.run("pub", topic, data=RECORD * count)

    def subscribe(self, *arguments, count=None):
        """A subscriber that is there."""
        before = self.counted("subscribers")
        child = self.broker.popen("sub", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.wait_for(lambda: self.counted("subscribers") > before, "a subscriber")
        return child

    def counted(self, kind):
        return len(self.stat()[kind])

    def pid_row(self, kind, child, document=None):
        return next(row for row in (document or self.stat())[kind] if row.get("pid") == child.pid)

    # ---- values ----

    def test_a_known_traffic_has_its_numbers(self):
        b = self.broker
        b.run("topic", "create", "shared", "--shared")
        b.run("topic", "create", "direct")
        b.run("topic", "create", "memory", "--durability", "memory")
        self.publish("shared", 1000)
        self.publish("direct", 30)
        self.wait_for(lambda: self.find("stores", "shared")["durable_position_bytes"] == 1000 * 192, "a sync")
        self.wait_for(lambda: self.find("topics", "shared")["next_sequence"] == 1001, "all messages")
        self.wait_for(lambda: self.find("topics", "direct")["next_sequence"] == 31, "all messages")
        self.wait_for(lambda: self.find("loops", "control")["topics"] == 3, "all topics")
        document = self.stat()
        topic = self.find("topics", "shared", document)
        self.assertEqual((topic["head_position_bytes"], topic["is_shared"], topic["epoch"]), (192000, True, 1))
        self.assertEqual(self.find("topics", "direct", document)["next_sequence"], 31)
        self.assertEqual(self.find("topics", "memory", document)["durability"], 2)
        self.assertEqual([store["name"] for store in document["stores"] if store["name"] == "memory"], [])
        store = self.find("stores", "shared", document)
        self.assertGreaterEqual(store["syncs"], 1)
        self.assertGreaterEqual(store["sync_time_ns"], store["longest_sync_ns"])
        loop = self.find("loops", "control", document)
        self.assertEqual(loop["topics"], 3)
        self.assertGreater(loop["sleeps"], 0)
        self.assertEqual(document["broker"]["pid"], b.process.pid)
        self.assertIs(document["broker"]["is_alive"], True)
        info = json.loads(b.run("info", "--json").stdout)
        self.assertEqual(info["instance"], document["broker"]["instance"])
        self.assertGreaterEqual(info["longest_turn_ns"], loop["longest_turn_ns"])

    def test_who_comes_is_shown_until_it_goes(self):
        b = self.broker
        b.run("topic", "create", "t")
        subscriber = self.subscribe("t")
        publisher = b.popen("pub", "t", stdin=subprocess.PIPE)
        self.wait_for(lambda: self.counted("publishers") == 1, "a publisher")
        document = self.stat()
        row = self.pid_row("subscribers", subscriber, document)
        self.assertEqual((row["topic"], row["name"], row["uid"]), ("t", "hermes", os.getuid()))
        session = self.pid_row("sessions", subscriber, document)
        self.assertEqual(session["id"], row["session_id"])
        self.assertGreaterEqual(session["requests"], 2)
        self.assertEqual(self.pid_row("publishers", publisher, document)["ring_line"], 0)
        subscriber.kill()
        publisher.kill()
        self.wait_for(lambda: self.counted("subscribers") + self.counted("publishers") + self.counted("sessions") == 0,
                      "all of them gone")

    def test_a_subscriber_that_is_behind_has_a_lag_until_it_has_caught_up(self):
        b = self.broker
        b.run("topic", "create", "t")
        subscriber = self.subscribe("t", "--format", "raw")
        self.assertEqual(self.pid_row("subscribers", subscriber)["lag_at_most_bytes"], 0)
        self.publish("t", 20000)  # more than the pipe takes
        self.wait_for(lambda: self.pid_row("subscribers", subscriber)["lag_at_most_bytes"] > 1000000, "a lag")
        row = self.pid_row("subscribers", subscriber)
        self.assertLessEqual(row["lag_at_most_bytes"], 20000 * 192)
        taken = 0
        while taken < 20000 * 99:
            taken += len(os.read(subscriber.stdout.fileno(), 1 << 20))
        self.wait_for(lambda: self.pid_row("subscribers", subscriber)["lag_at_most_bytes"] == 0, "no lag")

    def test_a_group_has_its_lag_and_what_it_gave_out_again(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("group", "create", "t", "g", "--from", "first")
        self.publish("t", 100)
        self.wait_for(lambda: self.find("groups", "g")["lag_at_most_bytes"] == 19200, "all there")
        row = self.find("groups", "g")
        self.assertEqual((row["topic"], row["is_durable"], row["redelivered_messages"]), ("t", False, 0))
        b.run("sub", "t", "--group", "g", "--count", "100")
        self.wait_for(lambda: self.find("groups", "g")["lag_at_most_bytes"] == 0, "all done")
        self.assertEqual(self.find("groups", "g")["claimed_sequence"], 100)
        b.run("group", "reset", "t", "g", "--from", "first")
        self.wait_for(lambda: self.find("groups", "g")["lag_at_most_bytes"] == 19200, "it stands where it was set to")
        b.run("group", "delete", "t", "g")
        self.assertEqual(self.stat()["groups"], [])

    def test_it_says_whom_a_publisher_waits_for(self):
        subscriber, publisher = self.flood()
        publisher.send_signal(signal.SIGSTOP)  # as it stands
        document = self.stat()
        self.assertGreater(self.pid_row("subscribers", subscriber, document)["lag_at_most_bytes"], 65536)
        self.assertGreaterEqual(self.pid_row("publishers", publisher, document)["waits"], 1)
        publisher.send_signal(signal.SIGCONT)

    def flood(self, *kind, topic="t"):
        """A push-back topic, a subscriber that takes nothing after a while, and a publisher that waits for it."""
        b = self.broker
        b.run("topic", "create", topic, "--push-back", "--window", "256K", "--segment", "1M", *kind)
        subscriber = self.subscribe(topic, "--push-back", "--format", "raw")
        publisher = b.popen("pub", topic, "--count", "300000", "--size", "100", stdout=subprocess.DEVNULL)
        self.wait_for(lambda: f"waits for hermes, process {subscriber.pid}" in b.run("stat").stdout.decode(),
                      "a publisher that waits")
        return subscriber, publisher

    def nobody_waits(self, topic="t"):
        self.wait_for(lambda: self.find("topics", topic)["waits_until_bytes"] is None, "nobody that waits")

    def test_a_publisher_that_died_over_its_wait_waits_no_longer(self):
        _, publisher = self.flood()
        publisher.kill()  # it hardly ever does anything else
        publisher.wait(60)
        self.nobody_waits()
        self.assertNotIn("waits", self.broker.run("stat").stdout.decode())

    def test_publishers_of_a_shared_topic_wait_until_the_subscriber_goes(self):
        subscriber, publisher = self.flood("--shared", "--durability", "memory")
        self.assertIsNone(publisher.poll())
        subscriber.kill()
        self.assertEqual(publisher.wait(60), 0)
        self.nobody_waits()

    def test_what_a_killed_broker_waited_for_its_successor_waits_for_no_more(self):
        b = self.broker
        children = [*self.flood(topic="direct"), *self.flood("--shared", topic="shared")]
        b.kill()
        for child in children:
            child.kill()
            child.wait(60)
        b.start()
        self.nobody_waits("shared")
        self.nobody_waits("direct")  # once its publisher may come back no more

    # ---- what becomes of the broker ----

    def test_a_broker_that_was_killed_is_read_as_before(self):
        b = self.broker
        b.run("topic", "create", "t", "--shared")
        subscriber = self.subscribe("t")
        self.publish("t", 100)
        self.wait_for(lambda: self.find("topics", "t")["next_sequence"] == 101, "the messages")
        b.kill()
        document = self.stat()
        self.assertIs(document["broker"]["is_alive"], False)
        self.assertEqual(self.find("topics", "t", document)["next_sequence"], 101)
        self.assertEqual(self.pid_row("subscribers", subscriber, document)["topic"], "t")
        table = b.run("stat").stdout.decode()
        self.assertIn(f"hermesd {b.process.pid} is gone", table)
        b.start()
        document = self.stat()
        self.assertIs(document["broker"]["is_alive"], True)
        self.assertEqual(document["broker"]["pid"], b.process.pid)
        self.assertEqual(self.find("topics", "t", document)["next_sequence"], 101)

    def test_a_start_that_fails_leaves_the_last_counts(self):
        b = self.broker
        b.run("topic", "create", "t")
        self.publish("t", 7)
        b.kill()
        socket_path = os.path.join(b.home, "broker.sock")
        os.unlink(socket_path)
        os.mkdir(socket_path)  # in its way
        with self.assertRaises(AssertionError):
            b.start()
        b.process.wait()
        b.process.stdout.close()
        self.assertEqual(self.find("topics", "t")["next_sequence"], 8)
        os.rmdir(socket_path)
        b.start()

    def test_after_a_stop_there_is_nothing(self):
        self.broker.run("topic", "create", "t")
        self.assertEqual(self.broker.stop(), (0, []))
        result = self.broker.run("stat", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, rb"^hermes: no broker at .* keeps counters here \([^)]*\)\n$")

    def test_it_finds_the_broker_by_its_data_directory(self):
        b = self.broker
        b.run("topic", "create", "t")
        result = subprocess.run([os.path.join(BIN, "hermes"), "stat", "--json", "--data", os.path.join(b.home, "data")],
                                capture_output=True, timeout=60, check=True)
        self.assertEqual(json.loads(result.stdout)["broker"]["pid"], b.process.pid)

    def test_it_finds_the_broker_by_its_socket_where_its_data_is_elsewhere(self):
        b = self.broker
        b.stop()
        elsewhere = os.path.join(b.home, "elsewhere")
        with open(os.path.join(b.home, "hermes.conf"), "w") as file:
            file.write(f"[broker]\ndata = {elsewhere}\n")
        b.start()
        self.assertEqual(self.stat()["broker"]["data"], elsewhere)
        self.assertEqual(b.stop()[0], 0)

    # ---- who may, and whom to believe ----

    def test_nobody_else_may_look(self):
        for name in ("broker.counters", "clients.told"):
            self.assertEqual(os.stat(os.path.join(self.broker.shm(), name)).st_mode & 0o777, 0o600)
        if os.getuid() != 0:
            self.skipTest("needs root")
        os.chmod(self.broker.home, 0o755)
        os.chmod(os.path.join(self.broker.home, "data"), 0o755)
        result = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", for_anybody("hermes"), "stat"],
                                env=self.broker.environment, capture_output=True, timeout=60)
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertIn(b"hermes: ", result.stderr)

    def test_a_directory_that_another_user_made_first_is_not_read(self):
        b = self.broker
        b.kill()
        if os.getuid() != 0:
            self.skipTest("needs root")
        os.chown(b.shm(), 65534, 65534)
        result = b.run("stat", check=False)
        os.chown(b.shm(), 0, 0)
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertIn(b"not the user's", result.stderr)
        self.assertIs(self.stat()["broker"]["is_alive"], False)

    def test_nonsense_that_a_client_writes_is_shown_for_nobody_else(self):
        b = self.broker
        b.run("topic", "create", "t")
        honest, liar = self.subscribe("t"), self.subscribe("t")
        self.publish("t", 10)
        self.wait_for(lambda: all(row["lag_at_most_bytes"] == 0 for row in self.stat()["subscribers"]), "both")
        path = os.path.join(b.shm(), "clients.told")
        with open(path, "r+b") as file:
            before = file.read()
            os.kill(liar.pid, signal.SIGSTOP)
            lines = [i for i in range(0, len(before), 64) if before[i:i + 64].strip(b"\0")]
            generator = random.Random(1)
            blind = []
            for at in lines:
                file.seek(at)
                file.write(generator.randbytes(64))
                file.flush()
                told = {row["pid"]: row["lag_at_most_bytes"] for row in self.stat()["subscribers"]}
                blind.append([pid for pid, lag in told.items() if lag is None])
                file.seek(at)
                file.write(before[at:at + 64])
                file.flush()
            os.kill(liar.pid, signal.SIGCONT)
        self.assertIn([liar.pid], blind)
        self.assertIn(set(map(len, blind)), ({1}, {0, 1}))  # a publisher's line, or the honest one's
        self.assertEqual(self.find("topics", "t")["next_sequence"], 11)
        self.assertIsNone(honest.poll())

    def test_a_name_does_nothing_to_the_terminal(self):
        name = b"\x1b[2Jevil\xff\x07"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(os.path.join(self.broker.home, "broker.sock"))
            client.sendall(struct.pack("<4sBBHQQII", b"HERM", 1, HELLO, 0, 1, 0, 72, 0)
                           + struct.pack("<4H64s", 2, 0, 0, 0, name))
            client.recv(100)
            client.sendall(struct.pack("<4sBBHQQII", b"HERM", 1, 29, 0, 2, 0, 304, 0) + b"t".ljust(304, b"\0"))
            client.recv(100)
            document = self.stat()
            self.assertIn("\x1b[2Jevil?\x07", [row["name"] for row in document["sessions"]])
            self.assertNotIn(b"\x1b", self.broker.run("stat").stdout)

    # ---- the manual ----

    def test_the_manual_has_every_value(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("group", "create", "t", "g")
        with open(os.path.join(SOURCE, "docs/reference/counters.md")) as file:
            manual = file.read()
        with open(os.path.join(b.shm(), "broker.counters"), "rb") as file:
            names = {column["name"] for column in Catalogue(file.read()).columns}
        self.assertGreater(len(names), 30)
        self.assertEqual({name for name in names if f"`{name}`" not in manual}, set())

    def test_who_reads_the_file_by_the_manual_finds_what_the_program_finds(self):
        b = self.broker
        b.run("topic", "create", "t", "--shared", "--push-back")
        self.subscribe("t", "--push-back")
        self.publish("t", 50)
        self.wait_for(lambda: self.stat()["subscribers"][0]["lag_at_most_bytes"] == 0
                      and self.counted("sessions") == 1, "all read, and the publisher gone")
        # The page says so first, and the counter a moment later.
        self.wait_for(lambda: self.find("stores", "t")["durable_position_bytes"] == 50 * 192
                      and self.find("stores", "t")["syncs"] > 0, "all stored")
        b.popen("pub", "t", stdin=subprocess.PIPE)
        self.wait_for(lambda: self.counted("publishers") == 1, "a publisher")
        for child in b.children:
            os.kill(child.pid, signal.SIGSTOP)
        document = self.stat()
        for kind in ("topics", "stores", "sessions", "publishers", "subscribers"):
            told = {row["id"]: row for row in document[kind]}
            read = Catalogue.of(b.shm()).rows(kind[:-1])
            self.assertEqual(set(told), set(read))
            for name, row in read.items():
                for key, value in row.items():
                    if key != "requests":  # stat itself asks nothing, but others may
                        self.assertEqual(told[name][key], value, (kind, key))
        for child in b.children:
            os.kill(child.pid, signal.SIGCONT)

    # ---- how it is asked ----

    def test_topics_are_chosen_by_patterns(self):
        for topic in ("orders.eu", "orders.us", "trades"):
            self.broker.run("topic", "create", topic)
        self.assertEqual({row["name"] for row in self.stat("orders.*")["topics"]}, {"orders.eu", "orders.us"})
        self.assertEqual({row["name"] for row in self.stat("trades", "*.us")["stores"]}, {"trades", "orders.us"})
        table = self.broker.run("stat", "orders.*").stdout.decode()
        self.assertIn("orders.us", table)
        self.assertNotIn("trades", table)
        result = self.broker.run("stat", "nosuch", check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (1, b"", b"hermes: no topic matches 'nosuch'\n"))
        self.assertEqual(self.broker.run("stat", "--watch=0", check=False).returncode, 64)

    def watch(self, rows=24, columns=80):
        """hermes stat --watch on a terminal of that size."""
        controller, terminal = pty.openpty()
        self.addCleanup(os.close, controller)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        child = self.broker.popen("stat", "--watch=0.05", stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        return controller, child

    def read_until(self, fd, what):
        taken = b""
        while what not in taken:
            taken += os.read(fd, 65536)
        return taken

    def shown(self, columns):
        """hermes stat on a terminal of that many columns, line by line."""
        controller, terminal = pty.openpty()
        self.addCleanup(os.close, controller)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        child = self.broker.popen("stat", stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        taken = b""
        with contextlib.suppress(OSError):  # the end
            while chunk := os.read(controller, 65536):
                taken += chunk
        self.assertEqual(child.wait(60), 0)
        lines = taken.decode().splitlines()
        self.assertLessEqual(max(map(len, lines)), columns, lines)
        return lines

    def test_on_a_narrow_terminal_names_are_cut_and_no_number_is(self):
        name = "orders." + "x" * 40
        self.broker.run("topic", "create", name)
        self.broker.run("pub", name, "--count", "1234", "--size", "0")
        self.broker.run("group", "create", name, "g", "--from", "first")
        for columns in (20, 40, 60, 79, 80):
            lines = self.shown(columns)
            words = [line.split() for line in lines]
            topic, reader = (next(i for i, found in enumerate(words) if found[:1] == [heading])
                             for heading in ("TOPIC", "READER"))
            self.assertEqual(words[0][:2], ["hermesd", str(self.broker.process.pid)])
            if columns < 60:
                block = dict(words[topic:topic + 6])
                self.assertRegex(block.pop("TOPIC"), "^orders.x*~$")
                self.assertEqual(block["MESSAGES"], "1234")
                self.assertIn("LAG", dict(words[reader:reader + 8]))
            else:
                self.assertEqual(words[topic][:3], ["TOPIC", "MESSAGES", "BYTES"])
                self.assertEqual(words[topic + 1][1], "1234")

    def test_a_watch_shows_rates_within_the_screen_and_leaves_it_as_it_was(self):
        for i in range(40):
            self.broker.run("topic", "create", f"topic-{i:02}", "--durability", "memory")
        controller, child = self.watch()
        screen = self.read_until(controller, b"MSG/S")
        screen += self.read_until(controller, b"more topics")
        self.assertIn(b"\x1b[?1049h", screen)
        frame = screen.split(b"\x1b[H")[-1].split(b"\x1b[J")[0].decode().replace("\x1b[K", "")
        self.assertLessEqual(len(frame.splitlines()), 24)
        for line in frame.splitlines():
            self.assertLessEqual(len(line), 80, line)
        child.send_signal(signal.SIGINT)
        self.assertIn(b"\x1b[?25h", self.read_until(controller, b"\x1b[?1049l"))
        self.assertEqual(child.wait(60), 0)

    def test_a_watch_without_a_terminal_is_plain_and_follows_the_next_broker(self):
        b = self.broker
        b.run("topic", "create", "t")
        child = b.popen("stat", "--watch=0.05", "--json", stdout=subprocess.PIPE)

        def read():
            return json.loads(child.stdout.readline())
        self.assertIs(read()["broker"]["is_alive"], True)
        b.kill()
        while read()["broker"]["is_alive"]:
            pass
        b.start()
        while True:
            document = read()
            if document["broker"]["is_alive"]:
                break
        self.assertEqual(document["broker"]["pid"], b.process.pid)
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(60), 0)
        plain = b.popen("stat", "--watch=0.05", stdout=subprocess.PIPE)
        lines = [plain.stdout.readline() for _ in range(12)]
        plain.send_signal(signal.SIGINT)
        plain.wait(60)
        self.assertNotIn(b"\x1b", b"".join(lines))
        self.assertEqual(sum(line.startswith(b"hermesd") for line in lines) >= 2, True, lines)


if __name__ == "__main__":
    main()
