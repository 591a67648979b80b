#!/bin/sh
# Fill the path and the secret into nginx.conf, where only this user can read it, and become nginx.
set -eu
umask 077
sed -e "s|@ROOT_PATH@|${ADMIN_ROOT_PATH}|g" -e "s|@PROXY_SECRET@|${ADMIN_PROXY_SECRET}|g" /nginx.conf >/tmp/nginx.conf
unset ADMIN_PROXY_SECRET
exec nginx -c /tmp/nginx.conf -e stderr
