# %% [markdown]
# # Rebuild in a second: layers and cache
#
# **You will do**: build the detection API in two orders and rebuild both after one edit; predict, for seven edits, which steps will run; watch deleted files stay; measure what pip, uv and apt download with and without a cache mount; take a cached build from a registry.
#
# **You will learn**: what makes a layer, what a step of the cache is known by, how to read a rebuild, and how to get one down to a second.
#
# **You need**: lesson 03, about 50 minutes of your time, of which the machine takes about two (four the first time), and 1 GB of free disk.

# %%
%matplotlib inline
import contextlib
import time

import pandas as pd
import requests

from dockerlab.containers import container
from dockerlab.core import units
from dockerlab.course import cleanup
from dockerlab.course.workbench import Bench
from dockerlab.detection import variants
from dockerlab.engine import connection
from dockerlab.images import base_images, image
from dockerlab.images.build import build
from dockerlab.images.cache_model import BuildDiary, frame
from dockerlab.lessons.lesson04_cache import download_meter, plain_progress
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.listing import difference, listing
from dockerlab.notebook.predict import marked, score, tick_steps
from dockerlab.notebook.quiz import Quiz
from dockerlab.notebook.session import start

pd.set_option("display.max_colwidth", None, "display.width", 200)
client = start(timeout=900)
bench = Bench("04", client)
shelf = contextlib.ExitStack()  # closes what several cells share
mark = str(time.time_ns())      # makes an edit of today differ from one of yesterday

# %% [markdown]
# ## 1. What makes a layer
#
# An image is a stack of **layers**: each holds the files that one instruction wrote. You will read in many tutorials that *every* instruction makes one. This Dockerfile has ten instructions below `FROM`.
#
# **Guess first.** How many layers do they add?

# %%
layers_guess = guess_box("Layers that the ten instructions add", default=10)
layers_guess

# %%
bench.write({"note.txt": "hello\n"})
bench.build("ten", """\
FROM python:3.11-slim-bookworm
ARG RELEASE=1.0
ENV MODE=production
WORKDIR /srv
COPY note.txt .
RUN echo hello > greeting.txt
RUN true
EXPOSE 8000
USER 10001
LABEL topic=layers
CMD ["cat", "note.txt"]
""")
# A notebook wants each brace twice; in a terminal it is {{.Size}}  {{.CreatedBy}}
!docker history --format "{{{{.Size}}}}  {{{{.CreatedBy}}}}" dockerlab-lesson04:ten | head -7

# %% [markdown]
# `docker history` lists the instructions, newest first, but not which of them made a layer: `0B` may be an empty layer or none. The image's own config knows.

# %%
ten, base = (image.inspect(name, client) for name in ("dockerlab-lesson04:ten", base_images.SLIM))
entries = ten.config["history"][len(base.config["history"]):][:10]
rows = [(entry["created_by"].split(" # ")[0], not entry.get("empty_layer", False)) for entry in entries]
table = pd.DataFrame(rows, columns=["instruction", "makes a layer"])
table

# %%
beside(layers_guess, int(table["makes a layer"].sum()))

# %% [markdown]
# `WORKDIR`, `COPY` and `RUN` make layers (`ADD` too), even a `RUN` that changes nothing. All others set a line of the config. (`|1 RELEASE=1.0` is the `ARG`: each `RUN` below it sees it. Section 3 comes back to that.)
#
# **Only what can write files makes a layer, and only those steps are carried out or taken from the cache.**

# %% [markdown]
# ## 2. Bad order, good order
#
# The same API twice. The bad order copies everything, then installs. The good order copies the list of packages, installs, then copies the code. In the comparison, `-` marks what only the bad order has, `+` what only the good order has.

# %%
api = variants.stage_context(bench.empty("api"))
(api / "Dockerfile.bad").write_text("""\
FROM python:3.11-slim-bookworm
WORKDIR /app
COPY . .
RUN pip install -r requirements-onnx.txt
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]
""")
(api / "Dockerfile.good").write_text("""\
FROM python:3.11-slim-bookworm
WORKDIR /app
COPY requirements-onnx.txt .
RUN pip install -r requirements-onnx.txt
COPY app app
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]
""")
difference(api / "Dockerfile.bad", api / "Dockerfile.good")

