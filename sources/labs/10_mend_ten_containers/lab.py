# %% [markdown]
# # Lab 10: mend ten containers
#
# You are on call. Ten colleagues left one line each, and a folder.
#
# | folder | what they say |
# |---|---|
# | `01_silence` | It starts, and it is gone. The exit code is 0. |
# | `02_windows` | *No such file or directory*, and the file is there. |
# | `03_door` | The log says that it serves. The browser gets no answer. |
# | `04_volume` | *Permission denied* where the result should go. |
# | `05_memory` | It ends without a word. |
# | `06_library` | It ran where it was built. |
# | `07_neighbour` | *Connection refused*, and the other one is up. |
# | `08_health` | Every page is served, and it is called unhealthy. |
# | `09_ignored` | It works in the folder, not in the image. |
# | `10_disk` | *No space left on device*, and the disk is half empty. |
#
# **Hand in** the mended folders. Each is a build context of its own. `options.txt` holds what `docker run -d` is told; `{volume}` and `{network}` there stand for what the machine has.
#
# **Rules.** You may change every file. Do not take away what protects others: users other than root, limits of memory and space, read-only file systems, secrets that stay outside. The check looks at how the containers run.
#
# About 60 minutes. The check takes about 10 seconds.
#
# ## Examine
#
# `bench.start("04")` builds a folder, starts it as the check does, and leaves the container there as `dockerlab-lab10-04`. Then it is yours: `docker ps -a`, `docker logs`, `docker inspect`, `docker exec`, `--entrypoint` (the image is `dockerlab-lab10:04_volume`).

# %%
from pathlib import Path

from dockerlab.lessons.lesson10_debugging.measures import Workbench
from dockerlab.notebook.session import prepare

prepare()
bench = Workbench(Path.cwd())
bench.start("04")

# %%
!docker wait dockerlab-lab10-04
!docker logs --tail 1 dockerlab-lab10-04

# %% [markdown]
# (In a terminal: `docker build -t mine 01_silence`, then `docker run --rm $(grep -v '^#' 01_silence/options.txt) mine`.)
#
# ## Mend
#
# Change the files beside this notebook, start again, look again. A mend is done when you have seen the symptom go.

# %%
# --- solution
bench.start("06")
!docker wait dockerlab-lab10-06
!docker logs dockerlab-lab10-06
# --- starter
# # bench.start("06")
# --- end

# %% [markdown]
# ## Check it
#
# Here, or with `dockerlab check 10` in a terminal.

# %% tags=["nbval-ignore-output"]
from dockerlab.course.grading import check

report = check("10", folder=Path.cwd())
report

# %%
print("held:", report.held, "of", len(report.results), "| passed:", report.passed)

# %% [markdown]
# ## Hints
#
# `dockerlab hint 10 4` gives the first hint for set-up 04, and the second one when you ask again; `report.hints(4)` gives both. Hints cost nothing, but they are counted: `dockerlab progress` says how many you read.
#
# - `docker ps -a` first: which row of the lesson's map are you in?
# - One of the ten has two faults, one behind the other.
# - If the container has ended before you can look inside: `docker run --rm -it --entrypoint sh IMAGE`.
#
# `dockerlab reset 10` gives you the starter back, `dockerlab solve 10` shows one solution; your version is kept first.
#
# ## Clean up
#
# This removes the containers, volumes, network and images that `bench` made.

# %%
print("removed some containers:", bench.clear() > 0)
