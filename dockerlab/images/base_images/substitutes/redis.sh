#!/bin/sh
# Entry of the redis stand-in: options alone mean the server, root hands over to the user redis, clients of other containers may connect.
set -e
case "$1" in
    -* | *.conf) set -- redis-server "$@" ;;
esac

if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis '{}' +
    exec gosu redis "$0" "$@"
fi

# The official build has protected mode off by default; Debian's has it on. A file or an option that sets it wins.
if [ "$1" = redis-server ]; then
    shift
    config=
    case "$1" in
        "" | -*) ;;
        *) config=$1 && shift ;;
    esac
    if [ -z "$config" ] || ! grep -qsi '^[[:space:]]*protected-mode' "$config"; then
        set -- --protected-mode no "$@"
    fi
    set -- redis-server ${config:+"$config"} "$@"
fi

# Snapshots are for the owner's eyes, unless a mask was chosen.
if [ "$(umask)" = 0022 ]; then
    umask 0077
fi
exec "$@"
