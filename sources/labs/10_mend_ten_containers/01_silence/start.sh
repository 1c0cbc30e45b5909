# --- solution
exec python serve.py
# --- starter
# python serve.py &
# echo "the server is started"
# --- end
