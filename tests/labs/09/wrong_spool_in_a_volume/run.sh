docker run -d -p 127.0.0.1:8080:8080 \
  --cap-drop ALL \
  --security-opt no-new-privileges \
  --read-only \
  --tmpfs /tmp:size=64m \
  -v /srv/spool \
  --pids-limit 64 \
  -v $KEY_FILE:/run/secrets/harbour_key:ro \
  -e HARBOUR_KEY_FILE=/run/secrets/harbour_key \
  $IMAGE
