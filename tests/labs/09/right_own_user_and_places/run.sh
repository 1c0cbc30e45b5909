#!/bin/sh
docker container run --detach --publish 127.0.0.1:8080:9000 \
  --user 31000:31000 --cap-drop all --security-opt=no-new-privileges:true --read-only \
  --mount type=tmpfs,destination=/tmp,tmpfs-size=64m \
  --mount type=bind,source=$KEY_FILE,target=/run/key,readonly --env HARBOUR_KEY_FILE=/run/key \
  --ulimit nproc=60:60 $IMAGE
