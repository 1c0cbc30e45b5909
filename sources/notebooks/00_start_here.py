# %% [markdown]
# # Start here: a first container, a first detection
#
# **You will do**: check your Docker Engine, run a first container, build an object-detection API image and ask it about a picture; then hand in a small lab, get hints, start it again and clean up.
#
# **You will learn**: how a lesson and a lab of this course work, and what `dockerlab doctor`, `check`, `reset`, `solve`, `progress` and `clean` do.
#
# **You need**: a Docker Engine (`make engine` finds or installs one), about 15 minutes, 3 minutes of machine time the first time, and 4 GB of free disk.
#
# What you see below a cell was computed on another machine. Run each cell yourself with **Shift + Enter**, from the top: then it is about yours.

# %% [markdown]
# ## 1. Is everything in place?
#
# `doctor` looks at each thing that the course needs: the engine and its version, where it keeps images, which builder makes them, the tools beside it, disk and memory, base images, network and certificates.

# %%
%matplotlib inline
import pandas as pd

from dockerlab.core.settings import load_site
from dockerlab.course import cleanup, doctor
from dockerlab.engine import object_labels, ownership, process_marks
from dockerlab.notebook.session import start

client = start()
cleanup.begin(client)  # what a run that was cut off left goes
checks = doctor.checks(load_site(), client)
print(sum(check.status == "failed" for check in checks), "checks failed")

# %% tags=["nbval-ignore-output"]
pd.set_option("display.max_colwidth", 110)
doctor.frame(checks)

# %% [markdown]
# A line that failed says which command mends it; a warning lets you go on. This is how it looks where no engine answers (the address here leads nowhere, on purpose); `dockerlab doctor` is the same in a terminal.

# %%
lines = !DOCKER_HOST=unix:///nowhere/docker.sock dockerlab doctor
print(*lines[:2], sep="\n")

# %% [markdown]
# ## 2. The first container
#
# An **image** is a file system with a start command, packed up. A **container** is a process that runs in a copy of it.
# The course's first image is `python:3.11-slim-bookworm`. Where no registry answers, the course makes a stand-in from Debian packages under the same name; the next line says which one you have.

# %%
from dockerlab.images import base_images

base_images.ensure(base_images.SLIM, client)
print("present:", base_images.present(client, base_images.SLIM))

# %% tags=["nbval-ignore-output"]
print(base_images.standin_note(client, base_images.SLIM))

# %% [markdown]
# Every step of a lesson has the same rhythm: **you guess, you run, the outcome stands beside your guess, and then it is explained.** Change a guess with the keyboard or the mouse before you run on; nobody keeps it.
#
# **Guess first.** A virtual machine boots a kernel before your program runs. A container does not. How long will this one take, from the request to the end of its program, in seconds?

# %%
from dockerlab.notebook.guess import beside, guess_box

guess = guess_box("Seconds until the container has run and ended", default=10.0)
guess

# %%
import time

started = time.monotonic()
output = client.containers.run(
    "python:3.11-slim-bookworm",
    ["python", "-c", "import platform; print('Hello from', platform.system())"],
    remove=True,
    labels=object_labels.labels(),
)
seconds = time.monotonic() - started
print(output.decode().strip())

# %% tags=["nbval-ignore-output"]
beside(guess, round(seconds, 2))

# %% [markdown]
# That was `docker run` from Python. The engine made a file system from the image, started one process in it and removed everything when the process ended. No kernel was booted: the container used the one that was already running. Lesson 01 takes a closer look.
#
# **A container is a process with its own view of the machine.**

# %% [markdown]
# ## 3. An image of your own that detects things
#
# The course's detection API is a small FastAPI program: you send it a picture, it answers with labelled boxes. `stage_context` copies its files to `build/detection-api`, where you may edit them. This is the end of its Dockerfile, the part that becomes the image:

# %%
from dockerlab.detection import api_client, variants
from dockerlab.notebook.charts import detections

from dockerlab.notebook.listing import listing

context = variants.stage_context()
dockerfile = context / "Dockerfile.multistage"
lines = dockerfile.read_text().splitlines()
last_stage = max(number for number, line in enumerate(lines, 1) if line.startswith("FROM"))
listing(dockerfile, first=last_stage)

# %% [markdown]
# Building it the first time takes a minute or two: one stage installs PyTorch to export the model. Every later build takes the steps from the cache. Lesson 05 explains each line.

# %%
report = variants.build_rung("multistage", context, client)
print("built", variants.RUNGS["multistage"].tag)

# %% tags=["nbval-ignore-output"]
print(f"{len(report.ran)} steps ran, {len(report.cached)} came from the cache, {report.seconds:.1f} s in all")
report.frame().sort_values("seconds", ascending=False).head(5)

# %% [markdown]
# ## 4. Ask it
#
# Here is a picture. **Guess first.** How many containers (the steel kind) will the model find in it?

# %%
from IPython.display import Image

picture = api_client.samples()[0]
Image(picture)

# %%
found = guess_box("Steel containers that the model will find", default=3)
found

# %% [markdown]
# `running` starts a container, waits until its health page answers, and always removes it when the block ends, also after an error.

# %%
from dockerlab.containers import container
from dockerlab.detection import api_client

with container.running("dockerlab-api:multistage", client=client) as service:
    answer = api_client.detect(service.url, picture)
frame = answer.frame()
frame.groupby("label").size().rename("found").to_frame().rename_axis(None)

# %% tags=["nbval-ignore-output"]
detections.draw(picture, answer)

# %%
beside(found, int((frame["label"] == "container").sum()))

