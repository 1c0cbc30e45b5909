#!/bin/sh
# Says who starts what, then starts it.
echo "starting the counter as user $(id -u)"
exec python service.py
