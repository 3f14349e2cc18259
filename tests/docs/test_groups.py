"""Every sentence of docs/how-to/groups.md is provoked: here, by a case of tests/languages/acks.txt, or by a test that is named."""
import json
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../languages"), os.path.join(HERE, "../system")]
from port_of import Port, cases  # noqa: E402
from hermes_test import SOURCE, Case, main  # noqa: E402

#: What the reader is to do, or where to look.
ADVICE = {
    "Everything here works as typed, with a broker that runs and `HERMES_HOME` set as it has it.",
    "`tests/docs/test_groups.py` provokes every sentence.",
    "So what a member does with a message must bear to be done twice.",
}

#: By cases of acks.txt, in all languages.
BY_CASES = {
    "A broker that is killed takes nothing from members that do anything with their group within a lease of the next one's "
    "start: they go on, and keep what they hold.":
        ["A broker that is killed takes nothing from a member", "Durable: a broker that is killed takes nothing"],
    "Who closes, or dies, without asking for more has not done its last message.":
        ["Automatic: done when the next one is asked for"],
    "An acknowledgement speaks of one delivery: a message that was given to you twice is two, and each is acknowledged for "
    "itself.":
        ["The same message given twice to one member is two claims", "Eight deliveries of a message to one member are told apart"],
    "(Unless eight deliveries lie between them, and both were to the same member: these two cannot be told apart.)":
        ["The ninth delivery of a message to one member cannot be told from its first"],
    "`Expired` (`HERMES_EEXPIRED`) says that it is not yours any more: its lease ran out, or you gave it back, and somebody"
    " has it again; the group was reset; the broker was stopped in good order; or the message is dead.":
        ["A lease that ran out is told to who had it, and not to who has it now", "Another member's message is not one's own",
         "What is given back comes again, and only who has it now may say what becomes of it",
         "A reset takes from everybody what they hold", "After a stop in good order what was held comes again",
         "Nobody is told of a message that is a dead letter that it is done", "Nor of one that was given up without letters"],
    "What you acknowledged may be acknowledged again.": ["An acknowledgement is told again as it was told first"],
    "A message that was never given out is refused (`HERMES_EINVALID`).": ["What was never given out is no member's"],
    "A message that was given out `--max-deliveries` times and not acknowledged is dead: the broker puts it into the group's "
    "dead-letter topic, and the group goes on.":
        ["Nobody is told of a message that is a dead letter that it is done"],
    "There it stands as a letter: whence it came, how often it was given out, and why it is there, then its payload.":
        ["Nobody is told of a message that is a dead letter that it is done"],
    "`Letter.of()` reads one in Python, `Letter::of()` in Rust, hermes_letter_of() in C.":
        ["Nobody is told of a message that is a dead letter that it is done"],
    "A member that was away while its group was deleted is told so (`Closed`, `HERMES_ECLOSED`) by every further `poll`, also when "
    "somebody has made the group anew.":
        ["Who was away while the group was deleted is told that it is gone",
         "Durable: who was away while it was deleted is told that it is gone"],
    "Again from the beginning, or from anywhere: what members hold then counts no more, and they go on from there.":
        ["A reset takes from everybody what they hold"],
    "In Python `client.subscriber(\"orders\", name=\"report\")`; in C and Rust the option `name`.":
        ["Durable: an acknowledgement is of all before it"],
    "An acknowledgement is of the message and of all before it; one of what is done already changes nothing.":
        ["Durable: an acknowledgement is of all before it", "Durable: one of what is done already changes nothing"],
    "What was received and not acknowledged comes again, to whoever has the subscription next.":
        ["Durable: what is not acknowledged comes again"],
    "There is no lease, and no `nack`.": ["Durable: there is nobody to give a message back to, and no lease"],
    "One subscriber at a time has it.": ["Durable: the place is taken, and free again"],
    "What was received before a reset, or before a stop of the broker in good order, can not be acknowledged behind it "
    "(`HERMES_EEXPIRED`): it comes again.":
        ["Durable: a reset makes what was received count no more",
         "Durable: what counted before a stop in good order counts behind it"],
}

