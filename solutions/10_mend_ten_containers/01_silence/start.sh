exec python serve.py
