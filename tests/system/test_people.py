"""What people expect of the command line in their first ten minutes: it says who is there, what the machine lacks, what
was meant, and fits their terminal."""
import base64
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

from hermes_test import BIN, Case, main


def on_a_terminal(command, columns, environment, codes=(0,)):
    """What it writes to a terminal of so many columns, line by line; what a carriage return overwrites, too."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    output = b""
    try:
        while chunk := os.read(master, 65536):
            output += chunk
    except OSError:  # EIO: the other side is closed
        pass
    os.close(master)
    assert process.wait(300) in codes, output.decode()
    return [re.sub("\033\\[K", "", line) for line in re.split("[\r\n]+", output.decode())]


class People(Case):
    def hermes(self, *arguments, **options):
        return self.broker.run(*arguments, check=False, **options)

    def rows(self, *arguments):
        return [json.loads(line) for line in self.broker.run(*arguments).stdout.splitlines()]

    # ---- who is there ----

    def test_ping_says_which_broker_answers_and_how_full_its_memory_is(self):
        b = self.broker
        before = time.time()
        b.run("topic", "create", "t", "--window", "4M")
        row, = self.rows("ping", "--json")
        self.assertEqual((row["pid"], row["uid"], row["memory"]), (b.process.pid, os.getuid(), b.shm()))
        self.assertRegex(row["version"], r"^\d+\.\d+\.\d+$")
        self.assertLess(row["since"] / 1e9, before)
        self.assertGreater(row["memory_used_bytes"], 4 << 20)
        self.assertLessEqual(row["memory_free_bytes"], row["memory_size_bytes"])
        text = b.run("ping").stdout.decode()
        for expected in (f"process {b.process.pid} of", "serves since  20", b.shm(), "MiB are free", "answered in"):
            self.assertIn(expected, text)
        self.assertEqual(len(self.rows("ping", "--json", "--count", "3", "--interval", "0")), 3)
        self.assertEqual(b.run("ping", "--count", "3", "--interval", "0").stdout.count(b"answered"), 3)

    def test_ping_of_no_broker_fails(self):
        self.broker.kill()
        result = self.hermes("ping")
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertIn(b"is hermesd running?", result.stderr)
        for wrong in (["--count", "0"], ["--interval", "-1"], ["x"]):
            self.assertEqual(self.hermes("ping", *wrong).returncode, 64)

    def test_doctor_says_of_each_thing_what_it_means_and_what_mends_it(self):
        self.broker.kill()  # it needs none
        result = self.hermes("doctor", "--json")
        rows = {row["check"]: row for row in map(json.loads, result.stdout.splitlines())}
        for name in ("shared memory", "descriptors", "locked memory", "kernel", "io_uring", "membarrier", "clock", "governor",
                     "huge pages", "RemoveIPC", "cache line"):
            row = rows[name]
            self.assertIn(row["state"], ("good", "note", "bad", "unknown"))
            self.assertTrue(row["found"] and row["meaning"])
            self.assertEqual(row["remedy"] != "", row["state"] in ("note", "bad"), row)
        self.assertEqual(result.returncode, int(any(row["state"] == "bad" for row in rows.values())))
        text = self.hermes("doctor").stdout.decode()
        for name, row in rows.items():
            self.assertRegex(text, rf"(?m)^\w+ +{name} +\S.*\n +{re.escape(row['meaning'])}$")

    # ---- from where ----

    def test_last_begins_with_the_newest_and_goes_on(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("pub", "t", data=b"\n".join(b"%d" % i for i in range(1, 101)))
        self.assertEqual(b.run("sub", "t", "--last", "3", "--timeout", "0").stdout, b"98\n99\n100\n")
        self.assertEqual(b.run("sub", "t", "--last", "1000", "--timeout", "0").stdout.split()[0], b"1")
        self.assertEqual(b.run("sub", "t", "--last", "0", "--timeout", "0").stdout, b"")
        child = b.popen("sub", "t", "--last", "1", "--count", "2", stdout=subprocess.PIPE)
        self.assertEqual(child.stdout.readline(), b"100\n")
        b.run("pub", "t", data=b"more")
        self.assertEqual(child.stdout.readline(), b"more\n")
        self.assertEqual(child.wait(60), 0)
        for wrong in (["--from", "first"], ["--group", "g"], ["--name", "n"]):
            self.assertEqual(self.hermes("sub", "t", "--last", "1", *wrong).returncode, 64)
        self.assertEqual(self.rows("group", "list", "--json"), [])

    def test_times_may_be_relative_or_a_plain_date(self):
        b = self.broker
        for topic in ("t", "copy"):
            b.run("topic", "create", topic)
        old = 1764115200_000000000  # 2025-11-26
        lines = [json.dumps({"payload": str(i), "timestamp": old + i * 3600_000000000}) for i in range(4)]
        b.run("pub", "t", "--json", "--keep-times", data="\n".join(lines).encode())
        b.run("pub", "t", data=b"new")
        both = ("--since", "2025-11-26T01:00", "--until", "2025-11-26 02:00:00.000000001")
        self.assertEqual([row["payload"] for row in self.rows("export", "t", "--format", "json", *both)], ["1", "2"])
        self.assertEqual([row["payload"] for row in self.rows("export", "t", "--format", "json", "--since", "-1h")], ["new"])
        self.assertEqual(len(self.rows("export", "t", "--format", "json", "--until", "now")), 5)
        self.assertEqual(b.run("sub", "t", "--from", "time:2025-11-26T03:00Z", "--timeout", "0").stdout, b"3\nnew\n")
        self.assertEqual(b.run("sub", "t", "--from", "time:-1h30m", "--timeout", "0").stdout, b"new\n")
        b.run("replay", "--from-topic", "t", "--topic", "copy", "--speed", "max", *both)
        self.assertEqual(b.run("sub", "copy", "--from", "first", "--timeout", "0").stdout, b"1\n2\n")
        for wrong in ("1969-12-31", "2025-02-30", "-5", "tomorrow"):
            self.assertEqual(self.hermes("export", "t", "--since", wrong).returncode, 64, wrong)
            self.assertEqual(self.hermes("sub", "t", "--from", "time:" + wrong, "--timeout", "0").returncode, 64, wrong)

    # ---- emptied ----

    def test_purge_drops_all_that_is_there_while_programs_publish_and_read(self):
        b = self.broker
        for kind in ([], ["--shared"], ["--durability", "memory"], ["--durability", "sync"]):
            with self.subTest(kind=kind):
                topic = "t" + "".join(kind).replace("--", "-")
                b.run("topic", "create", topic, *kind)
                b.run("group", "create", topic, "g", "--from", "first")
                publisher = b.popen("pub", topic, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                publisher.stdin.write(b"old\n" * 1000)
                publisher.stdin.flush()
                self.wait_for(lambda: b.info(topic)["last_sequence"] == 1000, "all are in")
                b.run("topic", "purge", topic)
                info = b.info(topic)
                self.assertEqual(info["first_position"], info["committed_position"])
                self.assertEqual((info["last_sequence"], info["publishers"]), (1000, 1))
                self.assertEqual(b.run("sub", topic, "--from", "first", "-t", "0").stdout, b"")
                publisher.stdin.write(b"new\n")
                publisher.stdin.close()
                self.assertEqual((publisher.wait(60), b.run("sub", topic, "--from", "seq:1", "-t", "0").stdout), (0, b"new\n"))
                member = self.hermes("sub", topic, "--group", "g", "--count", "1")
                self.assertEqual(member.stdout, b"new\n", member.stderr)
                row, = self.rows("group", "list", topic, "--json")
                self.assertEqual((row["behind"], row["lost"]), (0, 1000))
        self.assertEqual(self.hermes("topic", "purge", "none").returncode, 1)

    def test_purge_is_for_good_and_gives_back_whole_segments(self):
        b = self.broker
        b.run("topic", "create", "t", "--window", "256K", "--segment", "1M")
        b.run("pub", "t", "--durable", "--count", "3000", "--size", "1000")
        self.assertGreater(len(b.segments("t")), 2)
        b.run("topic", "purge", "t")
        self.assertEqual(len(b.segments("t")), 1)
        b.run("pub", "t", "--durable", data=b"new")
        for again in (b.kill, b.stop):
            again()
            b.start()
            self.assertEqual(b.run("sub", "t", "--from", "first", "-t", "0").stdout, b"new\n")
            self.assertEqual(b.run("export", "t").stdout.count(b"\r\n"), 2)
            self.assertIn(b"1 messages right", b.run("verify", "t").stdout)
        self.assertEqual(b.run("pub", "t", data=b"more").stdout, b"3002\n")

    # ---- in which form ----

    def test_a_template_prints_what_it_names(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("pub", "t", "--json", "--keep-times", data=b'{"payload":"hello","timestamp":1764156845123456789}\n{"payload":""}')
        out = b.run("sub", "t", "--from", "first", "--count", "1", "--format", r"%t|%o|%p|%S|%T|%D|%s|%%\x41\t\\\n").stdout
        self.assertEqual(out, b"t|1|0|5|1764156845123456789|2025-11-26T11:34:05.123456789Z|hello|%A\t\\\n")
        out = b.run("sub", "t", "--from", "first", "--count", "2", "--format", "%o,").stdout
        self.assertEqual(out, b"1,2,")
        for wrong, named in (("%k", b"'%k'"), ("%s %", b"'%'"), (r"%s\q", rb"'\q'"), (r"\x4", rb"'\x'")):
            result = self.hermes("sub", "t", "--format", wrong)
            self.assertEqual(result.returncode, 64, wrong)
            self.assertIn(named, result.stderr)

    def test_json_copies_a_topic(self):
        b = self.broker
        for topic in ("a", "b", "c"):
            b.run("topic", "create", topic)
        payloads = [b"text", b"", b'"quoted" \\ \t', "\u00e4\u20ac\U0001f600".encode(), bytes(range(256)), b"\xff" * 1000, b"x" * 65536]
        for payload in payloads:
            b.run("pub", "a", "--json", data=json.dumps({"payload_base64": base64.b64encode(payload).decode()}).encode())
        lines = b.run("sub", "a", "--from", "first", "--timeout", "0", "--json").stdout
        self.assertEqual(b.run("pub", "b", "--json", data=lines).stdout, b"%d\n" % len(payloads))
        self.assertEqual(b.run("pub", "c", "--json", "--keep-times", data=lines + b"\n").stdout, b"%d\n" % len(payloads))
        raw = [b.run("sub", topic, "--from", "first", "--timeout", "0", "--format", "raw").stdout for topic in "abc"]
        self.assertEqual(raw, [b"".join(payloads)] * 3)
        times = [[row["timestamp"] for row in self.rows("sub", topic, "--from", "first", "--timeout", "0", "--json")] for topic in "abc"]
        self.assertEqual(times[0], times[2])
        self.assertLess(times[0][-1], times[1][0])

    def test_a_wrong_line_of_json_is_named_and_nothing_of_it_goes_out(self):
        b = self.broker
        b.run("topic", "create", "t")
        for i, (wrong, said) in enumerate(((b"hello", b"no JSON object"), (b'{"payload":1}', b"no string"), (b"{}", b"neither payload"),
                                           (b'{"payload_base64":"x"}', b"no base64"), (b'{"payload":"a","timestamp":1.5}', b"timestamp"))):
            result = self.hermes("pub", "t", "--json", data=b'{"payload":"good"}\n\n' + wrong + b'\n{"payload":"never"}\n')
            self.assertEqual((result.returncode, b.info("t")["last_sequence"]), (1, i + 1))
            self.assertIn(b"line 3: ", result.stderr)
            self.assertIn(said, result.stderr)
        self.assertEqual(b.run("sub", "t", "--from", "first", "--timeout", "0").stdout, b"good\n" * 5)
        self.assertEqual(self.hermes("pub", "t", "--json", "--count", "3").returncode, 64)
        self.assertEqual(self.hermes("pub", "t", "--keep-times").returncode, 64)

    # ---- what was meant ----

    def test_a_misspelt_word_is_answered_with_what_is_meant(self):
        b = self.broker
        b.run("topic", "create", "greetings")
        for arguments, code, said in ((["tpoic", "list"], 64, b"did you mean topic?"),
                                      (["publish", "t"], 64, b"did you mean pub?"),
                                      (["help", "sbu"], 64, b"did you mean sub?"),
                                      (["hlep"], 64, b"did you mean help?"),
                                      (["--verison"], 64, b"did you mean version?"),
                                      (["topic", "lsit"], 64, b"did you mean list?"),
                                      (["group", "craete", "t", "g"], 64, b"did you mean create?"),
                                      (["auth", "token", "revok", "x"], 64, b"did you mean revoke?"),
                                      (["cert", "sever"], 64, b"did you mean server?"),
                                      (["sub", "greetings", "--frmo", "first"], 64, b"did you mean --from?"),
                                      (["bench", "--jsno"], 64, b"did you mean --json?"),
                                      (["stat", "--watch", "--jsno"], 64, b"did you mean --json?"),
                                      (["stat", "-w", "--jsno"], 64, b"did you mean --json?"),
                                      (["sub", "greetigns"], 1, b"did you mean topic 'greetings'?"),
                                      (["topic", "info", "greeting"], 1, b"did you mean topic 'greetings'?"),
                                      (["group", "list", "greetingz"], 1, b"did you mean topic 'greetings'?"),
                                      (["export", "gretings"], 1, b"did you mean topic 'greetings'?")):
            with self.subTest(arguments=arguments):
                result = self.hermes(*arguments)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(said, result.stderr)
        for arguments in (["sub", "other"], ["frobnicate"], ["sub", "greetings", "--xyzzy"], ["group", "info", "greetings", "greeting"]):
            result = self.hermes(*arguments)
            self.assertNotEqual(result.returncode, 0)
            self.assertNotIn(b"did you mean", result.stderr)

    def test_what_looks_like_an_option_may_be_an_options_argument(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("pub", "t", data=b"x")
        self.assertEqual(b.run("sub", "t", "--from", "first", "-t", "0", "--format", "--%s--").stdout, b"--x--")
        self.assertEqual(b.run("sub", "t", "--from", "first", "-t0", "-o", "--%s--").stdout, b"--x--")
        self.assertEqual(b.run("sub", "--from=first", "--time", "0", "--", "t").stdout, b"x\n")

    def test_every_program_and_command_tells_its_version(self):
        version = self.broker.run("--version").stdout
        self.assertRegex(version, rb"^hermes \d+\.\d+\.\d+\n$")
        listed = re.findall(r"^  (\w+) ", self.broker.run("help").stdout.decode(), re.M)
        self.assertIn("ping", listed)
        for arguments in (["-V"], ["version"], *([name, option] for name in listed if name != "version" for option in ("-V", "--version"))):
            self.assertEqual(self.broker.run(*arguments).stdout, version, arguments)
        broker = subprocess.run([os.path.join(BIN, "hermesd"), "-V"], capture_output=True, check=True).stdout
        self.assertEqual(broker, version.replace(b"hermes", b"hermesd"))

    def test_help_of_help_and_of_the_version_is_what_they_are(self):
        b = self.broker
        for word in ("--version", "-V", "version"):
            self.assertEqual(b.run("help", word).stdout, b.run("--version").stdout)
        self.assertEqual(b.run("help", "help").stdout, b.run("--help").stdout)

    def test_what_is_empty_is_refused_by_its_name(self):
        for command, option in ((["pub", "t"], "count"), (["pub", "t"], "rate"), (["pub", "t"], "file"), (["replay", "f"], "topic"),
                                (["sub", "t"], "timeout"), (["sub", "t"], "group"), (["sub", "t"], "from"), (["stat"], "data"),
                                (["demo"], "rate"), (["topic", "create", "t"], "window"), (["export", "t"], "output")):
            for given in ([f"--{option}", ""], [f"--{option}="]):
                result = self.hermes(*command, *given)
                self.assertEqual((result.returncode, result.stdout), (64, b""), given)
                self.assertIn(f"--{option} '': it is empty".encode(), result.stderr)
        for command in (["sub", ""], ["topic", "info", ""], ["group", "info", "t", ""], ["replay", "", "--topic", "t"]):
            result = self.hermes(*command)
            self.assertEqual((result.returncode, result.stdout), (64, b""), command)
            self.assertIn(b"an argument is empty", result.stderr)

    def test_names_do_nothing_to_a_terminal_that_errors_are_shown_on(self):
        name = "\x1b[2J\x7f\u009b2J\u00e4"
        for command in ([name], ["help", name], ["sub", name], ["topic", name], ["topic", "info", name], ["sub", "t", "--" + name],
                        ["sub", "t", "--count", name], ["pub", "t", "--file", name], ["stat", "--data", name], ["ping", name]):
            result = self.hermes(*command)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(b"\\x1b[2J\\x7f\\xc2\\x9b2J\xc3\xa4", result.stderr, command)
            self.assertNotRegex(result.stderr, b"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")

    def test_help_of_a_command_is_that_commands_help(self):
        self.assertEqual(self.broker.run("help", "sub").stdout, self.broker.run("sub", "--help").stdout)
        self.assertIn(b"--from", self.broker.run("help", "sub").stdout)

    # ---- on a terminal ----

    def test_actors_say_that_they_are_ready_and_a_report_in_words(self):
        b = self.broker
        b.run("topic", "create", "market.quotes")

        def said(*arguments, until):
            actor = subprocess.Popen([os.path.join(BIN, "analytics"), *arguments], env=b.environment, stdout=subprocess.PIPE)
            b.children.append(actor)
            lines = [actor.stdout.readline().decode()]
            while until is not None and not lines[-1].startswith(until):
                lines.append(actor.stdout.readline().decode())
            actor.send_signal(signal.SIGTERM)
            return lines + actor.stdout.read().decode().splitlines(True)
        ready, received, latency = said(until=None)
        self.assertEqual((ready, received), ("analytics: ready\n", "analytics: received 0 messages of market.quotes, lost 0, "
                                             "repeated 0, reordered 0\n"))
        self.assertRegex(latency, r"^analytics: latency: median [\d.]+ us, 99 % ")
        told = said("--progress", until="progress received=0 sequence=0 sent=0")
        self.assertEqual(told[0], "ready\n")
        self.assertRegex(told[-1], r"^report topic=market.quotes received=0 lost=0 repeated=0 reordered=0 p50=0 p99=0 p999=0 max=0$")

    def test_what_a_command_shows_fits_the_terminal(self):
        b = self.broker
        for name in ("a", "b" * 100):
            b.run("topic", "create", name)
            b.run("group", "create", name, "g" * 60, "--dead-letter", name[0] + ".dead")
        b.run("pub", "a", "--durable", data=b"x")
        listed = re.findall(r"^  (\w+) ", b.run("help").stdout.decode(), re.M)
        pages = [["--help"], *([name, "--help"] for name in listed)]
        shown = [["topic", "list"], ["topic", "info", "a"], ["group", "list"], ["group", "info", "a", "g" * 60], ["stat"], ["ping"],
                 ["info"], ["doctor"], ["verify", "a"], ["dump", "a"], ["dump", b.segments("a")[0]], ["group", "dead", "a", "g" * 60]]
        measured = [["bench", "codec", "--scale", "1"]]
        for columns, commands in ((40, shown[:1] + shown[2:3]), (80, shown + pages + measured), (200, shown)):
            for command in commands:
                lines = on_a_terminal([os.path.join(BIN, "hermes"), *command], columns, b.environment, codes=(0, 1))
                self.assertGreater(len(lines), 1, command)
                self.assertEqual([line for line in lines if len(line) > columns], [], command)
        cut = on_a_terminal([os.path.join(BIN, "hermes"), "topic", "list"], 120, b.environment)
        cut = next(line for line in cut if line.startswith("bb"))
        self.assertEqual(len(cut), 120)
        self.assertRegex(cut, "^b{60,99}\u2026  exclusive")
        for whole in (["topic", "list"], ["stat"]):  # where there is no terminal
            self.assertIn("b" * 100 + " ", b.run(*whole).stdout.decode())
        self.assertIn("g" * 60 + " " + " " * 40 + "b" * 100, b.run("stat").stdout.decode())

    def test_the_demos_lines_fit_the_terminal(self):
        command = [os.path.join(BIN, "hermes"), "demo", "--count", "3000", "--rate", "10000"]
        for columns in (80, 200):
            lines = on_a_terminal(command, columns, self.broker.environment)
            self.assertTrue(any(re.search(r"orders (executed )?\d+(/| of )\d+$", line) for line in lines), lines)
            self.assertLessEqual(max(len(line) for line in lines if "serving on" not in line), columns, lines)
            self.assertTrue(any("delivered" in line for line in lines))
        for columns, shown in ((20, "3000 quotes"), (40, "3000 quotes; bot 3000, risk 3000")):  # no part of a number
            self.assertIn(shown, on_a_terminal(command, columns, self.broker.environment))


main()
