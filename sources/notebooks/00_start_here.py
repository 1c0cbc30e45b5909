# %% [markdown]
# # Start here: run a container and detect what is in a picture
#
# **You will do**: check your Docker Engine, run a first container, build an object-detection API image and ask it about a picture.
#
# **You will learn**: how a lesson of this course works, and how to get help, start again and clean up.
#
# **You need**: a Docker Engine (`make engine` finds or installs one), about 10 minutes the first time, and 4 GB of free disk.

# %% [markdown]
# ## 1. Is everything in place?
#
# `doctor` looks at each thing that the course needs. A line that says *failed* also says which command mends it.

# %%
%matplotlib inline
import pandas as pd

from dockerlab import doctor, engine
from dockerlab.site import load_site

client = engine.connect()
checks = doctor.checks(load_site(), client)
print(sum(check.status == "failed" for check in checks), "checks failed")

# %% tags=["nbval-ignore-output"]
pd.DataFrame([(check.name, check.status) for check in checks], columns=["what", "state"])

# %% [markdown]
# The table is about your machine, so it may differ from your neighbour's. What matters is that nothing failed. `dockerlab doctor` in a terminal prints the same with what was found.

# %% [markdown]
# ## 2. The first container
#
# An **image** is a file system with a start command, packed up. A **container** is a process that runs in a copy of it.
# The course's first image is `python:3.11-slim-bookworm`. Where no registry answers, the course makes a stand-in from Debian packages under the same name; the next line says which one you have.

# %%
from dockerlab import bases

bases.ensure(bases.SLIM, client)
print("present:", bases.present(client, bases.SLIM))

# %% tags=["nbval-ignore-output"]
print(bases.standin_note(client, bases.SLIM))

# %% [markdown]
# **Guess first.** A virtual machine boots a kernel before your program runs. A container does not. How long will this one take, from the request to the end of its program, in seconds?

# %%
from dockerlab.quiz import beside, guess_box

guess = guess_box("Seconds until the container has run and ended", default=10.0)
guess

# %%
import time

started = time.monotonic()
output = client.containers.run(
    "python:3.11-slim-bookworm",
    ["python", "-c", "import platform; print('Hello from', platform.system())"],
    remove=True,
    labels=engine.labels(),
)
seconds = time.monotonic() - started
print(output.decode().strip())

# %% tags=["nbval-ignore-output"]
beside(guess, round(seconds, 2))

# %% [markdown]
# The engine made a file system from the image, started one process in it and removed everything when the process ended. No kernel was booted: the container used the one that was already running.
#
# **A container is a process with its own view of the machine, so starting one costs about as much as starting a process.**

# %% [markdown]
# ## 3. An image of your own that detects things
#
# The course's detection API is a small FastAPI program: you send it a picture, it answers with labelled boxes. `stage_context` copies its files to `build/detection-api`, where you may edit them. This is the end of its Dockerfile, the part that becomes the image:

# %%
from dockerlab import measure

context = measure.stage_context()
dockerfile = (context / "Dockerfile.multistage").read_text().splitlines()
last_stage = max(number for number, line in enumerate(dockerfile) if line.startswith("FROM"))
for number, line in enumerate(dockerfile[last_stage:], start=last_stage + 1):
    print(f"{number:3} {line}")

# %% [markdown]
# Building it the first time takes a few minutes: one stage installs PyTorch to export the model. Every later build takes the steps from the cache. Lesson 05 explains each line.

# %%
report = measure.build_rung("multistage", context, client)
print("built", measure.RUNGS["multistage"].tag)

# %% tags=["nbval-ignore-output"]
report.frame()

# %% [markdown]
# ## 4. Ask it
#
# `running` starts a container, waits until its health page answers, and always removes it when the block ends, also after an error.
#
# **Guess first.** Here is the picture. How many containers (the steel kind) will the model find in it?

# %%
from matplotlib.image import imread

from dockerlab import container, detect

picture = measure.samples()[0]
print(picture.name, "is", " x ".join(str(side) for side in imread(picture).shape[1::-1]), "pixels")

# %%
found = guess_box("Steel containers that the model will find", default=3)
found

# %%
with container.running("dockerlab-api:multistage", client=client) as service:
    answer = detect.detect(service.url, picture)
frame = answer.frame()
frame.groupby("label").size().rename("found").to_frame()

# %% tags=["nbval-ignore-output"]
detect.draw(picture, answer)

# %%
beside(found, int((frame["label"] == "container").sum()))

# %% [markdown]
# The picture travelled over HTTP into the container and boxes came back. Nothing of PyTorch or Python was needed on your machine for that: the image carries all it needs.
#
# **What you ship is the image; what runs is the same everywhere an engine runs it.**

# %% [markdown]
# ## How the course works
#
# - Each step asks you to **guess, run, explain**: change the guess above its cell, run on, and compare.
# - Everything that the course makes carries the label `dockerlab.course=1`. `dockerlab clean` removes just that, and nothing of yours.
#
# ## Key points
#
# - An image is a packed file system with a start command; a container is a process that runs in it.
# - A container starts in about the time of a process, because no kernel boots.
# - An image carries its own Python, libraries and model; the host needs an engine only.

# %%
from dockerlab.quiz import Quiz

Quiz.load("00").show()

# %% [markdown]
# ## Clean up
#
# The containers are gone already. The image stays, because lesson 05 builds on it; its label says whose it is.

# %%
mine = client.containers.list(all=True, filters={"label": ["dockerlab.course=1", "dockerlab.kind=container"]})
print("containers left behind:", len(mine))