#: By tests of others.
ELSEWHERE = {
    "Its members are processes of one user.": ("tests/system/test_surroundings.py", "test_groups_of_another_user"),
    "In a program: `auto` (the default) when the next one, or the next batch, is asked for; `manual` when `ack` is called, for each "
    "message by itself, in any order.": ("bindings/python/tests/test_groups.py", "test_a_batch_is_done_when_more_is_asked_for"),
    "Of a message that the group has done with, and has given out another one since a span (`--span`) further on, it is not known "
    "any more how: what is acknowledged then is taken for what was acknowledged before.":
        ("tests/unit/test_group.c", "test_what_was_done_with_long_ago_is_done"),
    "What differs is on its page; the members of one group are of one user, and all who come over TCP without a certificate or a "
    "token are one.": ("tests/client/test_far_members.c", "test_members_here_and_afar_are_one_group"),
    "When the limit is lowered, what waits and was given out that often already is dead at once.":
        ("tests/client/test_letters.c", "test_a_lower_limit_buries_what_waits"),
    "With `--requeue` the messages are published in their topic again, those that were not put back before.":
        ("tests/system/test_letters.py", "test_each_letter_is_put_back_once"),
    "`--sequence N` picks the message that had this sequence, as often as you like, and is not remembered.":
        ("tests/system/test_letters.py", "test_picked_letters_are_put_back_whatever_was_before"),
    "A letter that was cut is told, and not put back.":
        ("tests/system/test_letters.py", "test_a_letter_that_was_cut_is_refused_and_the_others_are_put_back"),
    "Each letter is put back at least once: it is published, stored as the topic's durability says, and only then remembered.":
        ("tests/system/test_letters.py", "test_who_is_killed_while_it_puts_letters_back_repeats_one_at_most"),
    "After a power cut those of the last tenth of a second before it may come twice.":
        ("tests/system/test_letters.py", "test_after_a_power_cut_what_was_put_back_last_may_come_twice"),
    "A `--requeue` that is killed makes the next one repeat one letter at most.":
        ("tests/system/test_letters.py", "test_who_is_killed_while_it_puts_letters_back_repeats_one_at_most"),
    "`hermes group info` says what was lost besides: messages that were gone before anybody got them, or before they came again.":
        ("tests/system/test_group.py", "test_info_counts_leases_and_losses_for_what_they_are"),
    "Of groups of another user than the broker's and root what was not acknowledged comes again then, and what was within the last "
    "tenth of a second.":
        ("tests/system/test_surroundings.py", "test_a_killed_broker_takes_what_members_of_another_user_hold"),
    "When the broker dies with it, that is when the next broker has waited for it (`grace_ms`).":
        ("tests/client/test_durable.c", "test_the_place_of_who_died_with_the_broker_is_free"),
    "While a reset is written down nobody is given anything, and what is acknowledged then is told to have expired.":
        ("tests/system/test_reset.py", "test_nothing_is_told_to_be_done_that_comes_again"),
    "A broker that dies over it has reset the group, or has not: the next one says which, and members wait for that.":
        ("tests/system/test_reset.py", "test_a_broker_that_dies_before_the_record_has_reset_nothing"),
    "Should a reset fail, they keep what they hold.":
        ("tests/client/test_group_restarts.c", "test_a_reset_that_fails_takes_nothing_from_anybody"),
    "On a stored topic a subscriber that sought goes on from there after such a stop, but for what it acknowledged.":
        ("tests/client/test_durable.c", "test_what_was_sought_holds_over_an_orderly_stop"),
    "Another that had the subscription in between ends that.":
        ("tests/client/test_durable.c", "test_a_seek_ends_when_another_has_the_place"),
    "(Unless it had forked: a child keeps its parent's session, and the place, until it ends or lets go of it, with "
    "`hermes_forget()`.)":
        ("tests/client/test_durable.c", "test_a_child_keeps_its_parents_place_unless_it_lets_go"),
    "What only groups have, a lease, a limit of deliveries, a dead-letter topic and a span, it is refused (`HERMES_EINVALID`).":
        ("tests/client/test_group.c", "test_a_durable_subscription_is_refused_what_only_groups_have"),
    "On a push-back topic, publishers wait for those subscribers that ask for it: nothing in the window is overwritten that one of "
    "these has still to read.": ("tests/client/test_push_back.c", "wait_and_go_on"),
    "They wait as long as their time-out (10 s; `HERMES_EAGAIN`, Python's `NoRoom`; with a time-out of 0 at once).":
        ("bindings/python/tests/test_groups.py", "test_push_back"),
    "A subscriber stops counting when it is closed or its process ends; one that hangs counts, for it may go on.":
        ("tests/client/test_push_back.c", "test_dead_subscriber_stops_counting"),
    "Who reads older messages from the store is not waited for until it is through.":
        ("tests/client/test_push_back.c", "test_history"),
    "It must be a process of the broker's user.": ("tests/system/test_surroundings.py", "test_groups_of_another_user"),
}

