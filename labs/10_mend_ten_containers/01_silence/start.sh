python serve.py &
echo "the server is started"