# %% [markdown]
# Now try it yourself. This container runs until the end of the lesson, and the **instrument** below sends it what you choose: set the confidence to 0.95, or upload a picture of your own, and press *Detect*. The bars say where the time went. (Instruments are extras; no lesson needs one.)

# %% tags=["nbval-ignore-output"]
from contextlib import ExitStack

from dockerlab.notebook.widgets import DetectionPlayground, close_all

shelf = ExitStack()  # what the clean-up stops
service = shelf.enter_context(container.running("dockerlab-api:multistage", client=client))
DetectionPlayground(service.url, api_client.samples())

# %% [markdown]
# The picture travelled over HTTP into the container and boxes came back. Your machine's Python, if it has one, was not asked: the image carries its own, with the libraries and the model.
#
# **What you ship is the image; what runs is the same everywhere an engine runs it.**
#
# The harbour model was trained with Ultralytics, which states AGPL-3.0 for such models: whoever serves it to others over a network owes them the source of what serves it, unless Ultralytics has sold them another licence. On your own machine that asks nothing of you.

# %% [markdown]
# ## 5. How a lab works
#
# A lesson is read and run; in a **lab** you write. Each lab is a folder in `labs/` with a task and starter files. Lab 00 is a small one: write a Dockerfile whose container says hello. This section plays it through for you, so that you know the tools; then try it yourself in `labs/00_say_hello`.
#
# `reset` gives you the starter, and `check` judges what is there:

# %% tags=["nbval-ignore-output"]
!dockerlab reset 00

# %%
!dockerlab check 00

# %% [markdown]
# Not started, since the Dockerfile holds nothing but a comment. Here is a first try, as a learner may write it. **Guess first**: will a container of this image say hello?

# %%
from pathlib import Path

lab = Path("../labs/00_say_hello")
(lab / "Dockerfile").write_text("""\
FROM python:3.11-slim-bookworm
RUN echo Hello from the harbour
""")
says_hello = guess_box("Does its container say hello?", options=["yes", "no"], default="yes")
says_hello

# %%
from dockerlab.course.grading import check

report = check("00")
report

# %%
beside(says_hello, "yes" if report.passed else "no")

# %% [markdown]
# A check builds what you wrote, runs it, and looks at what it does, never at how it is written. It names what it wanted and what it measured, and one hint: the next thing to look at. Ask for more only if you need it:

# %%
report.hints()

# %% [markdown]
# Still stuck? `solve` puts the course's solution in place. Your own version is not lost: it moves to `labs/.saved`.

# %% tags=["nbval-ignore-output"]
saved = Path("../labs/.saved")
before = set(saved.glob("00-*"))
!dockerlab solve 00

# %%
kept = max(set(saved.glob("00-*")) - before)
print("kept, your version:", "RUN echo" in (kept / "Dockerfile").read_text())
!dockerlab check 00

# %% [markdown]
# `progress` says where you stand in all labs. Lab 00 counts as passed now, since this section has handed in the solution.

# %% tags=["nbval-ignore-output"]
!dockerlab progress

# %% [markdown]
# And `reset` puts the starter back, for you.

# %%
!dockerlab reset 00 > /dev/null
print((lab / "Dockerfile").read_text().strip())

# %% [markdown]
# ## 6. How to clean up
#
# Everything that the course makes on your engine carries your name and a mark of its own, `dockerlab.object`. `dockerlab clean` removes what carries both, and nothing else. A container inherits the labels of its image; that mark it cannot inherit, because no image carries it. To see it without losing anything, this cell makes two containers: one for a learner called *practice*, and one with the same labels, but without the mark, as if you had run an image of the course by hand.
#
# **Guess first**: how many containers does a clean-up for *practice* remove?

# %%
removed = guess_box("Containers that are removed", default=2)
left = !docker ps -aq --filter label=practice=00 | xargs -r docker rm --force  # of a run that was cut off
base = "python:3.11-slim-bookworm"
owned = "--label practice=00 --label dockerlab.course=1 --label dockerlab.owner=practice"
practice = !docker run -d {owned} --label dockerlab.object=example --name dockerlab-practice {base} sleep 300
neighbour = !docker run -d {owned} --label dockerlab.object= --name dockerlab-neighbour {base} sleep 300
removed

# %%
said = !DOCKERLAB_OWNER=practice dockerlab clean
print(said[0].partition(",")[0])

# %%
left = client.containers.list(filters={"label": "practice=00"})
print("still there:", *(each.name for each in left))

# %%
beside(removed, 2 - len(left))

# %% [markdown]
# The mark decides, not the name. `docker system prune`, which many recipes recommend, asks for no label and takes everybody's.

# %% [markdown]
# ## Key points
#
# - An image is a packed file system with a start command; a container is a process that runs in it.
# - A container starts quickly, because no kernel boots.
# - An image carries its own Python, libraries and model; the host needs an engine only.
# - `doctor` says what is missing, `check` judges a lab, `hints`, `solve` and `reset` help, `progress` sums up, `clean` removes what is yours.

# %% [markdown]
# A quiz ends each lesson. Open an answer (Tab and Space, or a click) to see whether it is right, and why.

# %%
from dockerlab.notebook.quiz import Quiz

Quiz.load("00").show()

# %% [markdown]
# ## Clean up
#
# This stops the container of the instrument, and removes the neighbour of section 6 and the versions of lab 00 that this lesson kept. The image `dockerlab-api:multistage` stays, because later lessons build on it.

# %%
import shutil

close_all()
shelf.close()
gone = !docker ps -aq --filter label=practice=00 | xargs -r docker rm --force
for version in set(saved.glob("00-*")) - before:
    shutil.rmtree(version)
print("containers left behind:", len(ownership.containers(client, f"{object_labels.PROCESS_LABEL}={process_marks.mark()}")))
