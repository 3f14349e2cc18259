"""
Does the checker find what it is there for? Breaks the product, one way after the other, in a copy of the source, builds
that, and runs schedules that must find it.

    mutations.py [NAME...]              all of them, or those
    mutations.py --list

A mutation that does not apply any more says so: the source has changed, and its place is to be found again.
"""
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

SOURCE = os.environ.get("HERMES_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
TARGETS = ["hermesd", "hermes"] + [f"history_{who}" for who in ("publisher", "subscriber", "member", "administrator", "embedded")]


@dataclass
class Mutation:
    name: str
    file: str
    old: str
    new: str
    schedules: tuple


MUTATIONS = [
    Mutation("an ack does not look whose claim it is", "src/group/group.c",
             "if ((word & GROUP_WHOSE_MASK) != whose(member, claim) || group_generation_of(word) == 0)", "if (false)",
             ("an-old-claim-of-ones-own-is-not-the-new-one",)),
    Mutation("nack and renew look at the line alone", "src/group/group.c",
             "(word & GROUP_WHOSE_MASK) == whose(member, claim);", "group_line_of(word) == member->line && claim != 0;",
             ("a-stale-nack-gives-up-nobody-elses-claim", "an-old-claim-of-ones-own-is-not-the-new-one")),
    Mutation("an ack does not look at the page's end", "src/group/group.c",
             "return group_is_open(page) ? HERMES_OK : HERMES_EEXPIRED;", "return page != NULL ? HERMES_OK : HERMES_EEXPIRED;",
             ("what-a-member-held-over-a-reset-counts-no-more",)),
    Mutation("a record does not say how often a message was given out", "src/group/group.c",
             "given_up(page, position, group_word(position, deliveries, 0, 0, GROUP_CLAIMED));",
             "given_up(page, position, group_word(position, 1, 0, 0, GROUP_CLAIMED));",
             ("nobody-gets-a-message-more-often-than-the-limit",)),
    Mutation("an ack of a place does not greet", "src/client/durable.c",
             "    subscriber_greet_if_due(s);\n    if (message->claim == 0)", "    if (message->claim == 0)",
             ("who-acks-keeps-its-place-over-a-brokers-death",)),
    Mutation("who greets and finds another page reads on where it was", "src/client/attach.c",
             "(void)member_start(s);", ";", ("who-acks-first-behind-a-reset-and-a-death-skips-nothing",)),
    Mutation("a renewal is none", "src/group/group.c", "word | GROUP_RENEWED)); /* pairs", "word)); /* pairs",
             ("four-renewals-between-two-looks-count",)),
    Mutation("a lease is short", "src/broker/leases.c", "look->now >= since + group->settings.lease_ns &&",
             "look->now >= since + group->settings.lease_ns / 2 &&", ("four-renewals-between-two-looks-count",)),
    Mutation("what comes again is no delivery", "src/group/group.c", "deliveries < GROUP_DELIVERIES_MAX ? deliveries + 1 :",
             "deliveries < GROUP_DELIVERIES_MAX ? deliveries :",
             ("what-reaches-the-limit-is-a-letter",)),
    Mutation("a durable subscription goes back", "src/client/durable.c", "    raise(&m->page->floor, end);\n    }",
             "    }\n    atomic_store(&m->page->floor, end);", ("an-ack-of-what-is-done-changes-nothing",)),
    Mutation("an ack of a place before its reset counts", "src/client/durable.c",
             "if (message->claim != m->claim || !member_is_current(m) ||\n        subscriber_is_orphan(s))", "if (message->claim == 0)",
             ("what-was-given-before-a-reset-cannot-be-acked",)),
    Mutation("who finds a gap counts another's too", "src/group/group.c", "uint64_t gone = gap->last - after,",
             "uint64_t gone = gap->last,", ("what-was-removed-is-counted-once-for-all-members",)),
    Mutation("a gap is counted by who is given the next message", "src/group/group.c",
             "atomic_fetch_add_explicit(&page->lost, gone, memory_order_relaxed);", "", ("a-gap-is-counted-when-it-is-found",)),
    Mutation("letters are thrown away", "src/broker/letters.c", "    int rc = write_all(letters, page, mask);",
             "    letters->delivered = letters->count;\n"
             "    int rc = put_away(letters, page, mask) ? HERMES_OK : write_all(letters, page, mask);",
             ("what-reaches-the-limit-is-a-letter",)),
    Mutation("a letter says another sequence", "src/broker/letters.c", ".sequence = message->sequence,",
             ".sequence = message->sequence + 1,", ("what-reaches-the-limit-is-a-letter",)),
    Mutation("what is pending is not looked at again", "src/client/claims.c", "if (group_hand_out(&m->group, position, &claim) < 0) {",
             "if (group_hand_out(&m->group, position, &claim) < 0 && false) {",
             ("what-is-pending-over-a-wait-for-the-broker-is-still-ones-own",)),
    Mutation("whoever sleeps watches", "src/client/member.c", "!is_able || group_keep_watch(&m->group)", "true",
             ("one-of-those-who-sleep-wakes-for-a-message",)),
]


def applies(folder, mutation):
    """What is to be changed stands there, once."""
    with open(os.path.join(folder, mutation.file)) as file:
        return file.read().count(mutation.old) == 1


def edit(path, old, new):
    """Returns what stood there."""
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace(old, new))
    return text


def restore(path, text):
    with open(path, "w") as file:
        file.write(text)


def build(folder):
    command = ["cmake", "--build", os.path.join(folder, "build"), "-j2", "--target", *TARGETS]
    return subprocess.run(command, capture_output=True).returncode == 0


def copy(folder):
    subprocess.run(f"git archive HEAD | tar x -C {folder}", cwd=SOURCE, shell=True, check=True)
    subprocess.run(["cmake", "-S", folder, "-B", os.path.join(folder, "build"), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"],
                   stdout=subprocess.DEVNULL, check=True)


def finds(folder, schedule):
    """What is found; "": nothing."""
    checker = os.path.join(folder, "tests/history/history.py")
    result = subprocess.run([sys.executable, "-B", checker, "--groups", "--schedule", schedule, "--bin", os.path.join(folder, "build/bin")],
                            capture_output=True, text=True)
    return result.stdout.split("\n")[0].partition(": ")[2] if result.returncode == 1 else ""


def try_one(folder, mutation):
    """Is it found?"""
    path = os.path.join(folder, mutation.file)
    if not applies(folder, mutation):
        print(f"DOES NOT APPLY  {mutation.name}")
        return False
    before = edit(path, mutation.old, mutation.new)
    found = [text for schedule in mutation.schedules if (text := finds(folder, schedule))] if build(folder) else None
    restore(path, before)
    how = "DOES NOT BUILD " if found is None else "found          " if found else "NOT FOUND      "
    print(f"{how} {mutation.name}: {'; '.join(found or [])}", flush=True)
    return bool(found)


def main():
    names = sys.argv[1:]
    chosen = [mutation for mutation in MUTATIONS if not names or mutation.name in names]
    if names == ["--list"]:
        print("\n".join(mutation.name for mutation in MUTATIONS))
        return 0
    with tempfile.TemporaryDirectory(prefix="hermes-mutations-") as folder:
        copy(folder)
        return 0 if all([try_one(folder, mutation) for mutation in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
