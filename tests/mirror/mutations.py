#!/usr/bin/env python3
"""
Do the histories find what they are there for? Breaks the protocol, one way after the other: compiles the one file that
is broken, links it in front of the others, and runs histories, the report, or a unit test, that must find it.

    mutations.py [NAME...]              all of them, or those
    mutations.py --list

A mutation that does not apply any more says so: the source has changed, and its place is to be found again.
"""
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

SOURCE = os.environ.get("HERMES_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
LIBRARIES = os.environ.get("HERMES_LIB", os.path.join(SOURCE, "build/release/lib"))
COMPILER = os.environ.get("CC", "cc")
HISTORIES = ["--as-it-is", "--histories", "2000"]
REPORT = ["--report"]
UNIT = []  # tests/unit/test_seal.c


@dataclass
class Mutation:
    name: str
    file: str
    old: str
    new: str
    run: list


MUTATIONS = [
    Mutation("nothing is suppressed", "repairs.c", "return number != 0 && repair->latest - ago > heard;",
             "return number != 0 && ago > UINT32_MAX - 1;", REPORT),
    Mutation("a cookie is taken unseen", "sender_hears.c",
             "if (!cookie_is_good(s->config.cookie_key, from, d->join.nonce, now_ns, d->join.cookie))",
             "if (d->join.cookie == 0)", HISTORIES),
    Mutation("a stranger is welcome without a cookie", "sender_hears.c",
             "if (!cookie_is_good(s->config.cookie_key, from, d->join.nonce, now_ns, d->join.cookie))",
             "if (reply == NULL)", HISTORIES),
    Mutation("no heartbeat", "sender_speaks.c", "return now_ns >= s->heartbeat_due_ns ?", "return now_ns == 1 ?", HISTORIES),
    Mutation("a window is taken at its word", "sender_hears.c",
             "listener->window_bytes = earlier(d->status.window_bytes, s->config.window_bytes);",
             "listener->window_bytes = d->status.window_bytes;", HISTORIES),
    Mutation("a position is taken at its word", "sender_hears.c", "if (d->head.header.sequence > s->end_position || ", "if (",
             HISTORIES),
    Mutation("a number is used twice", "sender_speaks.c", "position, now_ns, ++s->number,",
             "position, now_ns, s->number += type != DATAGRAM_SETUP,", HISTORIES),
    Mutation("what was cut stays staged", "image.c", "    cut(image, position);\n", "", HISTORIES),
    Mutation("who was there in an epoch that was cut goes on", "sender_hears.c",
             "end = earlier(end, s->source.epoch_end(s->source.context, d->join.epoch));",
             "end = later(end, s->source.epoch_end(s->source.context, d->join.epoch) > end);", HISTORIES),
    Mutation("asked once, and never again", "naks.c",
             "gap->due_ns = now_ns + again_ns(naks, now_ns, ++gap->asked);\n        }\n        if",
             "gap->due_ns = UINT64_MAX;\n        }\n        if", HISTORIES),
    Mutation("nobody is told what is gone", "sender_speaks.c", "listener_gone(&s->listeners, listener, true);", "", HISTORIES),
    Mutation("nobody is told that he is forgotten", "sender_hears.c", "    s->counters.strange++;\n    return 1;",
             "    return HERMES_EACCESS;", HISTORIES),
    Mutation("a gap is closed by its first bytes", "gaps.c", "            gap->begin = to;\n", "            take_out(gaps, index);\n",
             HISTORIES),
    Mutation("bytes are staged where others are", "image.c", "uint64_t at = position & (image->window_bytes - 1);\n    uint64_t first",
             "uint64_t at = position & (image->window_bytes / 2 - 1);\n    uint64_t first", HISTORIES),
    Mutation("a nonce leaves out the number", "seal_keys.c", "    low ^= number;\n", "    low ^= number - number;\n", HISTORIES),
    Mutation("all seal under one key", "seal_keys.c", ".member = member, .generation", ".member = 0 * member, .generation", HISTORIES),
    Mutation("what was opened opens again", "seal.c", "if (!replay_is_new(&member->replay, head.number)) {",
             "if (head.number == 0) {", HISTORIES),
    Mutation("a forged number moves the window", "seal.c", "    size_t plain = length - DATAGRAM_TAG_BYTES;\n",
             "    size_t plain = length - DATAGRAM_TAG_BYTES;\n    replay_mark(&member->replay, head.number);\n", HISTORIES),
    Mutation("a number is sealed twice", "seal.c", "if (head.number <= s->number)", "if (head.number < s->number)", UNIT),
    Mutation("the head is encrypted beside nothing", "seal.c", "enum { BESIDE_BYTES = DATAGRAM_HEAD_BYTES };",
             "enum { BESIDE_BYTES = 32 };", UNIT),
    Mutation("a key lasts for ever", "seal_keys.c", "return number >> SEAL_KEY_NUMBERS;", "return number >> 63;", UNIT),
    Mutation("a made-up number is believed", "seal.c", "    if (opened && (member->generation",
             "    if (opened || (member->generation", UNIT),
    Mutation("who is forged takes a place", "seal.c", "    if (!open_from(s, member,",
             "    if (member == &s->guest)\n        member = take_in(s, member);\n    if (!open_from(s, member,", UNIT),
    Mutation("a window that slides leaves old bits", "replay.c", "i < words && i < replay->words", "i < words && i < 1", UNIT),
    Mutation("a window forgets too late", "replay.c", ">= replay->words)", "> replay->words)", UNIT),
    Mutation("a dismissed member is heard", "seal.c", "    s->ids[member - s->members] = FREE;\n", "", UNIT),
    Mutation("one gap is asked for at a time", "naks.c", "if (gap->due_ns <= soon) {",
             "if (i > 0 && gap->due_ns <= soon)\n            gap->due_ns = soon + naks->rtt.mean_ns;\n"
             "        if (gap->due_ns <= soon) {", REPORT),
    Mutation("all ask at once", "naks.c", "if (!naks->multicast || naks->receivers <= 1)", "if (naks->receivers > 0)", REPORT),
    Mutation("others are not heard", "naks.c", "for (uint32_t r = 0; r < count; r++)", "for (uint32_t r = 0; r < 0 * count; r++)",
             REPORT),
]


def compile_and_run(mutation, folder):
    """None: found; else what happened instead."""
    with open(os.path.join(SOURCE, "src/mirror", mutation.file), encoding="utf-8") as file:
        text = file.read()
    if text.count(mutation.old) != 1:
        return f"applies {text.count(mutation.old)} times"
    source = os.path.join(folder, mutation.file)
    program = os.path.join(folder, "mirror_sim")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text.replace(mutation.old, mutation.new))
    test = [f"{SOURCE}/tests/unit/test_seal.c", f'-DSOURCE_DIR="{SOURCE}"', "-lcmocka"]
    command = [COMPILER, "-std=gnu17", "-O1", "-D_GNU_SOURCE", f"-I{SOURCE}/include", f"-I{SOURCE}/src", source, "-o", program,
               *(test if mutation.run is UNIT else [f"{LIBRARIES}/libmirror_world.a"]),
               f"{LIBRARIES}/libmirror_all.a", "-lcrypto", "-lz", "-lm", "-pthread"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        return "does not compile:\n" + built.stderr
    ran = subprocess.run([program, *mutation.run], capture_output=True, text=True, check=False)
    return None if ran.returncode > 0 else f"was not found (exit code {ran.returncode})"


def judge(mutation):
    with tempfile.TemporaryDirectory(prefix="hermes-mutation-") as folder:
        return mutation.name, compile_and_run(mutation, folder)


def main():
    if "--list" in sys.argv:
        print("\n".join(mutation.name for mutation in MUTATIONS))
        return 0
    chosen = [mutation for mutation in MUTATIONS if len(sys.argv) == 1 or mutation.name in sys.argv[1:]]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(judge, chosen))
    for name, wrong in results:
        print(f"{'found' if wrong is None else 'NOT FOUND'}: {name}{'' if wrong is None else ' - ' + wrong}")
    return 1 if any(wrong for _, wrong in results) else 0


sys.exit(main())
