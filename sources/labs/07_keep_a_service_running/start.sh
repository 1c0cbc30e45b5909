#!/bin/sh
# Says who starts what, then starts it.
echo "starting the counter as user $(id -u)"
# --- solution
exec python service.py
# --- starter
# python service.py
# --- end