# %%
for order in ("bad", "good"):
    build(api, dockerfile=f"Dockerfile.{order}", tag=f"dockerlab-lesson04:{order}", client=client)

# %% [markdown]
# Both images are there. Now somebody changes one line of `app/main.py`. `meter.build` is `build` behind a proxy that counts what the steps download.
#
# **Guess first.** How many times faster is the good order's rebuild?

# %%
faster = guess_box("Times faster in the good order", default=2.0)
faster

# %%
main = api / "app" / "main.py"
main.write_text(main.read_text() + f"\n# edited: {mark}\n")
meter = shelf.enter_context(download_meter.metered(client, name="dockerlab-lesson04-meter"))
rebuilt, received = {}, {}
for order in ("bad", "good"):
    name = f"{order} order"
    rebuilt[name], received[name] = meter.build(
        api, dockerfile=f"Dockerfile.{order}", tag=f"dockerlab-lesson04:{order}")
    print(name, "ran:", *rebuilt[name].ran)

# %% tags=["nbval-ignore-output"]
from dockerlab.notebook.charts.timeline import compare_timelines

compare_timelines(rebuilt, ratio=True)

# %% [markdown]
# The same as an **instrument**, a picture that answers to clicks and keys. Choose the step that took longest: its log tells what it did all that time. (No instrument is needed to finish a lesson.)

# %% tags=["nbval-ignore-output"]
from dockerlab.notebook.widgets import CachePredictor, close_all, compare_builds

compare_builds(rebuilt)

# %% tags=["nbval-ignore-output"]
ratio = rebuilt["bad order"].seconds / rebuilt["good order"].seconds
beside(faster, round(ratio, 1))

# %%
assert ratio > 3
print("the good order is more than 3 times faster:", ratio > 3)
bad, good = received["bad order"] > 20e6, received["good order"] > 0
print("one changed line downloads all packages again:")
print("  in the bad order:", bad, "| in the good order:", good)

# %% [markdown]
# A step comes from the cache only if the step before it is the very same one. `COPY . .` took in the edit, so the installation stood behind a new step and had to run.
#
# **Put what changes rarely above what changes often: packages first, your code last.**

# %% [markdown]
# ## 3. Which steps will run? Seven edits
#
# Now you predict. This project has six steps. Read it for a moment: it has an `ARG`, and a `RUN` that never mentions it.

# %%
project = bench.empty("day")
for name, text in {
    "Dockerfile": """\
# The service of the harbour office
FROM python:3.11-slim-bookworm
WORKDIR /app
COPY requirements.txt .
RUN pip install -r requirements.txt
ARG RELEASE=dev
RUN mkdir data
COPY app app
RUN python -m compileall -q app
ENV RELEASE=$RELEASE
CMD ["python", "-m", "app.main"]
""",
    "requirements.txt": "itsdangerous==2.2.0\n",
    "app/main.py": f"print('harbour', {mark})\n",
    "app/notes.md": "Ask the harbour master.\n",
    ".dockerignore": ".git\n",
}.items():
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text(text)
listing(project / "Dockerfile")

# %% [markdown]
# `day` builds the project and notes what went into each build: the Dockerfile, a digest of each file, the build arguments, the base. From that and from BuildKit's report it says *why* a step ran.

# %%
day = BuildDiary(project, tag="dockerlab-lesson04:day", client=client)
day.build()
ticks, edits = {}, {}
print(*day.steps, sep="\n")

# %% [markdown]
# ### Edit 1: a file is saved again, its content stays
#
# `touch` gives `app/main.py` a new time of change. Tick what will run.

# %%
ticks["touch a file"] = tick_steps("touch app/main.py", day.steps, ["COPY app", "RUN python"])
ticks["touch a file"]

# %%
(project / "app/main.py").touch()
day.build()
edits["touch a file"] = day.explain()
marked(ticks["touch a file"], edits["touch a file"])

# %% [markdown]
# Nothing ran. **BuildKit compares content, name and mode of a file, never its time.** So a fresh `git clone` in CI can hit the cache too.

# %% [markdown]
# ### Edit 2: another comment in the Dockerfile

# %%
ticks["Dockerfile comment"] = tick_steps("another comment in line 1", day.steps, ["WORKDIR", "COPY", "RUN"])
ticks["Dockerfile comment"]

