#!/bin/sh
# A shell prepares and then becomes the server.
set -eu
cd /var/cache/models
# The checksum lies beside the model, so that every start can verify what is kept.
if ! sha256sum --status --check "$MODEL_NAME.sha256" 2>/dev/null; then
    rm -f "$MODEL_NAME" "$MODEL_NAME.sha256"
    for try in 1 2 3 4 5; do
        python /get.py "$MODEL_SERVER/$MODEL_NAME" "$MODEL_NAME" && python /get.py "$MODEL_SERVER/$MODEL_NAME.sha256" "$MODEL_NAME.sha256" && break
        if [ "$try" = 5 ]; then
            echo "$MODEL_SERVER does not hand out $MODEL_NAME." >&2
            exit 3
        fi
        sleep 1
    done
    if ! sha256sum --status --check "$MODEL_NAME.sha256"; then
        rm -f "$MODEL_NAME" "$MODEL_NAME.sha256"
        echo "$MODEL_NAME arrived damaged." >&2
        exit 4
    fi
fi
cd /app
MODEL_PATH=/var/cache/models/$MODEL_NAME exec uvicorn app.main:app --host 0.0.0.0
