# %% [markdown]
# # Lab 04: Speed up a rebuild
#
# **The situation.** The harbour office keeps its berth book in a small service. A colleague wrote its Dockerfile on one evening, and it works. But each changed line of the app costs a coffee: everything is installed again. You get the project with one request: *a rebuild after an edit in five seconds, and leave the app alone.*
#
# **You hand in** two files in this folder: `Dockerfile` and `.dockerignore`. Everything else stays as it is.
#
# **You need** lesson 04, about 40 minutes, and 4 GB of free disk. What your colleague builds takes about a minute each time; a check of yours takes 10 to 30 seconds once your layers are in the cache.

# %%
%matplotlib inline
import shutil
import time
from pathlib import Path

import pandas as pd

from dockerlab.core.settings import BUILD
from dockerlab.course import cleanup
from dockerlab.course.grading import check, load
from dockerlab.images.build import build
from dockerlab.images.build_cache import cache_records, forget
from dockerlab.images.cache_model import BuildDiary, frame
from dockerlab.notebook.charts.timeline import build_timeline, compare_timelines
from dockerlab.notebook.listing import listing
from dockerlab.notebook.session import start

pd.set_option("display.max_colwidth", None, "display.width", 200)
client = start(timeout=900)
here = Path.cwd()

# %% [markdown]
# ## What runs today
#
# `Dockerfile.today` is your colleague's; your own `Dockerfile` begins as a copy of it. How many things in it do you already know from the lesson?

# %%
listing("Dockerfile.today")

# %% [markdown]
# Build it, change one line of the app in a copy, build again. This is what your colleague waits for:

# %%
copy = BUILD / "lab-04"
shutil.rmtree(copy, ignore_errors=True)
leave_out = shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints", ".dockerignore")
shutil.copytree(here, copy, ignore=leave_out)
today = BuildDiary(copy, tag="dockerlab-lab04:today", client=client, dockerfile="Dockerfile.today")
steps_before = {step["ID"] for step in cache_records(client)}
first = today.build({"BUILD_DATE": "monday"})
with (copy / "app/main.py").open("a") as file:
    file.write(f"# edited: {time.time_ns()}\n")
slow = today.build({"BUILD_DATE": "monday"})
print("steps that ran:", len(slow.ran), "of", len(slow.instructions))
frame(today.explain())

# %% tags=["nbval-ignore-output"]
build_timeline(slow)

# %% [markdown]
# ## What is asked
#
# Each promise is about what a build does, so how you get there is up to you. The fourth holds the budget: seconds, and what is new.

# %%
rows = [(each.promise, each.wanted) for each in load("04").criteria]
promises = pd.DataFrame(rows, columns=["promise", "wanted"])
promises.rename(lambda number: number + 1)

# %% [markdown]
# ## Your Dockerfile and .dockerignore
#
# Edit both here in JupyterLab or in any editor (`.dockerignore` begins with a dot: in the file browser choose *View, Show hidden files*; or open it with the cell below: `%load .dockerignore`). Then build; run this cell as often as you like.

# %%
# --- solution
mine = BuildDiary(here, tag="dockerlab-lab04:mine", client=client)
report = mine.build({"BUILD_DATE": "monday"})
print("steps:", len(report.instructions))
# --- starter
# # When you have changed your Dockerfile, take the comment signs (# ) away and run this.
# # mine = BuildDiary(here, tag="dockerlab-lab04:mine", client=client)
# # report = mine.build({"BUILD_DATE": "monday"})
# # report.frame()
# --- end

# %% [markdown]
# Build a second time after an edit of your own, and `frame(mine.explain())` says why each step ran. In a terminal it is `docker build --build-arg BUILD_DATE=monday -t dockerlab-lab04:mine .`
#
# ## Before and after

# %% tags=["nbval-ignore-output"]
# --- solution
shutil.rmtree(copy)
shutil.copytree(here, copy, ignore=shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints"))
with (copy / "app/main.py").open("a") as file:
    file.write(f"# edited: {time.time_ns()}\n")
quick = build(copy, tag="dockerlab-lab04:edited", buildargs={"BUILD_DATE": "monday"}, client=client)
compare_timelines({"today": slow, "mine": quick}, ratio=True)
# --- starter
# # When your Dockerfile is ready, take the comment signs (# ) away: today's build and yours, after the same edit.
# # shutil.rmtree(copy)
# # shutil.copytree(here, copy, ignore=shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints"))
# # with (copy / "app/main.py").open("a") as file:
# #     file.write(f"# edited: {time.time_ns()}\n")
# # quick = build(copy, tag="dockerlab-lab04:edited", buildargs={"BUILD_DATE": "monday"}, client=client)
# # compare_timelines({"today": slow, "mine": quick}, ratio=True)
# --- end

# %% [markdown]
# ## Check it
#
# In a terminal: `dockerlab check 04`. A hint names the next thing to look at; `report.hints()` says more. `dockerlab reset 04` brings the first files back (yours are kept in `labs/.saved`), `dockerlab solve 04` shows one way to do it.

# %% tags=["nbval-ignore-output"]
report = check("04", folder=here)
report

# %%
print("all promises hold:", report.passed)

# %% [markdown]
# ## Clean up
#
# Removes the images of this lab, the copy of the project, and the cached steps of today's Dockerfile, which take hundreds of megabytes each. Your files stay, and your own cached steps.

# %%
shutil.rmtree(copy, ignore_errors=True)
cleanup.remove_named(client, "dockerlab-lab04")
cleanup.remove_dangling(client)
for report in (slow, first):  # what was in the cache before stays, and so do the steps of others
    forget(report, steps_before, client)
print("images of this lab left:", len(client.images.list(name="dockerlab-lab04")))
