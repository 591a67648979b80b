"""The exit codes that there are, those of `start` named as in sysexits(3). docs/operations.md explains each."""

EX_OK = 0
EX_FAILED = 1
EX_USAGE = 2
EX_SOFTWARE = 70  # an unhandled error
EX_CANTCREAT = 73  # the journal cannot be used
EX_IOERR = 74  # the jobs or the logs directory was replaced under its mount
EX_TEMPFAIL = 75  # another scheduler has these logs
EX_INTERRUPTED = 130  # by Ctrl-C, as shells have it: 128 and the number of the signal
