"""Measure a night; every start is another night, and begins its table anew."""

import os
import random
import sys
import time
from pathlib import Path

night = random.Random(time.time_ns())
Path("/tmp/heartbeat").write_text(f"{time.time()}\n", encoding="utf-8")
table = Path.home() / f"night-{os.environ['NIGHT']}.csv"
with table.open("w", encoding="utf-8") as file:
    file.write("hour,ships,containers\n")
    file.writelines(f"{hour},{night.randrange(9)},{night.randrange(400)}\n" for hour in range(24))
sys.exit("The night is over; nobody fetched the table.")
