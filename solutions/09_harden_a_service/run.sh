#!/bin/sh
# One `docker run` line. What stands for what, on the machine that it runs on:
#   $IMAGE        your image
#   $KEY_FILE     a file that holds the gate's key, readable by all
#   $HARBOUR_KEY  the key itself
#   $SOCKET       the engine's socket
docker run -d -p 127.0.0.1:8080:8080 \
  --cap-drop ALL \
  --security-opt no-new-privileges \
  --read-only \
  --tmpfs /tmp:size=64m \
  --tmpfs /srv/spool:size=64m,mode=1777 \
  --pids-limit 64 \
  -v $KEY_FILE:/run/secrets/harbour_key:ro \
  -e HARBOUR_KEY_FILE=/run/secrets/harbour_key \
  $IMAGE
