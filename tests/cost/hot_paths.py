"""Instructions of each hot path, counted by valgrind's callgrind: the same on every machine with this compiler. A path
that grows by more than a few instructions is a decision, not an accident: then this table is changed too.

Usage: hot_paths.py PROGRAM"""
import os
import re
import subprocess
import sys
import tempfile

ROUNDS = 1000
# At most so many instructions a round, loop included (64 bytes of payload; 8 for rings). gcc 12, -O3. The consumer's pace
# takes two of spsc and typed: across cores it brings ten times the elements. Checksums take the header from registers,
# and readers copy short payloads in blocks: 13 instructions more each, and no load waits for stores before it.
LIMITS = {"spsc": 31, "typed": 25, "slot": 28, "mpmc": 47, "encode": 126, "decode": 9, "verify": 142,
          "restamp": 62, "clock": 13, "append": 280, "append_at": 278, "poll": 270, "claim": 39, "ack": 55}

failed = False
for path, limit in LIMITS.items():
    with tempfile.TemporaryDirectory(prefix="hermes-test-") as work:
        out = os.path.join(work, "callgrind.out")
        result = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--collect-atstart=no",
             f"--toggle-collect=hot_{path}", sys.argv[1], path, os.path.join(work, "log")],
            capture_output=True, text=True, timeout=300)
        if result.returncode != 0 or f"{ROUNDS} rounds" not in result.stdout:
            sys.exit(f"{path}: the program failed\n{result.stderr}")
        instructions = int(re.search(r"Collected : (\d+)", result.stderr)[1]) / ROUNDS
        verdict = "ok" if instructions <= limit else "TOO MANY"
        failed |= instructions > limit
        print(f"{path:10} {instructions:8.2f} instructions, at most {limit:4}  {verdict}")
sys.exit(failed)
