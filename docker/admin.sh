#!/bin/sh
# admin COMMAND …: the service's commands inside the container, as the owner of the mounted folders and not as root.
exec /entrypoint.sh "/jobs /logs/audit /data" python -m admin_ui "$@"
