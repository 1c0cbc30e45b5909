"""Bring the model that MODEL_NAME names from MODEL_SERVER into the cache, unless it is there, and become the server."""

# 1. Is the model in the cache? Then there is nothing to fetch.
# 2. Fetch it; a server that is busy gets some more tries, one that stays away ends this program with one clear sentence.
# 3. Compare its SHA-256 with MODEL_SERVER/MODEL_NAME.sha256; only a file that fits may get its final name.
# 4. Become the server, so that it hears SIGTERM: os.execvp("uvicorn", ["uvicorn", "app.main:app", "--host", "0.0.0.0"]).
