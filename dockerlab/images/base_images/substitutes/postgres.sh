#!/bin/bash
# Entry of the postgres stand-in. On an empty data folder it makes a cluster from the POSTGRES_* variables and runs
# /docker-entrypoint-initdb.d on it; a folder that holds a cluster is used as it is. Then it becomes the server.
set -Eeuo pipefail

refuse() {
    printf 'Error: %s\n' "$@" >&2
    exit 1
}

# from_file NAME [DEFAULT]: export NAME as given, else from the file that NAME_FILE names, else DEFAULT.
from_file() {
    local name=$1 file=$1_FILE
    if [[ -n ${!name:-} && -n ${!file:-} ]]; then
        refuse "$name and $file are both set; set one of them."
    fi
    if [[ -n ${!file:-} ]]; then
        [[ -r ${!file} ]] || refuse "$file names ${!file}, which cannot be read."
        export "$name=$(< "${!file}")"
    else
        export "$name=${!name:-${2:-}}"
    fi
    unset "$file"
}

read_settings() {
    from_file POSTGRES_PASSWORD
    from_file POSTGRES_USER postgres
    from_file POSTGRES_DB "$POSTGRES_USER"
    from_file POSTGRES_INITDB_ARGS
    : "${POSTGRES_HOST_AUTH_METHOD:=}"
}

require_password() {
    if [[ $POSTGRES_HOST_AUTH_METHOD == trust ]]; then
        echo "Warning: POSTGRES_HOST_AUTH_METHOD=trust lets anyone who reaches the port in as any user, without a password." >&2
    elif [[ -z $POSTGRES_PASSWORD ]]; then
        refuse "the database is empty and its superuser has no password." \
            "Set POSTGRES_PASSWORD (docker run -e POSTGRES_PASSWORD=...) or POSTGRES_PASSWORD_FILE." \
            "POSTGRES_HOST_AUTH_METHOD=trust does without one; it is for networks where you trust everybody."
    fi
}

# initdb wants a name for the user that it runs as; a number chosen by --user has none in /etc/passwd.
name_this_user() {
    getent passwd "$(id -u)" > /dev/null && return
    local library
    library=$(find /usr/lib -name libnss_wrapper.so -print -quit)
    NSS_WRAPPER_PASSWD=$(mktemp) NSS_WRAPPER_GROUP=$(mktemp)
    echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" > "$NSS_WRAPPER_PASSWD"
    echo "postgres:x:$(id -g):" > "$NSS_WRAPPER_GROUP"
    export LD_PRELOAD=$library NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
}

make_folders() {
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 0700 "$PGDATA" || :
    chmod 3775 /var/run/postgresql 2> /dev/null || :
    if [[ -n ${POSTGRES_INITDB_WALDIR:-} ]]; then
        mkdir -p "$POSTGRES_INITDB_WALDIR"
        chmod 0700 "$POSTGRES_INITDB_WALDIR"
    fi
    if [[ $(id -u) == 0 ]]; then
        find "$PGDATA" /var/run/postgresql ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} ! -user postgres -exec chown postgres '{}' +
    fi
}

make_cluster() {
    name_this_user
    # The arguments are a line as one would type it, with quotes of its own.
    eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD")' \
        '${POSTGRES_INITDB_WALDIR:+--waldir "$POSTGRES_INITDB_WALDIR"}' "$POSTGRES_INITDB_ARGS"
    if [[ -n ${NSS_WRAPPER_PASSWD:-} ]]; then
        rm -f "$NSS_WRAPPER_PASSWD" "$NSS_WRAPPER_GROUP"
        unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
    fi
    printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption)}" >> "$PGDATA/pg_hba.conf"
}

# Scripts of /docker-entrypoint-initdb.d may call this: it runs SQL as the superuser, in POSTGRES_DB unless told otherwise.
docker_process_sql() {
    PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" "$@"
}

make_database() {
    [[ $POSTGRES_DB != postgres ]] || return 0
    POSTGRES_DB=postgres docker_process_sql --set name="$POSTGRES_DB" <<< 'CREATE DATABASE :"name";'
}

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        [[ -e $file ]] || continue
        echo "$0: $file"
        case $file in
            *.sh) if [[ -x $file ]]; then "$file"; else . "$file"; fi ;;
            *.sql) docker_process_sql -f "$file" ;;
            *.sql.gz) gunzip -c "$file" | docker_process_sql ;;
            *.sql.xz) xzcat "$file" | docker_process_sql ;;
            *.sql.zst) zstd -dc "$file" | docker_process_sql ;;
            *) echo "$0: left alone, since its name ends with neither .sh nor .sql" ;;
        esac
    done
}

first_start() {
    require_password
    make_cluster
    export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
    # Nobody outside gets in before the files have run: this server listens on its socket alone.
    set -- "$@" -c listen_addresses='' -p 5432
    pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@")" -w start
    make_database
    run_init_files
    pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGPASSWORD
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

only_asks() {
    local word
    for word; do
        case $word in
            -\? | --help | --describe-config | -V | --version) return 0 ;;
        esac
    done
    return 1
}

if [[ ${1:0:1} == - ]]; then
    set -- postgres "$@"
fi
if [[ ${1:-} == postgres ]] && ! only_asks "$@"; then
    read_settings
    make_folders
    if [[ $(id -u) == 0 ]]; then
        exec gosu postgres "$BASH_SOURCE" "$@"
    fi
    if [[ -s $PGDATA/PG_VERSION ]]; then
        printf '\nThe data folder holds a database: nothing is initialised.\n\n'
    else
        first_start "${@:2}"
    fi
fi
exec "$@"
