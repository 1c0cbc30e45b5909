# %% [markdown]
# # Run and share images: one class, many objects
#
# **You will do**: build the detection API with docker-py, run it several times at once, take apart what a container writes, drive one through its whole life, and hand an image on through a registry of your own.
#
# **You will learn**: image, container, layer, registry, tag and digest; every flag of `docker run` that you need daily; the commands for images, containers and disk space, each on the command line and in Python.
#
# **You need**: lesson 00, about 60 minutes of reading, 2 minutes of machine time with warm caches (4 the first time), 1 GB of free disk.

# %%
%matplotlib inline
import json
import secrets

import pandas as pd
import requests
from docker.errors import APIError, BuildError

from dockerlab.containers import container
from dockerlab.core import polling, settings
from dockerlab.course import cleanup
from dockerlab.detection import api_client, variants
from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.notebook.cli_and_python import BothWays, column, which
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.quiz import Quiz
from dockerlab.notebook.session import start

client = start()
RUN = secrets.token_hex(4)  # of this run of the lesson: no image that was there before can have handed it on
MINE = object_labels.labels(lesson="02", run=RUN)  # on everything that this lesson makes
OURS = {"label": f"dockerlab.run={RUN}"}  # finds it again
for lesson in ("02", "02-neighbour"):  # what a run that was cut off left goes
    cleanup.begin(client, f"dockerlab.lesson={lesson}")
context = variants.stage_context(settings.BUILD / "lesson-02")

# %% [markdown]
# ## 1. Build the first image
#
# A **Dockerfile** is a text file: each line changes a file system or says how to start a program in it. An **image** is the result: a read-only file system with a start command.
# The model file comes out of the image of lesson 00, which exported it; so this build needs no PyTorch.

# %%
(context / "Dockerfile.first").write_text("""\
FROM python:3.11-slim-bookworm
WORKDIR /app
COPY requirements-onnx.txt .
RUN pip install --no-cache-dir -r requirements-onnx.txt
COPY --from=dockerlab-api:multistage /app/model/harbour-n.onnx model/
COPY app app
EXPOSE 8000
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"]
""")
if not base_images.present(client, "dockerlab-api:multistage"):
    variants.build_rung("multistage", context, client)  # as in lesson 00: some minutes

# %% [markdown]
# `client.images.build` sends the folder to the engine and returns the image and the log. `rm=True` removes the helper container of each step; docker-py would leave them all behind.

# %%
image, log = client.images.build(
    path=str(context), dockerfile="Dockerfile.first", tag="dockerlab-api:first",
    labels=object_labels.labels(kind="image"), rm=True,
)
lines = [entry.get("stream", "").strip() for entry in log]
print(*(line for line in lines if line.startswith("Step") and "LABEL" not in line), sep="\n")

# %% [markdown]
# The lines say *Step n/m*: that is the **classic builder**, the only one that docker-py's call knows. The command line uses it when you switch its successor, BuildKit, off. If both are the same builder, the second build is found in the first one's cache and gives the same image.

# %%
marks = " ".join(f"--label {key}={value}" for key, value in object_labels.labels(kind="image").items())
said = !cd "$context" && DOCKER_BUILDKIT=0 docker build -f Dockerfile.first -t dockerlab-api:first $marks .
print("the same image:", client.images.get("dockerlab-api:first").id == image.id)
print("the command line calls this builder deprecated:", "DEPRECATED" in " ".join(said))

# %% [markdown]
# ### Why lesson 04 changes the builder
#
# **Guess first.** A Dockerfile has a stage that nothing needs. `docker-py` builds it. What will the classic builder do with that stage?

# %%
stages = ["it is skipped", "it is built all the same", "the build fails"]
stage_guess = guess_box("The stage that nothing needs", options=stages, default=stages[0])
stage_guess

# %%
trial = context / "trial"
trial.mkdir()
(trial / "Dockerfile").write_text("""\
FROM python:3.11-slim-bookworm AS unneeded
RUN echo nobody asks for this file > /file

FROM python:3.11-slim-bookworm
RUN echo hello > /hello
""")
lesson_image = object_labels.labels(kind="image", lesson="02", run=RUN)
_, log = client.images.build(
    path=str(trial), tag="dockerlab-lesson02:classic", labels=lesson_image, rm=True)
classic_built_it = any("nobody asks" in entry.get("stream", "") for entry in log)
beside(stage_guess, stages[1] if classic_built_it else stages[0])

# %% [markdown]
# The course's own `build` talks to BuildKit through the same engine. Here are both builders on that file, and on one with a **cache mount**, the instruction that lesson 04 is about.

# %%
from dockerlab.images.build import build

report = build(trial, tag="dockerlab-lesson02:buildkit", labels=lesson_image, client=client)
buildkit_built_it = any("nobody asks" in step.name for step in report.steps)
(trial / "Dockerfile.mount").write_text("""\
FROM python:3.11-slim-bookworm
RUN --mount=type=cache,target=/root/.cache touch /root/.cache/seen
""")
build(trial, dockerfile="Dockerfile.mount", tag="dockerlab-lesson02:mount",
      labels=lesson_image, client=client)
try:
    client.images.build(path=str(trial), dockerfile="Dockerfile.mount", rm=True)
    refused = ""
except BuildError as error:
    refused = str(error)
print("The classic builder says:", refused.partition(". ")[0])

# %%
pd.DataFrame(
    {"classic builder": [classic_built_it, not refused], "BuildKit": [buildkit_built_it, True]},
    index=["builds the stage that nothing needs", "knows RUN --mount"],
)

# %% [markdown]
# The classic builder reads a Dockerfile from top to bottom and can do no more than it could years ago. **docker-py's `images.build` is fine for a first image; for a quick one you need BuildKit**, and from lesson 04 on you use it.

# %% [markdown]
# ## 2. An image is a stack of read-only layers
#
# Each line of the Dockerfile that changes files made one **layer**: the files that it added, changed or deleted. `docker history` lists them, the newest first.

# %% tags=["nbval-ignore-output"]
!docker history dockerlab-api:first

# %%
layers = BothWays()
said = !docker history --no-trunc --format json dockerlab-api:first
cli = [line for line in column(said, "CreatedBy") if "pip install" in line]
py = [entry["CreatedBy"] for entry in image.history() if "pip install" in entry["CreatedBy"]]
layers.add("docker history: the pip line", cli, py)

