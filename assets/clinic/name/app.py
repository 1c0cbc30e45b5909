"""Asks the model server every half second what it has."""

import os
import time
from urllib.request import urlopen

url = os.environ["MODELS"]
while True:
    try:
        print(url, "says", urlopen(url, timeout=2).read().decode().strip())
    except OSError as error:
        print(url, "fails:", getattr(error, "reason", error))
    time.sleep(0.5)
