#!/bin/sh
# sidecar VERB …: the command line inside the container, as the owner of the mounted folders and not as root.
exec /entrypoint.sh "" python -m sidecar "$@"
