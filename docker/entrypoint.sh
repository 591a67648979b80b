#!/bin/sh
# entrypoint.sh "DIR …" COMMAND …: run COMMAND as the owner of the mounted folders, without any capability.
#
# A fresh clone belongs to whoever cloned it, and no uid fixed in an image can write to all of them. So the
# container starts as root with a few capabilities and becomes the owner of the first of DIR …, /logs, /jobs that is
# not root's; where all are, it becomes 10001. What root owns in DIR … is given to that user first: root's own clone,
# and folders that the engine created because they were missing. DIR may be empty. Started as any other user, this
# only runs COMMAND.
set -eu
writable=$1
shift

if [ "$(id -u)" = 0 ]; then
  owner=0:0
  for folder in $writable /logs /jobs; do
    [ "$owner" != 0:0 ] || owner=$(stat -c %u:%g "$folder")
    [ "${owner%:*}" != 0 ] || owner=0:0
  done
  [ "$owner" != 0:0 ] || owner=10001:10001
  for folder in $writable; do
    # Not below audit/: that is another service's, mounted empty and read-only here. Nor in folders that root may
    # not read, having no capability to override their mode: they are the owner's already.
    find "$folder" \( -path "$folder/audit" -o -type d ! -readable \) -prune -o -uid 0 -exec chown -h "$owner" {} + ||
      echo "entrypoint.sh: some of $folder still belongs to root" >&2
  done
  exec setpriv --reuid "${owner%:*}" --regid "${owner#*:}" --clear-groups --no-new-privs \
    --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"
fi
exec "$@"