base = client.images.get("python:3.11-slim-bookworm").attrs["RootFS"]["Layers"]
said = !docker image inspect dockerlab-api:first
cli, py = json.loads("".join(said))[0]["RootFS"]["Layers"], image.attrs["RootFS"]["Layers"]
layers.add("docker image inspect: layers above the base", len(cli) - len(base), len(py) - len(base))
layers

# %%
print("the lowest layers are the base's own:", py[: len(base)] == base)

# %% [markdown]
# An image adds its layers to those of its base and changes none of them. It has fewer than the Dockerfile has lines below FROM: EXPOSE and CMD made none, since they change the image's settings only. **Layers are read-only, so any number of images and containers can stand on the same ones.**

# %% [markdown]
# ## 3. One image, many containers
#
# A **container** is a process that runs in such a file system. Programmers know the relation:
#
# | | class | image |
# |---|---|---|
# | what it is | a definition | a read-only file system and settings |
# | its instance | an object | a container |
# | parameters of the instance | arguments of the constructor | environment, ports, mounts |
# | state of the instance | attributes | the writable layer, the memory of its processes |
#
# Two objects of one class: the first reports whatever it suspects, the second only what it is sure of.

# %%
def start(name, confidence):
    return client.containers.run(
        "dockerlab-api:first", name=f"dockerlab-lesson02-{name}", detach=True,
        environment={"CONFIDENCE": confidence}, ports={"8000/tcp": ("127.0.0.1", None)}, labels=MINE,
    )

loose, strict = start("loose", "0.05"), start("strict", "0.9")
print("one image:", loose.image.id == strict.image.id == image.id)
print("two containers:", loose.id != strict.id)

# %%
from dockerlab.lessons.lesson02_images_and_containers.lifecycle import health

picture = api_client.samples()[0]

def boxes(each):
    health(each.name, client)  # waits until the model is loaded
    url = container.published(each, 8000)
    files = {"image": ("scene.jpg", picture.read_bytes(), "image/jpeg")}
    return len(requests.post(f"{url}/detect", files=files, timeout=30).json()["detections"])

counts = {each.name: boxes(each) for each in (loose, strict)}
print("the loose one finds more:", counts[loose.name] > counts[strict.name])

# %% tags=["nbval-ignore-output"]
pd.Series(counts, name="objects found in the same picture").to_frame()

# %% [markdown]
# **Guess first.** You write `/app/note.txt` in the loose container and delete `requirements-onnx.txt` in the strict one. Then a third container starts from the same image. Which of the two files does the third one see?

# %%
files = ["/app/note.txt", "/app/requirements-onnx.txt"]
third_guess = guess_box("The third container sees", options=[*files, "both", "neither"], default="both")
third_guess

# %%
loose.exec_run(["sh", "-c", "echo checked by Ann > /app/note.txt"])
strict.exec_run(["rm", "/app/requirements-onnx.txt"])
third = start("third", "0.5")

def sees(each, path):
    return each.exec_run(["test", "-e", path]).exit_code == 0

three = {"loose": loose, "strict": strict, "third": third}
seen = {name: [sees(each, path) for path in files] for name, each in three.items()}
pd.DataFrame(seen, index=files)

# %%
third.remove(force=True)
beside(third_guess, which(dict(zip(files, seen["third"]))))

# %% [markdown]
# Every container gets a thin **writable layer** of its own on top of the image. What it writes goes there, and what it deletes is only marked there as deleted. `docker diff` shows that layer: A for added, C for changed, D for deleted.

# %%
diff = BothWays()
said_loose = !docker diff dockerlab-lesson02-loose
said_strict = !docker diff dockerlab-lesson02-strict

def changes(each):  # the engine's answer says 0, 1 and 2
    return [f"{'CAD'[change['Kind']]} {change['Path']}" for change in each.diff()]

def texts(lines):
    return [line for line in lines if line.endswith(".txt")]

diff.add("docker diff: .txt files of the loose one", texts(said_loose), texts(changes(loose)))
diff.add("docker diff: .txt files of the strict one", texts(said_strict), texts(changes(strict)))
diff

# %%
unasked = [line for line in changes(strict) if line.startswith("A") and line.endswith(".pyc")]
print("files ending in .pyc were added, although nobody asked for them:", len(unasked) > 0)

# %% [markdown]
# The `.pyc` files are byte code: Python keeps it beside each module that it imports. **A container writes even when you do not**; lesson 06 measures what that costs at each start.
#
# Now the stack as it lies on your disk, with both containers on top.

# %% tags=["nbval-ignore-output"]
from dockerlab.images import image as images
from dockerlab.lessons.lesson02_images_and_containers.charts_layers import Writable, stack_with_containers

first = images.inspect("dockerlab-api:first", client)
rows = client.api.containers(size=True, filters=OURS)
sizes = {row["Names"][0].strip("/"): row.get("SizeRw", 0) for row in rows}
stack_with_containers(first, [
    Writable(loose.name, sizes[loose.name], ("A /app/note.txt",)),
    Writable(strict.name, sizes[strict.name], ("D /app/requirements-onnx.txt",)),
])

# %%
little = sum(sizes.values()) < 0.05 * first.disk_bytes
print("both writable layers together are under 5 % of the image:", little)

# %% [markdown]
# ### They share memory, too
#
# Code of a class is loaded once for all its objects. Both containers read the same library files from the same layer, so the kernel needs each page of them once.
#
# **Guess first.** Alone, the loose container has some megabytes of unchanged library pages to itself. Of those, what percentage will still be its own once the strict one runs too?

# %%
memory_guess = guess_box("Per cent of its library pages that stay its own", default=100)
memory_guess

# %%
def own_pages(each):
    """Kilobytes of unchanged file pages that no other process uses, as the kernel counts them."""
    lines = each.exec_run(["cat", "/proc/1/smaps_rollup"]).output.decode().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Clean"))


strict.stop()
alone = own_pages(loose)
strict.start()
boxes(strict)
together = own_pages(loose)
print("most pages are shared now:", together < 0.5 * alone)

# %% tags=["nbval-ignore-output"]
beside(memory_guess, f"{together / alone:.0%} of {alone / 1000:.0f} MB")