# %%
dockerfile = project / "Dockerfile"
dockerfile.write_text(dockerfile.read_text().replace("# The service of", "# Made for"))
day.build()
edits["Dockerfile comment"] = day.explain()
marked(ticks["Dockerfile comment"], edits["Dockerfile comment"])

# %% [markdown]
# A step is known by its own text. Comments belong to no step. (With `COPY . .` the Dockerfile would be one of the copied files, and this edit would not be free.)

# %% [markdown]
# ### Edit 3: a comment in requirements.txt
#
# Now a comment in a file that a step copies. No package changes.

# %%
ticks["requirements comment"] = tick_steps("a comment in requirements.txt", day.steps)
ticks["requirements comment"]

# %%
requirements = project / "requirements.txt"
requirements.write_text(requirements.read_text() + f"# looked through at {mark}\n")
day.build()
edits["requirements comment"] = day.explain()
marked(ticks["requirements comment"], edits["requirements comment"])

# %% [markdown]
# The builder does not know what a requirement is; it sees bytes. One byte in, and everything from there on runs. Section 7 makes that cheap.

# %% [markdown]
# ### Edit 4: a line of application code

# %%
ticks["app code"] = tick_steps("one more line in main.py", day.steps, ["COPY app", "RUN python"])
ticks["app code"]

# %%
(project / "app/main.py").write_text(f"print('harbour', {mark})\nprint('open')\n")
day.build()
edits["app code"] = day.explain()
marked(ticks["app code"], edits["app code"])

# %% [markdown]
# ### Edit 5: another build argument
#
# `--build-arg RELEASE=…`. Only the `ENV` at the end uses it.

# %%
ticks["build argument"] = tick_steps("--build-arg RELEASE=1.1", day.steps)
ticks["build argument"]

# %%
day.build(buildargs={"RELEASE": "1.1"})
edits["build argument"] = day.explain()
marked(ticks["build argument"], edits["build argument"])

# %% [markdown]
# An `ARG` is a variable of every `RUN` below it, used or not; the builder cannot see whether your command reads it. **Declare an ARG as far down as you can. A build date at the top of the file makes every build a first build.**

# %% [markdown]
# ### Edit 6: one more line in .dockerignore
#
# It keeps `app/notes.md` out of the **build context**, the files that are sent to the engine.

# %%
ticks[".dockerignore"] = tick_steps("**/*.md in .dockerignore", day.steps, ["COPY", "RUN"])
ticks[".dockerignore"]

# %%
(project / ".dockerignore").write_text(".git\n**/*.md\n")
day.build(buildargs={"RELEASE": "1.1"})
edits[".dockerignore"] = day.explain()
marked(ticks[".dockerignore"], edits[".dockerignore"])

# %% [markdown]
# Only a step that copied the file notices. A pattern that hides nothing costs nothing.

# %% [markdown]
# ### Edit 7: you take edit 6 back

# %%
ticks["taken back"] = tick_steps("the old .dockerignore", day.steps, ["COPY app", "RUN python"])
ticks["taken back"]

# %%
(project / ".dockerignore").write_text(".git\n")
day.build(buildargs={"RELEASE": "1.1"})
edits["taken back"] = day.explain()
marked(ticks["taken back"], edits["taken back"])

# %% [markdown]
# **The cache holds every build that the engine still keeps, not just the last one.** Switching between two branches costs each of them once.
#
# All seven edits, and how well you foresaw them:

# %% tags=["nbval-ignore-output"]
from dockerlab.lessons.lesson04_cache.charts import rerun_matrix

rerun_matrix(edits)

# %%
print(score([marked(ticks[name], edits[name]) for name in edits]))
disagree = [each for verdicts in edits.values() for each in verdicts if not each.agrees]
assert not disagree, disagree
print("steps where the explanation and BuildKit disagree:", len(disagree))

# %% [markdown]
# More edits, as many as you like: choose one, tick, build. Begin with `chmod 700`: does the mode of a file count?

