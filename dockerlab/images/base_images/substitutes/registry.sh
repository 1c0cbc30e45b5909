#!/bin/sh
# The first word decides, as in the official image: a configuration file is served, a subcommand is handed to `registry`.
set -e
case "$1" in
    *.yaml | *.yml) set -- registry serve "$@" ;;
    serve | garbage-collect | help | -*) set -- registry "$@" ;;
esac
exec "$@"
