#!/bin/sh
# Implements the part of the official image's entry point that this project uses: POSTGRES_USER,
# POSTGRES_PASSWORD and POSTGRES_DB; the *.sql files of /docker-entrypoint-initdb.d, run once; any
# other command run unchanged. When the data directory is new, the server starts twice and logs
# "ready to accept connections" twice, as wait strategies expect.
set -eu

if [ "${1-}" != postgres ]; then exec "$@"; fi

if [ "$(id -u)" = 0 ]; then
	install -d -o postgres -g postgres -m 700 "$PGDATA"
	exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

if [ -s "$PGDATA/PG_VERSION" ]; then exec "$@"; fi

superuser=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$superuser}

password=$(mktemp)
printf '%s' "${POSTGRES_PASSWORD:?is not set}" >"$password"
initdb --username="$superuser" --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256
rm "$password"
echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"

pg_ctl --wait --options="-c listen_addresses=''" start
if [ "$database" != postgres ]; then createdb --username="$superuser" "$database"; fi
for script in /docker-entrypoint-initdb.d/*.sql; do
	if [ ! -e "$script" ]; then break; fi
	psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="$superuser" --dbname="$database" --file="$script"
done
pg_ctl --wait --mode=fast stop

exec "$@"
