# %% [markdown]
# # Lab 11: ship a release
#
# **The situation.** The harbour's detection service runs in a swarm, two replicas of it. Every release costs pictures: the cranes see errors for some seconds, and once a bad release stayed for a night, because nobody looked. Your colleague wrote `stack.yaml`, and the image cannot be changed today. You get the file.
#
# **You hand in** one file: `stack.yaml`, in this folder.
#
# **You need** lesson 11. About 30 minutes. A check takes about 40 seconds: it makes a swarm of one node, ships two releases under load, and leaves the swarm again. The swarm's manager listens on 127.0.0.1 only; until the end of the check, its overlay network opens UDP port 4789 on all addresses of your machine, unencrypted. A machine that belongs to a swarm already is not touched; the check says so and stops.

# %%
%matplotlib inline
from pathlib import Path

import pandas as pd

from dockerlab.course.grading import check, load
from dockerlab.detection import api_client
from dockerlab.lessons.lesson11_production import charts, rollout
from dockerlab.notebook.listing import listing
from dockerlab.notebook.session import start

client = start(timeout=900)
here = Path.cwd()
listing(here / "stack.yaml")

# %% [markdown]
# ## What is asked
#
# Release 1 runs. Release 2 is good. Release 3 is bad: it names a model that is not in the image, so its server starts and answers 503 for ever. Cranes send pictures all the time; some have a bad line and take 5 seconds to send one.

# %%
pd.set_option("display.max_colwidth", None)
criteria = load("11").criteria
pd.DataFrame([(each.promise, each.wanted) for each in criteria], columns=["promise", "wanted"], index=range(1, len(criteria) + 1))

# %% [markdown]
# ## Your stack file
#
# Edit `stack.yaml`, here or in any editor. `docker stack config` says at once whether it can be read:
#
# ```bash
# IMAGE=any docker stack config -c stack.yaml
# ```
#
# To see what a release does to the cranes, ship release 2 once and look at each request:

# %%
# --- solution
images = rollout.build_releases("dockerlab-lab11", client)
with rollout.Trial(here / "stack.yaml", images, client) as trial:
    second = trial.ship("v2", api_client.samples()[0])
print("requests failed:", len(second.seen.failed), "| the update:", second.state)
# --- starter
# # When your file says something new, take the comment signs away and run this.
# # images = rollout.build_releases("dockerlab-lab11", client)
# # with rollout.Trial(here / "stack.yaml", images, client) as trial:
# #     second = trial.ship("v2", api_client.samples()[0])
# # charts.requests({"release 2": second.seen.frame()}, f"{len(second.seen.failed)} requests failed")
# --- end

# %% [markdown]
# ## Check it
#
# The same check runs in a terminal with `dockerlab check 11`.

# %% tags=["nbval-ignore-output"]
report = check("11", folder=here)
report

# %%
print(report.held, "of", len(report.results), "promises hold; passed:", report.passed)

# %% [markdown]
# ## When you are stuck
#
# - The report ends with a hint for the first promise that does not hold. `report.hints()` adds a second, closer one; `report.hints(6)` shows those for promise 6.
# - When may a replica get its first request, and who tells the swarm? When has an old one answered its last?
# - Section 7 of the lesson shows two files side by side.
# - `dockerlab reset 11` puts the starter back, `dockerlab solve 11` shows one solution. Both keep your version first.
