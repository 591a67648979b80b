"""floor.py FILE SECOND: run the commands in FILE, one a line, whenever the minute's SECOND comes. Keeps nothing."""

import os
import sys
import time
from pathlib import Path

commands, second = Path(sys.argv[1]).read_text().splitlines(), int(sys.argv[2])
print("ready", flush=True)
while True:
    now = time.time()
    due = now - now % 60 + second + (60 if now % 60 >= second else 0)
    # A long sleep ends late by up to a thousandth of its length.
    while (rest := due - time.time()) > 0:
        time.sleep(rest * 0.97 if rest > 0.01 else rest)
    for command in commands:
        os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ, setsid=True)
    for _ in commands:
        os.wait()
