# %% [markdown]
# # Lab 08: compose three lines
#
# **The situation.** The harbour's berth service runs on one machine, and only Ole can start it. He does it with the three `docker run` lines in `run.sh`, waits "a bit" between them, and on a bad day types the last one twice. His password is in the shell history. Last week somebody removed the container `db`, and the ships of a year were gone. Ole goes on holiday on Friday.
#
# **You hand in** `compose.yaml`. The service itself, `api/`, stays as it is; its first lines say what it can do.
#
# **You need** lesson 08. About 45 minutes. The first check takes half a minute, later ones about 15 seconds.

# %%
from pathlib import Path

import pandas as pd

from dockerlab.course.grading import check, load
from dockerlab.notebook.session import prepare

prepare()
here = Path.cwd()
print((here / "run.sh").read_text())

# %% [markdown]
# ## What the harbour wants
#
# 1. `docker compose up -d --wait` brings up `api` (built from `./api`), `db` (`postgres:15-bookworm`) and `cache` (`redis:7-bookworm`), without a warning, from nothing, at the first try.
# 2. On the machine itself, and only there, the API answers on the port that the variable `PORT` names, 8000 where it is not set. Nothing else is published.
# 3. The API reaches both neighbours. They do not reach each other, and have no way out.
# 4. The password stands in `db_password.txt` and nowhere else. (The check puts another one there.)
# 5. The rows survive `docker compose down`.
# 6. When the API crashes, it comes back by itself.
# 7. Every service has a memory limit, 512 MiB at most; the API has at most one CPU.
#
# The check measures these promises:

# %%
pd.set_option("display.max_colwidth", None)
promises = pd.DataFrame([(each.promise, each.wanted) for each in load("08").criteria], columns=["promise", "wanted"])
promises.rename(lambda number: number + 1)

# %% [markdown]
# ## Your file
#
# Write `compose.yaml`, here or in any editor, and try it in a terminal, in this folder:
#
# ```bash
# docker compose config
# PORT=8123 docker compose -p dockerlab-lab08-mine up -d --wait
# docker compose -p dockerlab-lab08-mine ps
# curl -X POST "http://127.0.0.1:8123/arrive?ship=Elbe"
# docker compose -p dockerlab-lab08-mine down -v
# ```
#
# When there is something in it, this draws it:

# %%
# --- solution
import os

from IPython.display import HTML

from dockerlab.containers.compose import Stack
from dockerlab.containers.compose_graph import graph
from dockerlab.notebook.charts.stack import stack_svg

HTML(stack_svg(graph(Stack(here, "dockerlab-lab08-mine", ("compose.yaml",), os.environ).config())))
# --- starter
# import os
#
# from IPython.display import HTML
#
# from dockerlab.notebook.charts.stack import stack_svg
# from dockerlab.containers.compose import Stack
# from dockerlab.containers.compose_graph import graph
#
# # Take the comment sign away when your file has services.
# # HTML(stack_svg(graph(Stack(here, "dockerlab-lab08-mine", ("compose.yaml",), os.environ).config())))
# --- end

# %% [markdown]
# ## Check it
#
# Here, or with `dockerlab check 08` in a terminal. It starts your project under another name and port, tries every connection, stores a ship, takes the project down and up again, and lets the API crash. At the end it removes all of it.

# %% tags=["nbval-ignore-output"]
report = check("08", folder=here)
report

# %%
print(report.held, "of", len(report.results), "promises hold; passed:", report.passed)

# %% [markdown]
# ## When you are stuck
#
# - The report ends with a hint for the first promise that does not hold. `report.hints()` adds a second, closer one; `report.hints(4)` shows those for promise 4.
# - `docker compose logs api` says why the API ended, `docker compose config` what Compose read.
# - A service may be in several networks, and a network may have two members.
#
# `dockerlab reset 08` puts the starter back, `dockerlab solve 08` shows one solution. Both keep your version first.
