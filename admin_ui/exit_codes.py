"""The exit codes that there are, as the scheduler's commands have them. docs/operations.md explains each."""

EX_OK = 0
EX_FAILED = 1
EX_USAGE = 2
EX_IOERR = 74  # a folder was replaced under its mount; the name is that of sysexits(3)