# %% [markdown]
# A second container costs the disk its writable layer and the memory its own data. Neither its layers nor its library pages exist twice. **That is why ten containers of one image are cheap.**

# %% [markdown]
# ### How long the writable layer lives
#
# **Guess first.** When is `note.txt` still there?

# %%
moments = ["after stop and start", "after rm and run", "both", "neither"]
life_guess = guess_box("note.txt is there", options=moments, default="both")
life_guess

# %%
loose.stop()
loose.start()
kept = {"after stop and start": sees(loose, "/app/note.txt")}
loose.remove(force=True)
loose = start("loose", "0.05")
kept["after rm and run"] = sees(loose, "/app/note.txt")
beside(life_guess, which(kept))

# %% [markdown]
# **The writable layer is born with its container and goes with it.** What must outlast a container belongs into a volume (section 5). `docker commit` would make an image of the layer, but nobody could tell later how that image came about; use a Dockerfile.

# %%
said = !docker rm --force $(docker ps --all --quiet --filter label=dockerlab.run={RUN})
print("containers of this lesson left:", len(client.containers.list(all=True, filters=OURS)))

# %% [markdown]
# ## 4. The life of a container
#
# For the next sections a small program will do: it counts until it is told to stop. Its image carries the label `dockerlab.run`, a number that is new in each run of this lesson, and every container inherits the labels of its image.

# %%
ticker = context / "ticker"
ticker.mkdir()
(ticker / "ticker.py").write_text("""\
import os, signal, sys, time

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
for number in range(1, int(os.environ.get("TICKS", "1000")) + 1):
    print("tick", number, flush=True)
    time.sleep(0.2)
""")
(ticker / "Dockerfile").write_text("""\
FROM python:3.11-slim-bookworm
WORKDIR /app
COPY ticker.py .
CMD ["python", "ticker.py"]
""")
small, _ = client.images.build(
    path=str(ticker), tag="dockerlab-lesson02:ticker", labels=lesson_image, rm=True)
print(small.tags, "carries the label:", small.labels["dockerlab.run"] == RUN)

# %% [markdown]
# `docker run` is two commands in one: `create` makes the container, `start` starts its process. Drive one through all its states on the command line; `watch` notes the state after each command, and waits after a start until the program has said its first tick.

# %%
from dockerlab.lessons.lesson02_images_and_containers.lifecycle import Watch, compare

watch = Watch("dockerlab-lesson02-cli", client, says="tick 1")
said = !docker create --name dockerlab-lesson02-cli dockerlab-lesson02:ticker
watch.after("create")
said = !docker start dockerlab-lesson02-cli
watch.after("start")
said = !docker pause dockerlab-lesson02-cli
watch.after("pause")
said = !docker unpause dockerlab-lesson02-cli
watch.after("unpause")
said = !docker restart dockerlab-lesson02-cli
print(watch.after("restart").after)

# %%
said = !docker stop dockerlab-lesson02-cli
watch.after("stop")
said = !docker start dockerlab-lesson02-cli
watch.after("start")
said = !docker kill dockerlab-lesson02-cli
watch.after("kill")
said = !docker rm dockerlab-lesson02-cli
print(watch.after("rm").after)

# %% [markdown]
# The same in Python: each command is a method of the container. The number in brackets is the exit code.

# %%
twin = client.containers.create("dockerlab-lesson02:ticker", name="dockerlab-lesson02-py", labels=MINE)
watch_py = Watch("dockerlab-lesson02-py", client, says="tick 1")
watch_py.after("create")
for move in (twin.start, twin.pause, twin.unpause, twin.restart,
             twin.stop, twin.start, twin.kill, twin.remove):
    move()
    watch_py.after(move.__name__.replace("remove", "rm"))
compare(watch, watch_py)

# %% [markdown]
# `stop` asks: it sends SIGTERM, and the program left with code 0. `kill` does not ask: 137 is 128 + 9, the number of SIGKILL. One way to the end is missing: the process ends by itself.

# %%
short = Watch("dockerlab-lesson02-short", client)
said = !docker run --detach --name dockerlab-lesson02-short --env TICKS=2 dockerlab-lesson02:ticker
short.after("run")
code = !docker wait dockerlab-lesson02-short
short.after("its process ends")
client.containers.get("dockerlab-lesson02-short").remove()
short.after("rm")
print("exit code, as docker wait prints it:", code[0])

# %% tags=["nbval-ignore-output"]
from dockerlab.lessons.lesson02_images_and_containers.charts import life_cycle

life_cycle([*watch.moves, *short.moves])

# %% [markdown]
# **A container lives as long as its main process, and stays on disk until somebody removes it.**

# %% [markdown]
# ## 5. Every flag of `docker run` that you need daily
#
# Without a flag, `docker run` shows the program's output and returns when it ends.
#
# **Guess first.** Run it so once on the command line and once with docker-py. Both programs end by themselves. How many containers are left afterwards?

# %%
left_guess = guess_box("Containers left after two runs", default=0)
left_guess

# %%
TICKER = "dockerlab-lesson02:ticker"
run = BothWays()
said = !docker run --env TICKS=2 dockerlab-lesson02:ticker
output = client.containers.run(TICKER, environment={"TICKS": "2"}, labels=MINE)
run.add("docker run IMAGE", said, output)

def ended():
    return sum(each.status == "exited" for each in client.containers.list(all=True, filters=OURS))

left = ended()
beside(left_guess, left)

# %% [markdown]
# They are kept so that you can read their logs and files. `--rm` says: remove it when it ends. `-e` sets an environment variable.

# %%
said = !docker run --rm -e STATION=quay-2 dockerlab-lesson02:ticker printenv STATION
output = client.containers.run(TICKER, ["printenv", "STATION"], remove=True,
                               environment={"STATION": "quay-2"}, labels=MINE)
run.add("docker run -e", said, output)

before = ended()
said = !docker run --rm dockerlab-lesson02:ticker true
after_cli = ended()
client.containers.run(TICKER, ["true"], remove=True, labels=MINE)
run.add("docker run --rm: containers left", after_cli - before, ended() - after_cli)
run.frame().tail(2)

