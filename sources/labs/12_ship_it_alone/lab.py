# %% [markdown]
# # Lab 12: Ship it alone
#
# **The situation.** The harbour has bought an application that tells from a picture whether a container's wall is sound, rusty, dented or holed. You get the developers' repository, which is this folder. It will run on small boxes at the gates, beside other programs. Nobody has packaged it yet, and nobody will help you: this is the capstone.
#
# **You hand in** three files in this folder: `Dockerfile`, `.dockerignore` and `compose.yaml`. The application, its model and its list of packages stay as they are.
#
# **You need** lessons 03 to 09, two hours of your time, and 2 GB of free disk. A check takes about 10 seconds once your layers are in the cache, and builds once without it when your Dockerfile has changed.

# %%
%matplotlib inline
from pathlib import Path

import pandas as pd

from dockerlab.course.grading import check, load
from dockerlab.lessons.lesson12_capstone import scoring
from dockerlab.lessons.lesson12_capstone.charts import against, gallery
from dockerlab.lessons.lesson12_capstone.scoring import LAB
from dockerlab.notebook.session import start

client = start(timeout=900)
here = Path.cwd()
pd.set_option("display.max_colwidth", None)

# %% [markdown]
# ## What you get
#
# Read `README.md`: how it is started, which settings it knows, what is where. These are its samples, and what the application says about them outside any container:

# %%
gallery(scoring.samples(), [max(scores, key=scores.get) for scores in scoring.own_answers().values()])

# %% [markdown]
# ## What is asked
#
# Ten promises, all about what your service does. `compose.yaml` has a service called `api` that publishes port 8000, and a cache. The token of the cameras lies in `secrets/api_token.txt`; the check puts a token of its own there.

# %%
pd.DataFrame([(each.promise, each.wanted) for each in load("12").criteria], columns=["promise", "wanted"], index=range(1, 11))

# %% [markdown]
# The image of lesson 12 fails the second of them: it is too large for the boxes.
#
# ## Your work
#
# A way that works: write the first Dockerfile that runs, check, and mend one line of the report at a time. The check needs no `compose.yaml` to begin with: it runs the image as people do who have none, and counts what is missing. `docker compose up --build` in a terminal shows your stack as it is.
#
# ## Check it
#
# The same check runs in a terminal with `dockerlab check 12`.

# %% tags=["nbval-ignore-output"]
report = check("12", folder=here)
report

# %%
print(report.held, "of", len(report.results), "promises hold; passed:", report.passed)

# %% [markdown]
# ## Beside the course's own result
#
# The course has a solution as well. It is measured here and now, on your machine. The dashed line is the target.

# %% tags=["nbval-ignore-output"]
mine = scoring.latest(here)
ours = scoring.ours(client, LAB) if mine else None
against(mine, ours) if mine else print("Nothing to compare yet: write a Dockerfile that builds.")

# %% tags=["nbval-ignore-output"]
scoring.beside({"You": mine, "The course": ours}) if mine else print("Nothing to compare yet.")

# %% [markdown]
# ## When you are stuck
#
# - The report ends with a hint for the first promise that does not hold. `report.hints()` gives a second, closer one; `report.hints(7)` those for promise 7.
# - `dockerlab reset 12` puts the bare repository back, `dockerlab solve 12` shows one solution. Both keep your version first.
#
# ## When you have passed
#
# Where do you beat the course? Smaller: lesson 06 prunes NumPy and Pillow, too. Faster to start: byte-compile the packages and measure what it costs on disk. If both are better than ours, you have finished this course.