# %% tags=["nbval-ignore-output"]
CachePredictor(project, "dockerlab-lesson04:yours", {
    "a new empty file app/extra.py": lambda folder: (folder / "app/extra.py").touch(),
    "a file that nothing copies": lambda folder: (folder / "README.md").touch(),
    "chmod 700 app/main.py": lambda folder: (folder / "app/main.py").chmod(0o700),
    "another build argument": lambda folder: {"RELEASE": str(time.time_ns())},
    "an argument that no ARG declares": lambda folder: {"NOBODY": str(time.time_ns())},
})

# %% [markdown]
# ## 4. Outside the folder: the base and the network
#
# All seven edits were in the project. What about things outside? First the base: a tag is a name that its owner may move to another image. Here you are the owner, with two versions of a base and a name that points to the first.

# %%
for version in (1, 2):
    bench.build(f"base-{version}", f"""\
FROM python:3.11-slim-bookworm
RUN echo {version} > /version  # built {mark}
""")
!docker tag dockerlab-lesson04:base-1 dockerlab-lesson04:base
ship = bench.empty("ship")
(ship / "Dockerfile").write_text("""\
FROM dockerlab-lesson04:base
WORKDIR /srv
RUN cp /version seen
CMD ["cat", "seen"]
""")
moved = BuildDiary(ship, tag="dockerlab-lesson04:ship", client=client)
moved.build()
print("the image holds version", bench.run("ship"))

# %%
moves = tick_steps("the tag of the base moves; no file changes", moved.steps)
moves

# %%
!docker tag dockerlab-lesson04:base-2 dockerlab-lesson04:base
moved.build()
print("the image holds version", bench.run("ship"))
marked(moves, moved.explain())

# %% [markdown]
# Your Dockerfile is the same, your files are the same, and you got another image. **FROM is known by the digest of what its tag points to now.** It also works the other way: as long as the engine has an old `python:3.11-slim-bookworm`, it builds on that. `docker build --pull` asks the registry first; lesson 09 pins a digest.
#
# Then the network. `apt-get update`, `git clone` and `curl` bring whatever is out there today. So does `date`, which is quicker to try. **Guess first.** The same build a second later: does the image hold another time?

# %%
clock_guess = guess_box("A second build holds", ["another time", "the same time"], "another time")
clock_guess

# %%
seen = []
for no_cache in (False, False, True):
    bench.build("clock", f"FROM python:3.11-slim-bookworm\nRUN date +%s.%N > /clock  # {mark}\n", no_cache=no_cache)
    seen.append(bench.run("clock", ["cat", "/clock"]))
print("with --no-cache it holds another time:", seen[2] != seen[1])
beside(clock_guess, "the same time" if seen[1] == seen[0] else "another time")

# %% [markdown]
# The text of the step is the same, so the answer of the first run is good for ever. An `apt-get update` in a `RUN` of its own gives you a list of last month, and the `install` below it then asks for packages that are gone. **Update and install in one `RUN`; `--no-cache` asks the world again.**

# %% [markdown]
# ## 5. One stray file
#
# A service writes its log into the project folder. Its Dockerfile copies everything.

# %%
stray = bench.empty("stray")
(stray / "Dockerfile").write_text("""\
FROM python:3.11-slim-bookworm
WORKDIR /app
COPY . .
RUN python -m compileall -q .
""")
(stray / "main.py").write_text(f"print({mark})\n")
(stray / "debug.log").write_text("12:00 started\n")
noisy = BuildDiary(stray, tag="dockerlab-lesson04:stray", client=client)
noisy.build()

with (stray / "debug.log").open("a") as log:
    log.write("12:01 still here\n")
noisy.build()
frame(noisy.explain())

# %% [markdown]
# The report names the culprit. One line of `.dockerignore` keeps it out, and the next minute of logging costs nothing:

# %%
(stray / ".dockerignore").write_text("*.log\n")
noisy.build()
with (stray / "debug.log").open("a") as log:
    log.write("12:02 still here\n")
noisy.build()
frame(noisy.explain())

# %% [markdown]
# Logs, `.git`, caches of editors and test runners, outputs of notebooks: each changes without you. **Copy what you name (`COPY app app`), or ignore all that you do not mean.** When a step runs for no reason that you can see, ask which file in the context changed.

# %% [markdown]
# ## 6. Layers only grow
#
# **Guess first.** One step downloads a file of 30 MB and the next deletes it. By how many MB is the image larger than its base?