# %% [markdown]
# `-d` (detached) returns at once and leaves the program running. `--name` gives the container a name to call it by; no two may have the same. Without it the engine invents one.

# %%
said = !docker run -d --name dockerlab-lesson02-one dockerlab-lesson02:ticker
two = client.containers.run(TICKER, detach=True, name="dockerlab-lesson02-two", labels=MINE)

def state(name):
    return client.containers.get(f"dockerlab-lesson02-{name}").status

run.add("docker run -d: state when the call is back", state("one"), state("two"))

# %%
said = !docker run -d --name dockerlab-lesson02-one dockerlab-lesson02:ticker
try:
    client.containers.run(TICKER, detach=True, name="dockerlab-lesson02-two", labels=MINE)
    refusal = ""
except APIError as error:
    refusal = error.explanation
taken = "already in use"
run.add("docker run --name: refused, it is taken", taken in " ".join(said), taken in refusal)
run.frame().tail(2)

# %% [markdown]
# `-p` publishes a port of the container on the host. A container has a network of its own, so without `-p` the port answers only inside. Write `127.0.0.1::8000` and the kernel picks a free host port that only your machine can reach; `docker port` tells which.

# %%
said = !docker run -d --name dockerlab-lesson02-web -p 127.0.0.1::8000 dockerlab-lesson02:ticker \
  python -m http.server 8000
address = !docker port dockerlab-lesson02-web 8000
web = client.containers.run(
    TICKER, ["python", "-m", "http.server", "8000"], detach=True, name="dockerlab-lesson02-web-py",
    ports={"8000/tcp": ("127.0.0.1", None)}, labels=MINE,
)

# %%
def answers(url):
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False

cli = polling.wait_until(lambda: answers(f"http://{address[0]}"), 20)
py = polling.wait_until(lambda: answers(container.published(web, 8000)), 20)
run.add("docker run -p: it answers on the host", cli, py)
run.frame().tail(1)

# %% [markdown]
# `-v` puts a folder of the host, or a **volume** that the engine keeps, at a path of the container. Here a model file is taken out of the image with `docker cp` and handed to containers from a folder; `:ro` means that they may only read it.

# %%
models = context / "models"
models.mkdir()
said = !docker create --name dockerlab-lesson02-source --label dockerlab.lesson=02 --label dockerlab.run={RUN} dockerlab-api:first
said = !docker cp dockerlab-lesson02-source:/app/model/harbour-n.onnx "$models/quay-2.onnx"

said = !docker run --rm -v "$models":/app/models:ro dockerlab-lesson02:ticker ls /app/models
mount = {str(models): {"bind": "/app/models", "mode": "ro"}}
output = client.containers.run(TICKER, ["ls", "/app/models"], volumes=mount, remove=True, labels=MINE)
run.add("docker run -v", said, output)
run.frame().tail(1)

# %% [markdown]
# `--restart` says what happens when the main process ends: `no` (the default), `on-failure:2` (at most two more tries after an error), `always`, `unless-stopped`. This program fails each time.

# %%
said = !docker run -d --name dockerlab-lesson02-tries --restart on-failure:2 dockerlab-lesson02:ticker \
  python -c "raise SystemExit(3)"
client.containers.run(
    TICKER, ["python", "-c", "raise SystemExit(3)"], detach=True, name="dockerlab-lesson02-tries-py",
    restart_policy={"Name": "on-failure", "MaximumRetryCount": 2}, labels=MINE,
)

def tries(name):
    return client.containers.get(f"dockerlab-lesson02-{name}").attrs["RestartCount"], state(name)

polling.wait_until(lambda: tries("tries") == tries("tries-py") == (2, "exited"), 30, interval=0.1)
run.add("docker run --restart on-failure:2: restarts, state", tries("tries"), tries("tries-py"))
run

# %% [markdown]
# ### All of it at once
#
# This is the line that starts a real service: in the background, named, on a host port, with a setting, with its model mounted, and back again after a crash.

# %%
from dockerlab.course.workbench import free_port

port = free_port()  # in a terminal you would write 8000:8000
said = !docker run -d \
  --name dockerlab-lesson02-api \
  -p 127.0.0.1:$port:8000 \
  -e MODEL_NAME=quay-2.onnx \
  -v "$models":/app/model:ro \
  --restart unless-stopped \
  --label dockerlab.lesson=02 --label dockerlab.run={RUN} \
  dockerlab-api:first
print("the model that it serves:", health("dockerlab-lesson02-api", client)["model"])

# %%
api = client.containers.run(
    "dockerlab-api:first",
    detach=True,
    name="dockerlab-lesson02-api-py",
    ports={"8000/tcp": ("127.0.0.1", free_port())},
    environment={"MODEL_NAME": "quay-2.onnx"},
    volumes={str(models): {"bind": "/app/model", "mode": "ro"}},
    restart_policy={"Name": "unless-stopped"},
    labels=MINE,
)
print("the model that it serves:", health(api.name, client)["model"])

# %%
example = BothWays()
cli = client.containers.get("dockerlab-lesson02-api")
api.reload()
example.add("objects found in the picture", boxes(cli), boxes(api))
for key in ("RestartPolicy", "AutoRemove"):
    example.add(key, cli.attrs["HostConfig"][key], api.attrs["HostConfig"][key])
for key in ("Destination", "Mode", "RW"):
    example.add(f"mount: {key}", cli.attrs["Mounts"][0][key], api.attrs["Mounts"][0][key])
print("started alike:", example.all_same)

# %% tags=["nbval-ignore-output"]
example

# %% [markdown]
# The image holds no `quay-2.onnx`; the mounted folder does. One image, another model: that is what `-e` and `-v` are for.
#
# **Guess first.** The main process of the service is ended from inside, as in a crash. Later you say `docker stop`. Is the service up after each?

# %%
moments = ["after the crash", "after docker stop", "both", "neither"]
policy_guess = guess_box("With unless-stopped it is up again", options=moments, default="both")
policy_guess

# %%
up = {}
said = !docker exec dockerlab-lesson02-api python -c "import os; os.kill(1, 15)"
polling.wait_until(lambda: tries("api")[0] == 1, 20)
up["after the crash"] = health("dockerlab-lesson02-api", client)["status"] == "ok"

