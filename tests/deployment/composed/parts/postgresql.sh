#!/bin/sh
# Stands in for the entry point of the image postgres: makes the cluster and the database once, then serves.
set -eu
data=/var/lib/postgresql/data
user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
if [ ! -s "$data/PG_VERSION" ]; then
  mkdir -p "$data"
  chown 65534:65534 "$data"
  install --owner=65534 --mode=0400 "$POSTGRES_PASSWORD_FILE" /tmp/password
  user initdb --pgdata="$data" --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 --encoding=UTF8 --no-locale
  rm /tmp/password
  echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
  if [ "$POSTGRES_DB" != postgres ]; then echo "CREATE DATABASE $POSTGRES_DB" | user postgres --single -D "$data" postgres; fi
fi
exec setpriv --reuid=65534 --regid=65534 --clear-groups postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
