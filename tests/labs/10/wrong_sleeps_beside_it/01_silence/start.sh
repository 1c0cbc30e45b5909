python serve.py &
sleep infinity