said = !docker stop dockerlab-lesson02-api
up["after docker stop"] = polling.wait_until(lambda: state("api") == "running", 2)
beside(policy_guess, which(up))

# %% [markdown]
# **The engine restarts what ended by itself, and respects what you stopped.** Lesson 07 goes on from here: health, limits, logs.

# %%
said = !docker rm --force \
    $(docker ps --all --quiet --filter label=dockerlab.run={RUN} --filter name=api)
left = client.containers.list(all=True, filters=OURS | {"name": "api"})
print("containers of the service left:", len(left))

# %% [markdown]
# ## 6. Look at containers and work with them
#
# `docker ps` lists what runs, `docker ps -a` all that exist. The columns are made for people, and `--format "table …"` chooses them. **In a program never cut columns apart: ask for `--format json`, or use docker-py.**

# %% tags=["nbval-ignore-output"]
# A notebook wants each brace twice; in a terminal it is {{.Names}} and so on
!docker ps --filter label=dockerlab.run={RUN} \
    --format "table {{{{.Names}}}}\t{{{{.Command}}}}\t{{{{.Status}}}}\t{{{{.Ports}}}}"

# %%
look = BothWays()
said = !docker ps --filter label=dockerlab.run={RUN} --format json
py = [each.name for each in client.containers.list(filters=OURS)]
look.add("docker ps", column(said, "Names"), py)

said = !docker ps -a --filter label=dockerlab.run={RUN} --filter name=tries --format json
tried = client.containers.list(all=True, filters=OURS | {"name": "tries"})
py = [f"{each.name}:{each.status}" for each in tried]
look.add("docker ps -a (named tries)", column(said, "Names", "State"), py)
look

# %% [markdown]
# `stop`, `start` and `rm` take a name, or several. `docker rm` refuses a container that runs: stop it first, or use `--force`.

# %%
said = !docker stop dockerlab-lesson02-one
two.stop()
look.add("docker stop", state("one"), state("two"))
said = !docker start dockerlab-lesson02-one
two.start()
look.add("docker start", state("one"), state("two"))
look.frame().tail(2)

# %%
said = !docker rm dockerlab-lesson02-web
try:
    web.remove()
    refusal = ""
except APIError as error:
    refusal = error.explanation
look.add("docker rm of a running one: refused", "is running" in " ".join(said), "is running" in refusal)

said = !docker stop --timeout 0 dockerlab-lesson02-web
said = !docker rm dockerlab-lesson02-web
web.stop(timeout=0)
web.remove()
left = {each.name for each in client.containers.list(all=True, filters=OURS)}
look.add("docker rm: gone", "dockerlab-lesson02-web" not in left, "dockerlab-lesson02-web-py" not in left)
look.frame().tail(2)

# %% [markdown]
# ### Read what it says
#
# `docker logs` prints what the main process wrote so far, also after it ended. `docker logs -f` follows: it goes on until the container ends. Here one counts to six, and docker-py notes when each line arrives.

# %%
import time

said = !docker run -d --name dockerlab-lesson02-six -e TICKS=6 dockerlab-lesson02:ticker
six = client.containers.get("dockerlab-lesson02-six")
arrived = [(time.monotonic(), line.decode().strip()) for line in six.logs(stream=True, follow=True)]
followed = !docker logs -f dockerlab-lesson02-six
look.add("docker logs -f", followed, [line for _, line in arrived])
said = !docker logs --tail 2 dockerlab-lesson02-six
look.add("docker logs --tail 2", said, six.logs(tail=2))
print("the lines came one by one:", arrived[-1][0] - arrived[0][0] > 0.5)

# %% [markdown]
# ### Go inside
#
# `docker exec` starts another process in a running container. With `-it` it is connected to your terminal: that is how you open a shell in it. In this notebook the shell gets its line from `-c`.

# %%
!docker exec -it dockerlab-lesson02-one bash -c "tty; ls; exit"

# %%
said = !docker exec dockerlab-lesson02-one cat /proc/1/comm
result = two.exec_run(["cat", "/proc/1/comm"])
look.add("docker exec", said, result.output)
!docker exec dockerlab-lesson02-one sh -c "exit 7"
look.add("docker exec: exit code", _exit_code, two.exec_run(["sh", "-c", "exit 7"]).exit_code)
look.frame().tail(2)

# %% [markdown]
# ### See its settings and what it uses
#
# `docker inspect` prints everything that the engine knows about a container; docker-py has the same in `attrs`. `docker stats` shows use of CPU and memory, and does so for ever; `--no-stream` takes one sample. To have a limit to show, this container may use 64 MiB.

# %%
said = !docker run -d --name dockerlab-lesson02-small --memory 64m dockerlab-lesson02:ticker
small = client.containers.get("dockerlab-lesson02-small")
said = !docker inspect dockerlab-lesson02-small
attrs = json.loads("".join(said))[0]
look.add("docker inspect: command", attrs["Config"]["Cmd"], small.attrs["Config"]["Cmd"])
limits = [each["HostConfig"]["Memory"] for each in (attrs, small.attrs)]
look.add("docker inspect: memory limit, bytes", *limits)
print("all that both tell is the same:", attrs == small.attrs)

# %%
said = !docker stats --no-stream --format json dockerlab-lesson02-small
usage = small.stats(stream=False)
limit = usage["memory_stats"]["limit"] / 2**20
look.add("docker stats: limit", column(said, "MemUsage")[0].split(" / ")[1], f"{limit:.0f}MiB")
look.add("docker stats: processes", column(said, "PIDs"), [usage["pids_stats"]["current"]])
look.frame().tail(4)

# %% tags=["nbval-ignore-output"]
!docker stats --no-stream --format "table {{{{.Name}}}}\t{{{{.CPUPerc}}}}\t{{{{.MemUsage}}}}\t{{{{.PIDs}}}}" \
    dockerlab-lesson02-one dockerlab-lesson02-two dockerlab-lesson02-small

# %% [markdown]
# ### Remove all that have ended
#
# `docker container prune` removes every stopped container on the engine, whoever made it. With a filter it takes only those with your label. To see that, a **neighbour** with another label has ended, too.

# %%
NEIGHBOURS = {"label": "dockerlab.lesson=02-neighbour"}
neighbour = client.containers.run(
    "python:3.11-slim-bookworm", ["true"], detach=True, name="dockerlab-lesson02-neighbour",
    labels=object_labels.labels(lesson="02-neighbour"),
)
neighbour.wait()

