# %% [markdown]
# # Lab 02: take over two images
#
# A colleague has left. On the shared drive lie two image files, *monday* and *tuesday*, and nobody remembers what they are. On the engine stands a container of his that ended by itself; it holds the table of a night's measurement, and that table exists nowhere else. Your team wants one of the two images in its registry.
#
# **Hand in** `work.py`, six functions:
#
# | function | what the team needs |
# |---|---|
# | `load` | bring the image of any such file onto the engine, and say by which name it is found |
# | `kind` | tell the service from the job, by the image alone |
# | `run_service` | run the service in the background, for a station, reachable from this machine only |
# | `run_job` | let the job count the boxes of any day's file |
# | `recover` | get the table out of the stopped container, and leave the container as it is |
# | `publish` | put the service into the registry as `harbour/board:2.0` and tell the digest |
#
# **What the check does**: it hands over *new* files, a new stopped container and an empty registry. Names, the port, the station and all content differ from yours. What stays the same is what only a look into image and logs can tell: the setting that the service misses, and the place where the job looks for its file.
#
# About 45 minutes. The check takes about 10 seconds. docker-py and the command line are equally welcome.

# %%
from dockerlab.lessons.lesson02_images_and_containers.handover import hand_over
from dockerlab.notebook.session import prepare

prepare()
handed = hand_over()
print("handed over:", [path.name for path in handed.tars], "|", handed.boxes.name, "|", handed.lost)

# %% tags=["nbval-ignore-output"]
handed.frame()

# %% [markdown]
# `handed.tars`, `handed.boxes`, `handed.lost` and `handed.registry` are the paths and names. `hand_over(again=True)` makes everything anew, should you have broken something.
#
# ## 1. Find out what they are
#
# Load both. Then ask: `docker inspect` (settings), `docker history` (how it was made), and what a container of it says when it starts (`docker run`, `docker logs`).

# %%
# --- solution
monday, tuesday = handed.tars
!docker load --quiet -i "$monday"
!docker load --quiet -i "$tuesday"
# --- starter
# # your commands
# --- end

# %% tags=["solution"]
import json

for name in ("monday", "tuesday"):
    said = !docker inspect dockerlab-handover:$name
    config = json.loads("".join(said))[0]["Config"]
    print(name, {key: config.get(key) for key in ("ExposedPorts", "Volumes", "Cmd")})

# %% tags=["solution"]
for name in ("monday", "tuesday"):
    said = !docker history --format json dockerlab-handover:$name
    print(name, [line["CreatedBy"] for line in map(json.loads, said) if line["CreatedBy"].startswith(("EXPOSE", "VOLUME", "CMD"))])

# %% tags=["solution"]
!docker run --rm dockerlab-handover:monday
!docker run --rm dockerlab-handover:tuesday

# %% [markdown]
# ## 2. Look at the stopped container
#
# Which files did it write? Beware: some programs begin anew when they are started again.

# %%
# --- solution
said = !docker diff $handed.lost
print(*sorted(line.partition("-")[0] for line in said if line.startswith("A")), sep="\n")
# --- starter
# # your commands
# --- end

# %% [markdown]
# ## 3. Write `work.py`
#
# Open it beside this notebook. Try your functions here; `reload` takes in what you changed.

# %%
import importlib
from pathlib import Path

import work
from dockerlab.engine import connection

importlib.reload(work)
client = connection.connect()
# --- solution
image = work.load(client, handed.tars[0])
print(work.kind(client, image), "|", work.run_job(client, image, handed.boxes).strip())
# --- starter
# # work.load(client, handed.tars[0])
# --- end

# %% [markdown]
# ## Check it
#
# Here, or with `dockerlab check 02` in a terminal.

# %% tags=["nbval-ignore-output"]
from dockerlab.course.grading import check

report = check("02", folder=Path.cwd())
report

# %%
print("held:", report.held, "of", len(report.results), "| passed:", report.passed)

# %% [markdown]
# ## Hints
#
# `report.hints()` shows both hints for the first failure, `report.hints(5)` those for the fifth promise.
#
# - A container that ends at once has a reason, and its last line says it.
# - Reading from a stopped container needs no start (lesson 02, quiz, question 2).
# - An image is pushed to where its *name* says.
#
# `dockerlab reset 02` gives you the starter back, `dockerlab solve 02` shows one solution; your version is kept first.
#
# ## Clean up
#
# When you are done, this removes what was handed over: files, stopped container, registry, and every image and container made of them.

# %%
# --- solution
from dockerlab.lessons.lesson02_images_and_containers.handover import take_back

print("Removed" in take_back(client))
# --- starter
# # from dockerlab.lessons.lesson02_images_and_containers.handover import take_back
# # take_back()
# --- end
