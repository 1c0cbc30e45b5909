docker run -d -p 127.0.0.1:8080:8080 --privileged -v $SOCKET:/var/run/docker.sock -v $KEY_FILE:/run/secrets/harbour_key:ro \
  -e HARBOUR_KEY_FILE=/run/secrets/harbour_key --tmpfs /srv/spool $IMAGE