said_here = set()


def says(*sentences):
    said_here.update(sentences)
    return lambda test: test


def sentences():
    """Of the page, without its headings, bold run-ins, code and targets of links."""
    with open(os.path.join(SOURCE, "docs/how-to/groups.md")) as file:
        text = file.read()
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    text = re.sub(r"^(#.*|    .*)$", "", text, flags=re.M)
    for paragraph in re.split(r"\n\s*\n", text):
        paragraph = re.sub(r"^\*\*[^*]*[.?]\*\*", "", " ".join(paragraph.split()))
        paragraph = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", paragraph).replace("**", "").strip()
        if paragraph:
            yield from re.split(r"(?<=[.!?])\s+(?=[(A-Z`])|(?<=[.!?]\))\s+(?=[A-Z`])", paragraph)


class Groups(Case):
    broker_config = "[topic]\nwindow = 256K\nsegment = 1M\n[net]\nlisten = tcp://127.0.0.1:0\n"

    def port(self, *opened):
        port = Port(self.broker)
        for command in opened:
            self.assertEqual(port.say("open " + command), "ok")
        return port

    def topic(self, *options, count=10):
        self.broker.run("topic", "create", "t", *options)
        self.broker.run("pub", "t", "--count", str(count))

    def group(self, *options):
        self.broker.run("group", "create", "t", "g", "--from", "first", *options)

    def info(self, name="g"):
        return json.loads(self.broker.run("group", "info", "t", name, "--json").stdout)

    def sub(self, *options, check=True):
        rows = self.broker.run("sub", "t", *options, check=check).stdout.splitlines()
        return [int(row.split(b" ")[0].rstrip(b".")) for row in rows]

    def dies(self, *options, count=1):
        """So many messages of topic t that group g gives up."""
        self.group("--max-deliveries", "1", *options)
        member = self.port("a group g manual")
        for _ in range(count):
            member.say("take a x")
            self.assertEqual(member.say("nack a x"), "ok")
        return member

    def test_every_sentence_is_provoked(self):
        known = said_here | ADVICE | set(BY_CASES) | set(ELSEWHERE)
        page = list(sentences())
        self.assertEqual([s for s in page if s not in known], [], "sentences that nobody provokes")
        self.assertEqual(sorted(known - set(page)), [], "what the page does not say")
        for titles in BY_CASES.values():
            for title in titles:
                self.assertIn(title, cases())
        for path, name in ELSEWHERE.values():
            with open(os.path.join(SOURCE, path)) as file:
                self.assertIn(name, file.read())

    @says("Every subscriber sees every message.")
    def test_everybody(self):
        self.topic()
        for _ in range(2):
            self.assertEqual(self.sub("--from", "first", "--timeout", "0"), list(range(1, 11)))

    @says("The members of a group share them: each message goes to one of them, in order, whoever asks next.",
          "They come and go as they like.")
    def test_members_share(self):
        self.topic()
        port = self.port("a group g auto", "b group g auto")
        got = [port.say(f"take {s} x") for s in "abba"]
        port.say("ack a x"), port.say("close a"), port.say("open c group g auto")
        got += [port.say(f"take {s} x") for s in "cbcbcb"]
        self.assertEqual(got, [str(i) for i in range(1, 11)])

    @says("From another host nothing changes but the URL: `hermes --url tcp://HOST:7000 sub orders --group risk`.")
    def test_members_from_another_host(self):
        self.topic()
        url = f"tcp://127.0.0.1:{int(self.broker.process.stdout.readline().rsplit(b':', 1)[1])}?shm=no"
        for ends, expected in (("--count 3", [1, 2, 3]), ("--count 2", [4, 5]), ("--timeout 0", [6, 7, 8, 9, 10]), ("--timeout 0", [])):
            out = self.broker.run("--url", url, "sub", "t", "--group", "g", "--from", "first", *ends.split()).stdout
            self.assertEqual([int(row.split(b" ")[0].rstrip(b".")) for row in out.splitlines()], expected)

    @says("A group is made by its first member, and begins at the end of the topic, or at `--from first`.",
          "From then on it goes on where it stands, whoever its members are.")
    def test_where_a_group_begins(self):
        self.topic()
        self.assertEqual(self.sub("--group", "end", "--timeout", "0"), [])
        self.assertEqual(self.sub("--group", "g", "--from", "first", "--count", "4"), [1, 2, 3, 4])
        self.assertEqual(self.sub("--group", "g", "--from", "first", "--count", "2"), [5, 6])
        self.broker.run("pub", "t", data=b"11\n")
        self.assertEqual(self.sub("--group", "end", "--timeout", "0"), [11])
        self.assertEqual(self.sub("--group", "g", "--timeout", "0"), [7, 8, 9, 10, 11])

    @says("What a member was given and has not acknowledged comes again: at once when the member dies, when it closes, and when it "
          "says `nack`; once the lease has run out when it hangs; and when the broker is stopped in good order.")
    def test_at_least_once(self):
        self.topic()
        self.group("--lease", "1h")
        first, second = self.port("a group g manual"), self.port("b group g manual")
        self.assertEqual(first.say("take a x"), "1")
        self.assertEqual(second.say("take b w"), "2")
        first.kill()
        self.wait_for(lambda: self.info()["members"] == 1, "its session has ended")
        self.assertEqual(second.say("take b x"), "1 x2")
        third = self.port("c group g manual")
        second.say("close b")
        self.assertEqual([third.say("take c w"), third.say("take c x")], ["1 x3", "2 x2"])
        self.assertEqual(third.say("nack c x"), "ok")
        self.assertEqual(third.say("take c x"), "2 x3")
        self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start()
        fourth = self.port("d group g manual")
        self.assertEqual([fourth.say("take d w"), fourth.say("take d x")], ["1 x4", "2 x4"])
        self.broker.run("group", "alter", "t", "g", "--lease", "100ms")
        fourth.process.send_signal(signal.SIGSTOP)
        self.assertEqual(self.sub("--group", "g", "--timeout", "10", "--count", "10"), [*range(3, 11), 1, 2])
        fourth.process.send_signal(signal.SIGCONT)

    @says("A lease is 30 seconds unless told otherwise, and ends after 1 to 1.25 times its length, "
          "whatever the disk does.")
    def test_a_lease(self):
        """Not before; that it ends in time is what tests/history looks at, and with a disk that hangs
        tests/system/test_slow_disk.py."""
        self.topic(count=1)
        self.group()
        self.assertEqual(self.info()["lease_ns"], 30 * 10**9)
        self.broker.run("group", "alter", "t", "g", "--lease", "300ms")
        port = self.port("a group g manual", "b group g manual")
        before = time.monotonic()
        self.assertEqual(port.say("take a x"), "1")
        self.assertEqual(port.say("take b x"), "1 x2")
        self.assertGreaterEqual(time.monotonic() - before, 0.3)

    @says("With `--ack none` a message is never given out again: what a member had when it died is gone for the group.")
    def test_at_most_once(self):
        self.topic()
        port = self.port("a group g none")
        self.assertEqual(port.say("take a x"), "1")
        port.kill()
        self.assertEqual(self.sub("--group", "g", "--ack", "none", "--timeout", "0"), list(range(2, 11)))

    @says("`hermes sub` says so once it has printed it.")
    def test_when_hermes_sub_acknowledges(self):
        self.topic()
        with open("/dev/full", "wb") as full:
            child = self.broker.popen("sub", "t", "--group", "g", "--from", "first", "--count", "1", stdout=full,
                                      stderr=subprocess.PIPE)
            self.assertIn(b"standard output", child.communicate(timeout=60)[1])
        self.assertEqual(self.sub("--group", "g", "--count", "1"), [1])
        self.assertEqual(self.info()["done_position"], self.info()["position"])

    @says("Without such a topic it is dropped, and counted.")
    def test_dropped(self):
        self.topic()
        self.dies(count=3).say("close a")
        self.wait_for(lambda: self.info()["in_flight"] == 0, "they are dropped")
        self.assertEqual((self.info()["dead"], self.info()["dead_letter"]), (3, ""))
        self.assertEqual(self.sub("--group", "g", "--timeout", "0"), list(range(4, 11)))

    def dead(self, *options, check=True):
        return self.broker.run("group", "dead", "t", "g", *options, check=check)

    def refused(self, action, name, *options, sentence):
        """With HERMES_EBUSY, and all is as it was."""
        before = self.info(name)
        result = self.broker.run("group", action, "t", name, *options, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(sentence, result.stderr)
        self.assertEqual(self.info(name), before)

    @says("A deletion is refused (`HERMES_EBUSY`) as long as the group has members, or had some when its broker was killed that may "
          "still come back: end them, or wait a lease, and say it again.")
    def test_a_deletion_is_refused_while_there_are_members(self):
        self.topic()
        port = self.port("a group g manual")
        port.say("take a x")
        self.refused("delete", "g", sentence=b"has 1 members")
        port.process.send_signal(signal.SIGSTOP)
        self.broker.kill()
        port.kill()
        self.broker.start()
        self.refused("delete", "g", sentence=b"who may come back")
        self.broker.run("group", "alter", "t", "g", "--lease", "100ms")
        self.wait_for(lambda: self.broker.run("group", "delete", "t", "g", check=False).returncode == 0, "a lease is over")

    @says("Reset and deletion are refused as well while dead messages cannot be put into the dead-letter topic, because it is full or "
          "was deleted: make room, or make it again (`hermes topic create orders.dead --shared`).",
          "A reset does not ask that of what died behind the new position: it comes again.")
    def test_a_reset_and_a_deletion_are_refused_while_letters_have_no_place(self):
        self.topic()
        self.group("--max-deliveries", "1", "--dead-letter", "t.dead")
        self.broker.run("topic", "delete", "t.dead")
        port = self.port("a group g manual")
        for _ in range(2):
            port.say("take a x"), port.say("nack a x")
        self.refused("reset", "g", "--from", "end", sentence=b"not in topic 't.dead' yet")
        self.broker.run("group", "reset", "t", "g", "--from", "first")
        self.assertEqual([port.say("take a x"), port.say("nack a x")], ["1", "ok"])
        port.say("close a")
        self.refused("delete", "g", sentence=b"not in topic 't.dead' yet")
        self.broker.run("topic", "create", "t.dead", "--shared")
        self.broker.run("group", "reset", "t", "g", "--from", "end")
        self.assertEqual([r["sequence"] for r in self.buried(1)], [1])
        self.broker.run("group", "delete", "t", "g")

    def buried(self, count):
        def listed():
            return [json.loads(line) for line in self.dead("--json").stdout.splitlines()]
        self.wait_for(lambda: len(listed()) == count, "the letters are written")
        return listed()

    @says("`hermes group dead` lists what a group gave up, with `--json` the payloads as well.",
          "All groups and subscribers of the topic get them, not that group alone, with new sequences.")
    def test_what_died_is_put_back(self):
        self.topic()
        self.dies("--dead-letter", "t.dead", count=2).say("close a")
        rows = self.buried(2)
        self.assertEqual([(r["sequence"], r["deliveries"], r["reason"], r["payload"].rstrip(" .")) for r in rows],
                         [(1, 1, "deliveries", "1"), (2, 1, "deliveries", "2")])
        self.assertEqual([line.split()[0] for line in self.dead().stdout.splitlines()], [b"SEQUENCE", b"1", b"2"])
        self.assertEqual(self.sub("--group", "g", "--timeout", "0"), list(range(3, 11)))
        self.broker.run("group", "create", "t", "other")
        self.assertIn(b"all its groups and subscribers get them, not g alone", self.dead("--requeue").stdout)
        self.assertIn(b"no message put back", self.dead("--requeue").stdout)
        for name in ("g", "other"):
            rows = self.broker.run("sub", "t", "--group", name, "--format", "json", "--timeout", "0").stdout.splitlines()
            self.assertEqual([(json.loads(r)["sequence"], json.loads(r)["payload"].rstrip(" .")) for r in rows],
                             [(11, "1"), (12, "2")])

    @says("A letter holds 65,216 bytes of a payload; what is longer is cut.")
    def test_long_letters(self):
        self.broker.run("topic", "create", "t")
        for size in (65216, 65217, 65536):
            self.broker.run("pub", "t", data=b"x" * size + b"\n")
        self.dies("--dead-letter", "t.dead", count=3).say("close a")
        self.assertEqual([(r["length"], len(r["payload"]), r["cut"]) for r in self.buried(3)],
                         [(65216, 65216, False), (65217, 65216, True), (65536, 65216, True)])
        result = self.dead("--requeue", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"1 message put back", result.stdout)

    @says("`hermes group list` says how far behind each group is, what is in flight, how often messages came again and how many "
          "died; `--json` for scripts.")
    def test_watching(self):
        self.topic()
        member = self.dies(count=2)
        self.broker.run("group", "alter", "t", "g", "--max-deliveries", "0")
        member.say("take a x"), member.say("nack a x"), member.say("take a x")
        self.wait_for(lambda: self.info()["in_flight"] == 1, "two are dropped")
        row = json.loads(self.broker.run("group", "list", "t", "--json").stdout)
        self.assertEqual({k: row[k] for k in ("behind", "in_flight", "redelivered", "dead", "lost")},
                         {"behind": 7, "in_flight": 1, "redelivered": 1, "dead": 2, "lost": 0})
        head, line = self.broker.run("group", "list", "t").stdout.split(b"\n")[:2]
        self.assertEqual(head.split(), b"TOPIC NAME KIND MEMBERS BEHIND IN FLIGHT AGAIN DEAD".split())
        self.assertEqual(line.split(), b"t g group 1 7 1 1 2".split())

    @says("A durable subscription is a name for a position.", "It survives the program, and the broker.",
          "`hermes group reset` moves it, and `hermes group delete` forgets it; the latter is refused while somebody has it.")
    def test_durable(self):
        self.topic()
        self.assertEqual(self.sub("--name", "d", "--from", "first", "--count", "3"), [1, 2, 3])
        self.assertEqual(self.sub("--name", "d", "--from", "last", "--count", "1"), [4])
        self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start()
        self.assertEqual(self.sub("--name", "d", "--from", "last", "--count", "1"), [5])
        self.broker.kill()
        self.broker.start()
        self.assertEqual(self.sub("--name", "d", "--from", "last", "--count", "1"), [6])
        self.broker.run("group", "reset", "t", "d", "--from", "seq:9")
        self.assertEqual(self.sub("--name", "d", "--timeout", "0"), [9, 10])
        port = self.port("a name d manual")
        self.refused("delete", "d", sentence=b"has 1 members")
        port.say("close a")
        self.broker.run("group", "delete", "t", "d")
        self.assertEqual(self.sub("--name", "d", "--from", "first", "--count", "1"), [1])

    @says("(A memory topic begins anew after a stop of the broker in good order, and its groups and durable subscriptions with it.)")
    def test_of_a_memory_topic(self):
        self.topic("--durability", "memory")
        both = (["--group", "g"], ["--name", "d"])
        for options in both:
            self.assertEqual(self.sub(*options, "--from", "first", "--count", "5"), [1, 2, 3, 4, 5])
        self.broker.kill()
        self.broker.start()
        for options in both:
            self.assertEqual(self.sub(*options, "--count", "1"), [6])
        self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start()
        self.broker.run("pub", "t", "--count", "3")
        for options in both:
            self.assertEqual(self.sub(*options, "--timeout", "0"), [1, 2, 3])

    @says("When its subscriber dies another may have it at once.")
    def test_a_durable_subscriber_dies(self):
        self.topic()
        port = self.port("d name n manual")
        port.say("take d x")
        port.kill()
        self.wait_for(lambda: self.info("n")["members"] == 0, "its session has ended")
        self.assertEqual(self.port("d name n manual").say("take d x"), "1")

    @says("A topic overtakes who is slow, and the store has the rest.")
    def test_overtaken(self):
        self.topic()
        port = self.port("a plain")
        self.assertEqual(port.say("take a x"), "1")
        self.broker.run("pub", "t", "--count", "20000")  # five times the window
        self.assertEqual([port.say("take a x") for _ in range(12)], [str(i) for i in range(2, 14)])

    @says("Others are overtaken as ever.")
    def test_who_did_not_ask_is_overtaken(self):
        self.topic("--push-back", "--durability", "memory")
        port = self.port("a plain")
        self.assertEqual(port.say("take a x"), "1")
        self.broker.run("pub", "t", "--count", "20000")
        self.assertEqual(port.say("take a x"), "EGONE")


main()
