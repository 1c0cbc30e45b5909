#!/bin/sh
# One `docker run` line. What stands for what, on the machine that it runs on:
#   $IMAGE        your image
#   $KEY_FILE     a file that holds the gate's key, readable by all
#   $HARBOUR_KEY  the key itself
#   $SOCKET       the engine's socket
docker run -d -p 8080:8080 \
  --privileged \
  -v $SOCKET:/var/run/docker.sock \
  -e HARBOUR_KEY=$HARBOUR_KEY \
  $IMAGE