# %%
kept = guess_box("MB that stay after the deletion", default=0)
kept

# %%
bench.build("two-steps", """\
FROM python:3.11-slim-bookworm
RUN head -c 30000000 /dev/urandom > /weights.bin
RUN rm /weights.bin
""")
bench.build("one-step", """\
FROM python:3.11-slim-bookworm
RUN head -c 30000000 /dev/urandom > /weights.bin && rm /weights.bin
""")
two, one = (image.inspect(f"dockerlab-lesson04:{name}", client) for name in ("two-steps", "one-step"))
base_bytes = image.inspect(base_images.SLIM, client).disk_bytes
beside(kept, round((two.disk_bytes - base_bytes) / 1e6))

# %% tags=["nbval-ignore-output"]
from dockerlab.notebook.charts.layers import layer_stack

layer_stack(two)

# %%
print("wasted with two steps:", units.mb(two.wasted_bytes), "| with one step:", units.mb(one.wasted_bytes))

# %% [markdown]
# A layer is never changed again. `rm` in a later one adds a note that hides the file; you still store, push and pull it (and anybody can read it). **Delete in the step that wrote, or write to where no layer is: section 7.**
#
# The same trap in its most popular form: a `chown -R` for the user that serves. **Guess first**: 30 MB of weights are copied, then given to user 10001. MB in all?

# %%
owned = guess_box("MB above the base after chown -R", default=30)
owned

# %%
import random

bench.write({"weights.bin": random.Random(4).randbytes(30_000_000)})
bench.build("chown", """\
FROM python:3.11-slim-bookworm
COPY weights.bin /srv/
RUN chown -R 10001:10001 /srv
USER 10001
""")
bench.build("copy-chown", """\
FROM python:3.11-slim-bookworm
COPY --chown=10001:10001 weights.bin /srv/
USER 10001
""")
forms = {"RUN chown -R": "chown", "COPY --chown": "copy-chown"}
doubled, right = (image.inspect(f"dockerlab-lesson04:{name}", client) for name in forms.values())
beside(owned, round((doubled.disk_bytes - base_bytes) / 1e6))

# %%
owners = [bench.run(name, ["stat", "-c", "%u:%g", "/srv/weights.bin"]) for name in forms.values()]
above = [units.mb(each.disk_bytes - base_bytes) for each in (doubled, right)]
pd.DataFrame({"owner of the weights": owners, "above the base": above}, index=list(forms))

# %% [markdown]
# A layer holds whole files. A new owner is a new entry in the file system, so `chown` writes every file again. **Give the owner when you copy: `COPY --chown=10001:10001`.** And ask whether the user needs to own it at all: code and weights only have to be readable.

# %% [markdown]
# ## 7. When the step must run: cache mounts
#
# You add one requirement. The installation has to run, that is right; but must it download everything again? A **cache mount** is a folder that the builder lends to a step and keeps for the next build. It is part of no image.
#
# First, the lesson's own mounts of an earlier run go, so that the numbers are those of a first build. The filter makes this harmless to all others:

# %%
pruned = !docker buildx prune --force --filter "description~=dockerlab-lesson04"
left = !docker buildx du --filter "description~=dockerlab-lesson04" --verbose
print("cache mounts of this lesson:", sum("cached mount" in line for line in left))

# %% [markdown]
# ### pip
#
# `peewee` has no wheel on PyPI, so pip downloads its source and builds one. The mount `type=bind` shows the step a file of the context: `requirements.txt` needs no `COPY` and no layer.

# %%
house = bench.empty("house")
PIP = """\
FROM python:3.11-slim-bookworm
WORKDIR /app
RUN --mount=type=bind,source=requirements.txt,target=requirements.txt \\
    --mount=type=cache,id=dockerlab-lesson04-pip,target=/root/.cache/pip \\
    pip install -r requirements.txt
"""
(house / "Dockerfile.pip").write_text(PIP)
needs = house / "requirements.txt"
needs.write_text(f"# {mark}\nuvicorn==0.54.0\npeewee==3.17.9\n")

# %% [markdown]
# The first build fills the mount. Then one more requirement is added, and the step has to run. **Guess first**: will pip build `peewee` again?

# %%
builds_again = guess_box("Does pip build peewee again?", options=["yes", "no"], default="yes")
builds_again

