"""floor_request.py DIRECTORY COMMAND: run the command for each file that is renamed into the directory."""

import ctypes
import os
import sys

IN_MOVED_TO = 0x80
libc = ctypes.CDLL(None)
events = libc.inotify_init()
libc.inotify_add_watch(events, os.fsencode(sys.argv[1]), IN_MOVED_TO)
print("ready", flush=True)
while os.read(events, 65536):
    os.posix_spawn("/bin/sh", ["sh", "-c", sys.argv[2]], os.environ, setsid=True)
    os.wait()
