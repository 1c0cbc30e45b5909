# %% [markdown]
# # Lab 09: harden a service
#
# **The situation.** The gate's register notes who enters the port, with a picture. It has run for a year, from an image and a run line that somebody put together on a Friday. Now the insurer sends a list of questions, and the list is the scorecard of lesson 09. You answer for the image and the run line. The code in `gate/` stays as it is.
#
# **You hand in** three files in this folder: `Dockerfile`, `.dockerignore` and `run.sh`, which holds one `docker run` line. They begin as they are in service today.
#
# **You need** lesson 09. About 45 minutes. A check takes about 10 seconds.

# %%
%matplotlib inline
from pathlib import Path

import pandas as pd

from dockerlab.course.grading import check, load
from dockerlab.notebook.listing import listing
from dockerlab.notebook.session import start

client = start()
here = Path.cwd()
listing("Dockerfile")

# %%
listing("run.sh", first=7)

# %% [markdown]
# ## What the service needs
#
# - **The tide table**: `fetch_tides.py` makes `gate/tides.json` during the build. The tide office wants a token for it. The check offers the token both ways: as `--build-arg TOKEN=…` and as a secret with the id `token`.
# - **The key**: callers send it in `X-Key`. The service reads it from `HARBOUR_KEY`, or from the file that `HARBOUR_KEY_FILE` names.
# - **A place for pictures**: each comes as a temporary file first, and is moved to `/srv/spool` (or `SPOOL_DIR`). They are fetched within the hour; nothing has to survive a restart.
# - **Port** 8080, or `PORT`. Python 3.11, and no package at all: `python -m gate.server`.
#
# The check fills in `$IMAGE`, `$KEY_FILE`, `$HARBOUR_KEY` and `$SOCKET`, and sets `-d`, `--name`, `-p` and labels itself. All other options are yours.
#
# ## What is asked

# %%
pd.set_option("display.max_colwidth", None)
promises = pd.DataFrame([(each.promise, each.wanted) for each in load("09").criteria], columns=["promise", "wanted"])
promises.rename(lambda number: number + 1)

# %% [markdown]
# "Refused" means: tried in your running container, with the rights of your server, and it did not work. No promise says how. The last one is the hardest.
#
# ## How to try it by hand
#
# In a terminal, in this folder:
#
# ```bash
# export IMAGE=dockerlab-lab09:mine KEY_FILE=$PWD/key.txt HARBOUR_KEY=gate-key-5521 SOCKET=/var/run/docker.sock
# echo $HARBOUR_KEY > key.txt
# docker buildx build --secret id=token,src=token.txt -t $IMAGE .
# sh run.sh
# curl -H "X-Key: $HARBOUR_KEY" http://127.0.0.1:8080/entries
# ```
#
# `docker logs`, `docker exec`, `docker rm -f` and `docker rmi $IMAGE` do the rest; `dockerlab clean` leaves what you build by hand. `key.txt` must not get into the image either.
#
# ## What an intruder can do today
#
# This builds what your three files say, runs it by your run line, and tries all attempts in it.

# %% tags=["nbval-ignore-output"]
from dockerlab.lessons.lesson09_security.measures import scorecard_of

card = scorecard_of(here)
card

# %% [markdown]
# ## Check it
#
# Here, or with `dockerlab check 09` in a terminal.

# %% tags=["nbval-ignore-output"]
report = check("09", folder=here)
report

# %%
print(report.held, "of", len(report.results), "promises hold; passed:", report.passed)

# %% [markdown]
# ## When you are stuck
#
# - The report ends with a hint for the first promise that does not hold. `report.hints()` adds a closer one; `report.hints(6)` shows those for promise 6.
# - Change one option at a time. When the service stops answering, the last option has shown you what it needs.
# - `dockerlab reset 09` puts the files back as they are in service today, `dockerlab solve 09` shows one solution. Both keep your version first.