# %%
pip = {}

def install(way, recipe="pip"):
    report, received = meter.build(house, dockerfile=f"Dockerfile.{recipe}", tag=f"dockerlab-lesson04:{recipe}")
    log = report.instructions[-1].log
    pip[way] = {"seconds": report.seconds, "MB downloaded": received / 1e6,
                "built peewee": "Building wheel for peewee" in log}

install("empty mount")
needs.write_text(needs.read_text() + "itsdangerous==2.2.0\n")
install("one more requirement")
beside(builds_again, "yes" if pip["one more requirement"]["built peewee"] else "no")

# %% [markdown]
# You will find `--no-cache-dir` in nearly every tutorial, and it was right as long as pip's cache went into the layer. Beside a cache mount it is not. The mount is full now. Run it:

# %%
(house / "Dockerfile.no-cache-dir").write_text(PIP.replace("pip install", "pip install --no-cache-dir"))
install("--no-cache-dir", "no-cache-dir")
past, more = pip["--no-cache-dir"], pip["one more requirement"]
wasteful = past["MB downloaded"] > 2 * more["MB downloaded"]
assert past["built peewee"] and wasteful
print("--no-cache-dir builds it again, past a full mount:", past["built peewee"])
print("and downloads more than twice as much:", wasteful)

# %% tags=["nbval-ignore-output"]
pd.DataFrame.from_dict(pip, orient="index").round(2)

# %% [markdown]
# pip keeps in its cache the wheels that it built and, if the package index allows it, what it downloaded (PyPI does, some company mirrors do not).
#
# **`--no-cache-dir` tells pip neither to write nor to read its cache. Use it without a mount, never with one.**
#
# ### uv
#
# uv does what pip does, many times faster, and keeps what it downloads from any index. It is needed while the image is built and never after, so it stays in a stage of its own, and a bind mount lends it. (Where its registry answers, `COPY --from=ghcr.io/astral-sh/uv` does the same.) These are the packages of the real API, those that took pip so long in section 2.
#
# **Guess first.** With an empty mount, how many times faster than pip is uv?

# %%
uv_guess = guess_box("Times faster than pip, empty mount", default=2.0)
uv_guess

# %%
fast = variants.stage_context(bench.empty("fast"))
UV = """\
FROM python:3.11-slim-bookworm AS uv
RUN pip install uv

FROM python:3.11-slim-bookworm
WORKDIR /app
ENV UV_LINK_MODE=copy
RUN --mount=type=bind,from=uv,source=/usr/local/bin/uv,target=/bin/uv \\
    --mount=type=bind,source=requirements-onnx.txt,target=requirements.txt \\
    --mount=type=cache,id=dockerlab-lesson04-uv,target=/root/.cache/uv \\
    uv pip install --system -r requirements.txt
COPY app app
"""
(fast / "Dockerfile.uv").write_text(UV)
(fast / "Dockerfile.uv-compile").write_text(UV.replace("--system", "--system --compile-bytecode"))
uv_stage = build(fast, dockerfile="Dockerfile.uv", target="uv", client=client)

# %%
needs = fast / "requirements-onnx.txt"
ways = {"pip, no mount (section 2)": (rebuilt["bad order"], received["bad order"])}
for way, recipe, line in [
    ("uv, empty mount", "uv", f"# {mark}"),
    ("uv, one more requirement", "uv", "itsdangerous==2.2.0"),
    ("uv, full mount, byte code", "uv-compile", f"# again {mark}"),
]:
    needs.write_text(f"{needs.read_text()}{line}\n")
    ways[way] = meter.build(fast, dockerfile=f"Dockerfile.{recipe}", tag=f"dockerlab-lesson04:{recipe}")

# %% tags=["nbval-ignore-output"]
from dockerlab.lessons.lesson04_cache.charts import install_costs

rows = [(way, max(step.seconds for step in report.instructions), count / 1e6)
        for way, (report, count) in ways.items()]
spent = pd.DataFrame(rows, columns=["way", "seconds", "megabytes"])
install_costs(spent)

# %% tags=["nbval-ignore-output"]
seconds, megabytes = (spent.set_index("way")[column] for column in ("seconds", "megabytes"))
beside(uv_guess, round(seconds["pip, no mount (section 2)"] / seconds["uv, empty mount"], 1))

