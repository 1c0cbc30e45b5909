docker run -d -p 127.0.0.1:8080:8080 \
  --cap-drop ALL \
  --security-opt no-new-privileges \
  --read-only \
  --tmpfs /tmp:size=64m \
  --tmpfs /srv/spool:size=64m,mode=1777 \
  --pids-limit 64 \
  -e HARBOUR_KEY=$HARBOUR_KEY \
  $IMAGE
