#!/usr/bin/env python3
"""
Do the histories find what they are there for? Breaks the protocol, one way after the other: compiles the one file that
is broken, links it in front of the others, and runs histories, or the report, that must find it.

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
    command = [COMPILER, "-std=gnu17", "-O1", "-D_GNU_SOURCE", f"-I{SOURCE}/include", f"-I{SOURCE}/src", source, "-o", program,
               f"{LIBRARIES}/libmirror_world.a", f"{LIBRARIES}/libmirror_all.a", "-lz", "-lm", "-pthread"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        return "does not compile:\n" + built.stderr
    ran = subprocess.run([program, *mutation.run], capture_output=True, text=True, check=False)
    return None if ran.returncode == 1 else f"was not found (exit code {ran.returncode})"


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