# %%
quicker = seconds["uv, empty mount"] < 0.6 * seconds["pip, no mount (section 2)"]
lighter = megabytes["uv, one more requirement"] < 0.5 * megabytes["uv, empty mount"]
assert quicker and lighter
print("uv with an empty mount beats pip:", quicker)
print("one more requirement downloads less than half:", lighter)

# %% [markdown]
# Part of uv's lead is work not done: pip byte-compiles what it installs, uv only when asked; the last bar is the fair one. Without byte code, the first start of a container has to do it (lesson 06 measures that).
#
# None of it is in the images: not the caches, not the requirements, not uv.

# %%
look = "find / -xdev -path '*/.cache/*' -o -path /app/requirements.txt -o -type f -name uv | wc -l"
for name in ("pip", "uv"):
    print(f"caches, requirements or uv in the image {name}:", bench.run(name, ["sh", "-c", look]), "files")

# %% [markdown]
# ### apt
#
# apt keeps two folders: the lists of what there is, and the packages. Debian's images delete packages after each installation; the first `RUN` stops that. `sharing=locked` lets one build at a time use the folder, as apt demands.

# %%
APT = """\
FROM python:3.11-slim-bookworm
RUN rm -f /etc/apt/apt.conf.d/docker-clean \\
    && echo 'Binary::apt::APT::Keep-Downloaded-Packages "true";' > /etc/apt/apt.conf.d/keep-cache
ARG RUN_OF_THE_LESSON
RUN --mount=type=cache,id=dockerlab-lesson04-apt,target=/var/cache/apt,sharing=locked \\
    --mount=type=cache,id=dockerlab-lesson04-apt-lists,target=/var/lib/apt/lists,sharing=locked \\
    apt-get update && apt-get install -y --no-install-recommends libglib2.0-0
"""
apt = {}
for name, recipe in (("first", APT), ("second", APT.replace("libglib2.0-0", "libglib2.0-0 tini"))):
    (house / f"Dockerfile.apt-{name}").write_text(recipe)
    _, apt[name] = meter.build(house, dockerfile=f"Dockerfile.apt-{name}",
                               tag=f"dockerlab-lesson04:apt-{name}", buildargs={"RUN_OF_THE_LESSON": mark})

# %%
little = apt["second"] < apt["first"] / 5
assert little
print("one more package downloads less than a fifth:", little)
new = set(image.inspect("dockerlab-lesson04:apt-second", client).paths()) - set(base.paths())
left = [path for path in new if path.startswith(("var/lib/apt/lists/", "var/cache/apt/"))]
print("lists and packages that apt left in the image:", len(left))

# %% tags=["nbval-ignore-output"]
print(*(f"{name} build: {count / 1e6:.1f} MB downloaded" for name, count in apt.items()), sep="\n")

# %% [markdown]
# No `rm -rf /var/lib/apt/lists/*` is needed: the lists were never in a layer. **A cache mount belongs to the engine, not to the image. It may be empty at any time, so a build must work without it; it just takes longer.**

# %%
mounts = !docker buildx du --filter "description~=dockerlab-lesson04" --verbose
print(*sorted(line.split("with id")[1].strip(' "/') for line in mounts if "with id" in line), sep="\n")

# %% [markdown]
# ## 8. The cache of another machine
#
# A CI runner begins with an empty cache each time. It can take the results of an earlier build from a registry. Here is a registry of your own, with a container's lifetime:

# %%
base_images.ensure(base_images.REGISTRY, client)
registry = shelf.enter_context(container.running(
    base_images.REGISTRY, port=5000, ready="/v2/", name="dockerlab-lesson04-registry", client=client))
ref = registry.url.removeprefix("http://") + "/service:cache"
remote = bench.empty("remote")
(remote / "main.py").write_text(f"print({mark})\n")
(remote / "Dockerfile").write_text("""\
FROM python:3.11-slim-bookworm
WORKDIR /opt/dockerlab-lesson04-remote
RUN pip install --target /opt/dockerlab-lesson04-remote itsdangerous==2.2.0
COPY main.py /opt/dockerlab-lesson04-remote/
RUN python -m compileall -q /opt/dockerlab-lesson04-remote
""")
print("registry at", registry.url)