def stopped(filters):
    every = client.containers.list(all=True, filters=filters)
    return [each.name for each in every if each.status == "exited"]

print("ended, ours:", len(stopped(OURS)) > 0, "| ended, the neighbour's:", len(stopped(NEIGHBOURS)) > 0)

# %%
said = !docker container prune --force --filter label=dockerlab.run={RUN}
left_cli = [stopped(OURS), stopped(NEIGHBOURS)]
client.containers.run(TICKER, ["true"], detach=True, labels=MINE).wait()  # one more that has ended
client.containers.prune(filters=OURS)
left_py = [stopped(OURS), stopped(NEIGHBOURS)]
look.add("docker container prune: left of ours", left_cli[0], left_py[0])
look.add("docker container prune: left of the neighbour's", left_cli[1], left_py[1])
look

# %% [markdown]
# **On an engine that you share, prune with a filter.** Without one, the report that a colleague left in a stopped container is gone.

# %% [markdown]
# ## 7. Names, files and leftovers: commands for images
#
# For these, two tiny images will do. Each has two layers: weights, which are the same in both, and a list of labels.

# %%
import random

tiny = context / "tiny"
tiny.mkdir()
(tiny / "weights.bin").write_bytes(random.Random(2).randbytes(5_000_000))
(tiny / "Dockerfile").write_text("FROM scratch\nCOPY weights.bin /\nCOPY labels.txt /\n")

def release(tag, labels, lesson="02"):
    (tiny / "labels.txt").write_text(labels)
    marks = object_labels.labels(kind="image", lesson=lesson, run=RUN if lesson == "02" else "neighbour")
    return client.images.build(
        path=str(tiny), tag=f"dockerlab-lesson02:{tag}", labels=marks, rm=True)[0]

v1, v2 = release("v1", "container, ship"), release("v2", "container, ship, crane")
both = [set(each.attrs["RootFS"]["Layers"]) for each in (v1, v2)]
print("layers that both have:", len(both[0] & both[1]), "of", len(both[0]))

# %% tags=["nbval-ignore-output"]
!docker images --filter label=dockerlab.run={RUN}

# %% [markdown]
# `docker images` lists, `docker tag` gives one more name, `docker rmi` takes a name away; the image itself goes with its last name.

# %%
pictures = BothWays()
said = !docker images --filter label=dockerlab.run={RUN} --filter reference=*:v* --format json
listed = client.images.list(filters=OURS | {"reference": "*:v*"})
py = [tag for each in listed for tag in each.tags]
pictures.add("docker images", column(said, "Repository", "Tag"), py)

said = !docker tag dockerlab-lesson02:v1 dockerlab-lesson02:stable-cli
v1.tag("dockerlab-lesson02", "stable-py")

def named(tag):
    """The id of the image that has this tag now, None where there is none."""
    name = f"dockerlab-lesson02:{tag}"
    return client.images.get(name).id if base_images.present(client, name) else None

same = [named(tag) == v1.id for tag in ("stable-cli", "stable-py")]
pictures.add("docker tag: one more name of v1", *same)
pictures

# %%
said = !docker rmi dockerlab-lesson02:stable-cli
still_v1 = named("v1") == v1.id
client.images.remove("dockerlab-lesson02:stable-py")
pictures.add("docker rmi: the name is gone", named("stable-cli") is None, named("stable-py") is None)
pictures.add("docker rmi: the image is there under its other name", still_v1, named("v1") == v1.id)
pictures.frame().tail(2)

# %% [markdown]
# ### An image as a file
#
# `docker save` writes an image with its names into a tar file, `docker load` reads it back: the way to carry an image where no network leads.

# %%
import tarfile

by_cli, by_py = context / "cli.tar", context / "py.tar"
said = !docker save -o "$by_cli" dockerlab-lesson02:v1
with by_py.open("wb") as file:
    file.writelines(v1.save(named="dockerlab-lesson02:v1"))

def manifest(path):
    with tarfile.open(path) as tar:
        return json.load(tar.extractfile("manifest.json"))[0]

pictures.add("docker save: names in the tar", manifest(by_cli)["RepoTags"], manifest(by_py)["RepoTags"])
counts = [len(manifest(path)["Layers"]) for path in (by_cli, by_py)]
pictures.add("docker save: layers in the tar", *counts)
pictures.frame().tail(2)

# %% [markdown]
# Remove the image, then load what the other side saved.

# %%
said = !docker rmi dockerlab-lesson02:v1
gone_cli = named("v1") is None
said = !docker load -i "$by_py"
same_cli = named("v1") == v1.id

client.images.remove("dockerlab-lesson02:v1")
gone_py = named("v1") is None
loaded = client.images.load(by_cli.read_bytes())[0]
pictures.add("docker rmi of its last name: the image is gone", gone_cli, gone_py)
pictures.add("docker load: its name", said[0].removeprefix("Loaded image: "), loaded.tags[0])
pictures.add("docker load: the same image as before", same_cli, loaded.id == v1.id)
pictures.frame().tail(3)

# %% [markdown]
# ### Images without a name
#
# When you build a tag again, the tag moves to the new image. The old one stays without a name: it is **dangling**, and `docker images` shows `<none>`. `docker image prune` removes dangling images, here again those with our label only.

# %%
def dangling(filters):
    return len(client.images.list(filters=filters | {"dangling": True}))

for number in ("first", "second"):
    release("moving", number)
    release("moving-neighbour", number, lesson="02-neighbour")
print("dangling, ours:", dangling(OURS), "| dangling, the neighbour's:", dangling(NEIGHBOURS))

# %%
said = !docker image prune --force --filter label=dockerlab.run={RUN}
left_cli = [dangling(OURS), dangling(NEIGHBOURS)]
release("moving", "third")  # one more without a name
client.images.prune(filters=OURS | {"dangling": True})
left_py = [dangling(OURS), dangling(NEIGHBOURS)]
pictures.add("docker image prune: left of ours", left_cli[0], left_py[0])
pictures.add("docker image prune: left of the neighbour's", left_cli[1], left_py[1])
pictures

# %% [markdown]
# ## 8. Hand it on: a registry
#
# A **registry** is a server that keeps images for others. Docker Hub is the public one, and it limits how many pulls an address may make. Yours is one container away. It keeps its images in a volume.

# %%
base_images.ensure("registry:2", client)
said = !docker volume create --label dockerlab.lesson=02 --label dockerlab.run={RUN} dockerlab-lesson02-registry
said = !docker run -d --name dockerlab-lesson02-registry --label dockerlab.lesson=02 --label dockerlab.run={RUN} -p 127.0.0.1::5000 \
  -v dockerlab-lesson02-registry:/var/lib/registry registry:2
server = container.published(client.containers.get("dockerlab-lesson02-registry"), 5000)
registry = server.removeprefix("http://")
print("it answers:", polling.wait_until(lambda: answers(f"{server}/v2/"), 30))

# %% tags=["nbval-ignore-output"]
print(base_images.standin_note(client, "registry:2"))

# %% [markdown]
# The name of an image says where it lives: `registry/repository:tag`. Without a registry in front, Docker means Docker Hub. So an image gets one more name before it is pushed.

# %%
said = !docker tag dockerlab-lesson02:v1 $registry/harbour:v1
said = !docker push $registry/harbour:v1
print("pushed:", sum("Pushed" in line for line in said), "layers")

# %% [markdown]
# **Guess first.** Now `v2` goes to the same place. It has two layers and shares the weights with `v1`. How many of its layers will travel?

# %%
push_guess = guess_box("Layers of v2 that are sent", default=2)
push_guess

# %%
v2.tag(f"{registry}/harbour", "v2")
status = {}
for line in client.images.push(f"{registry}/harbour", tag="v2", stream=True, decode=True):
    if "id" in line and "status" in line:
        status[line["id"]] = line["status"]  # the last word on each layer
beside(push_guess, sum(each == "Pushed" for each in status.values()))

# %% tags=["nbval-ignore-output"]
pd.Series(status, name="what became of it").rename_axis("layer of v2").to_frame()

# %% [markdown]
# **A registry keeps each layer once, and only missing layers travel.** Put what changes rarely into early layers, and a new release costs your users little.
#
# One trap: docker-py's `push` raises nothing when the registry refuses; the refusal stands in the stream. Read it.

# %%
stream = client.images.push(f"{registry}/harbour", tag="never-tagged", stream=True, decode=True)
mistakes = [line["error"] for line in stream if "error" in line]
print("no exception, but in the stream:", len(mistakes) == 1)

# %% [markdown]
# ### Digest
#
# After a push Docker names the **digest**: the SHA-256 of the image's manifest, the list of its settings and layers. Four places tell it.

# %%
said = !docker push $registry/harbour:v1
pushed = client.images.get(f"{registry}/harbour:v1")
manifest_types = {"Accept": "application/vnd.docker.distribution.manifest.v2+json, "
                            "application/vnd.oci.image.manifest.v1+json"}
head = requests.head(f"{server}/v2/harbour/manifests/v1", headers=manifest_types, timeout=10)
digest = next(word for word in said[-1].split() if word.startswith("sha256:"))
told = {
    "docker push": digest,
    "docker-py, after the push": pushed.attrs["RepoDigests"][-1].partition("@")[2],
    "docker-py, asking the registry": client.images.get_registry_data(f"{registry}/harbour:v1").id,
    "the registry's HTTP API": head.headers["Docker-Content-Digest"],
}
pd.DataFrame({"the same digest": [each == digest for each in told.values()]}, index=list(told))

# %% [markdown]
# The HTTP API also lists repositories and tags; a browser would show the same.

# %%
print(requests.get(f"{server}/v2/_catalog", timeout=10).json())
print(sorted(requests.get(f"{server}/v2/harbour/tags/list", timeout=10).json()["tags"]))

# %% [markdown]
# ### Pull
#
# Take both images away from this engine, as if it were another machine, and fetch them back.

# %%
share = BothWays()
said = !docker rmi $registry/harbour:v1 $registry/harbour:v2 dockerlab-lesson02:v1 dockerlab-lesson02:v2
share.add("docker rmi: it is gone", named("v1") is None, named("v2") is None)
said = !docker pull --quiet $registry/harbour:v1
pulled = client.images.pull(f"{registry}/harbour", tag="v2")
back = client.images.get(f"{registry}/harbour:v1")
share.add("docker pull: the same image as before", back.id == v1.id, pulled.id == v2.id)
share

# %% [markdown]
# **Guess first.** A team deploys `harbour:stable`. It is `v1` today; its digest is noted. Tomorrow somebody pushes `v2` as `stable`. What does a pull by the noted digest bring?

# %%
digest_guess = guess_box("Pull by the noted digest", options=["v1", "v2", "an error"], default="v2")
digest_guess

# %%
said = !docker tag $registry/harbour:v1 $registry/harbour:stable
said = !docker push $registry/harbour:stable
noted = next(word for word in said[-1].split() if word.startswith("sha256:"))
said = !docker tag $registry/harbour:v2 $registry/harbour:stable
said = !docker push --quiet $registry/harbour:stable
by_tag = client.images.pull(f"{registry}/harbour", tag="stable")
said = !docker pull --quiet $registry/harbour@$noted
by_digest = client.images.get(f"{registry}/harbour@{noted}")
names = {v1.id: "v1", v2.id: "v2"}
print("pull by tag:", names[by_tag.id])
beside(digest_guess, names[by_digest.id])

# %% [markdown]
# **A tag is a name that somebody can move. A digest is the content itself.** Deploy by digest what must not change; lesson 09 pins bases in the same way.

# %% [markdown]
# ## 9. Disk space: the whole engine
#
# `docker system df` sums up what lies on the disk; `-v` lists every piece.

# %% tags=["nbval-ignore-output"]
!docker system df

# %%
space = BothWays()
said = !docker system df -v --format json
listed, known = json.loads("".join(said)), client.df()

def mine(names):
    return [name.strip("/") for name in names if "lesson02-registry" in name]

space.add("docker system df -v: containers", mine(each["Names"] for each in listed["Containers"]),
          mine(each["Names"][0] for each in known["Containers"]))
space.add("docker system df -v: volumes", mine(each["Name"] for each in listed["Volumes"]),
          mine(each["Name"] for each in known["Volumes"]))