# %% [markdown]
# `--cache-to type=inline` writes the keys of the steps into the image itself; `--push` sends it off.

# %%
image_labels = bench.image_labels
log = !docker buildx build --progress=plain {image_labels} -t {ref} --cache-to type=inline --push {remote}
listed = requests.get(f"{registry.url}/v2/service/tags/list", timeout=10).json()
print("tags in the registry:", listed["tags"])

# %% [markdown]
# Now the other machine. You have one engine only, so it has to forget, and nothing but these steps: each of them carries the word `lesson04-remote`, and a filter finds it. Two builds follow: one alone, one with `--cache-from`.
#
# **Guess first.** How many of the four steps will run in the second?

# %%
helped = guess_box("Steps that run with --cache-from", default=4)
helped

# %%
def on_another_machine(option=""):
    forgotten = !docker image rm --force {ref} dockerlab-lesson04:remote
    forgotten = !docker buildx prune --force --all --filter "description~=dockerlab-lesson04-remote"
    log = !docker buildx build --progress=plain {image_labels} -t dockerlab-lesson04:remote {option} {remote}
    return plain_progress.read(log)

alone = on_another_machine()
shared = on_another_machine(f"--cache-from type=registry,ref={ref}")
print("alone:", len(alone.ran), "steps ran; with --cache-from:", len(shared.ran))

# %%
beside(helped, len(shared.ran))

# %% [markdown]
# The everyday case of CI: a new machine, and one file changed since the last push.

# %%
(remote / "main.py").write_text(f"print({mark}, 'edited')\n")
edited = on_another_machine(f"--cache-from type=registry,ref={ref}")
print("ran:", *edited.ran, sep="\n  ")

# %% [markdown]
# The installation came from the registry; nothing was installed on this "machine".
#
# An inline cache knows the steps of the last stage only. `--cache-to type=registry,ref=…,mode=max` keeps those of all stages, under a name of its own. Not every engine can do that:

# %%
full = !docker buildx build --progress=plain {image_labels} \
    --cache-to type=registry,ref={ref}-max,mode=max {remote}
refused = any("Cache export is not supported for the docker driver" in line for line in full)
store = connection.facts(client).image_store
print("refused exactly where images are not in containerd's store:", refused == (store != "containerd"))

# %% tags=["nbval-ignore-output"]
print(f"this engine: {store} image store; mode=max", "is refused" if refused else "works")

# %% [markdown]
# Where it is refused, use the inline cache, or a builder of its own (`docker buildx create`).
#
# **`--cache-from` only offers results: a registry that does not answer, or a cache that fits nothing, costs time and breaks no build.**
#
# ## Key points
#
# - `RUN`, `COPY`, `ADD` and `WORKDIR` make layers; the rest is configuration.
# - A step is known by its own text, the content of the files it copies, the arguments above it, and the step before it. Not by time, not by comments.
# - What changes rarely stands above what changes often. Give `ARG` and `COPY . .` as little below them as you can.
# - A layer never shrinks: delete in the same `RUN`, give owners with `COPY --chown`.
# - When an installation must run, a cache mount saves the downloads; never beside `--no-cache-dir`.
# - `.dockerignore` is part of the cache: one stray file undoes everything above.
# - `--cache-from` brings the cache to a machine that has none.

# %%
Quiz.load("04").show()

# %% [markdown]
# ## The lab
#
# [Lab 04](../labs/04_speed_up_a_rebuild/lab.ipynb): a colleague's project installs everything again for each changed line. Bring its rebuild under a budget of five seconds without touching the app.
#
# ## Clean up
#
# This stops the registry and the meter, and removes the images and the cache mounts of this lesson. Ordinary cached steps stay: they keep your next build quick, and the engine drops the oldest by itself when the disk fills up.

# %%
close_all()
shelf.close()
bench.clear()
cleanup.remove_dangling(client)
pruned = !docker buildx prune --force --all --filter "description~=dockerlab-lesson04"
rest = !docker buildx du --filter "description~=dockerlab-lesson04" --verbose
print("images and containers left:", sum(len(kind) for kind in bench.left()))
print("cache mounts left:", sum("cached mount" in line for line in rest))