said = !docker volume ls --filter label=dockerlab.run={RUN} --format json
py = [each.name for each in client.volumes.list(filters=OURS)]
space.add("docker volume ls", column(said, "Name"), py)
space

# %% [markdown]
# ### Volumes
#
# Three volumes that no container uses: a named one, one that got no name (**anonymous**), and the neighbour's. The registry's volume is in use.
#
# **Guess first.** You have heard that `docker volume prune` removes all unused volumes. Which of ours will it take?

# %%
volumes = ["the named one", "the anonymous one", "both", "neither"]
volume_guess = guess_box("docker volume prune takes", options=volumes, default="both")
volume_guess

# %%
def make_volumes():
    client.volumes.create("dockerlab-lesson02-named", labels=MINE)
    client.volumes.create(labels=MINE)
    client.volumes.create("dockerlab-lesson02-neighbour", labels=object_labels.labels(lesson="02-neighbour"))

def there():
    found = client.volumes.list(filters=OURS) + client.volumes.list(filters=NEIGHBOURS)
    known = {f"dockerlab-lesson02-{what}": what for what in ("named", "neighbour", "registry")}
    return {known.get(each.name, "anonymous") for each in found}

make_volumes()
before = there()
said = !docker volume prune --force --filter label=dockerlab.run={RUN}
left_cli = there()
taken = before - left_cli
beside(volume_guess, which({"the named one": "named" in taken, "the anonymous one": "anonymous" in taken}))

# %%
make_volumes()
client.volumes.prune(filters=OURS)
space.add("docker volume prune: left", left_cli, there())

said = !docker volume prune --all --force --filter label=dockerlab.run={RUN}
left_cli = there()
make_volumes()
client.volumes.prune(filters=OURS | {"all": True})
space.add("docker volume prune --all: left", left_cli, there())
space.frame().tail(2)

# %% [markdown]
# Since Docker 23 `volume prune` takes anonymous volumes only; named ones need `--all`. In both cases a volume in use stays, and so does what lacks the label.

# %% [markdown]
# ### `docker system prune`: read before you say yes
#
# Tutorials end with `docker system prune -a` to *clean up everything unused*. With our filter it should be harmless. Run it, answer *no*, and read what it would do.
#
# **Guess first.** Build steps carry no labels. What will `docker system prune --filter label=…` do with the build cache?

# %%
fates = ["stays", "loses this lesson's steps", "goes, all of it"]
cache_guess = guess_box("With the filter, the build cache", options=fates, default="stays")
cache_guess

# %%
said = !echo n | docker system prune --all --filter label=dockerlab.run={RUN}
promised = [line.strip("- ") for line in said if line.strip().startswith("- ")]
print(*promised, sep="\n")

# %%
beside(cache_guess, fates[2] if "all build cache" in promised else fates[0])

# %% [markdown]
# The filter holds for containers, networks and images, and the cache is deleted all the same: the course's tests let it happen on a spare engine, where nobody minds. Here it would cost you the exported model and every installed package. And in spite of its name, *everything* leaves the volumes alone unless you add `--volumes`.
#
# So do what it does, without the cache: it is three prunes, each with the filter. docker-py has no other way anyhow.

# %%
def leave_something():
    client.networks.create("dockerlab-lesson02-net", labels=MINE)
    client.containers.run(TICKER, ["true"], detach=True, labels=MINE).wait()
    release("moving", str(random.random()))

def lying_about():
    networks = len(client.networks.list(filters=OURS))
    return {"stopped containers": len(stopped(OURS)), "networks": networks,
            "dangling images": dangling(OURS)}

leave_something()
before = lying_about()
said = !docker container prune --force --filter label=dockerlab.run={RUN}
said = !docker network prune --force --filter label=dockerlab.run={RUN}
said = !docker image prune --force --filter label=dockerlab.run={RUN}
left_cli = lying_about()
pd.DataFrame({"before": before, "after": left_cli})

# %%
leave_something()
client.containers.prune(filters=OURS)
client.networks.prune(filters=OURS)
client.images.prune(filters=OURS | {"dangling": True})
space.add("docker system prune, in parts: left of ours", left_cli.items(), lying_about().items())
survivors = [bool(stopped(NEIGHBOURS)), dangling(NEIGHBOURS) > 0, "neighbour" in there()]
print("the neighbour's container, image and volume are still there:", survivors)

# %%
again = build(trial, tag="dockerlab-lesson02:buildkit", labels=lesson_image, client=client)
print("steps that had to run again, because their cache was lost:", len(again.ran))

# %%
tables = [layers, diff, run, look, pictures, share, space]
print(sum(len(each.commands) for each in tables), "answers, each given twice")
print("all the same:", all(each.all_same for each in tables))

# %% [markdown]
# ## Key points
#
# - An image is a stack of read-only layers with settings; a container is a process with a thin writable layer on top. The layer goes with the container, not with `stop`.
# - Containers of one image share its layers on disk and its library pages in memory.
# - `docker run` = `create` + `start`. `-d -p -e -v --name --rm --restart` decide how it runs; nothing of it is in the image.
# - For programs: `--format json` or docker-py, never the columns.
# - A tag can move, a digest cannot. Only missing layers travel.
# - Prune with a label filter, and never `docker system prune` on an engine whose build cache you need.
# - docker-py builds with the classic builder. From lesson 04 on: BuildKit.

# %%
Quiz.load("02").show()

# %% [markdown]
# ## The lab
#
# A colleague has left, and two image files without a word about them. `labs/02_take_over_two_images` is your turn: find out what they are, run them, save what a stopped container holds, and publish one.
#
# ## Clean up
#
# This removes all of this lesson: containers, volumes (the registry's too), networks and the tiny images, and the neighbour's things. `dockerlab-api:first` stays, so that your next build takes seconds; `dockerlab clean` removes it.

# %%
for lesson in ("02", "02-neighbour"):
    cleanup.remove_labelled(client, f"dockerlab.lesson={lesson}")
left = client.containers.list(all=True, filters={"name": "dockerlab-lesson02"})
for filters in (OURS, NEIGHBOURS):
    for things in (client.images, client.networks, client.volumes):
        left += things.list(filters=filters)
print("left behind:", len(left))
