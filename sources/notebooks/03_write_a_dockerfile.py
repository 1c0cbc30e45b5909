# %% [markdown]
# # Write a Dockerfile, one instruction at a time
#
# **You will do**: build a few dozen tiny images, each to find out what one line of a Dockerfile changes; stop containers with a stopwatch; shrink a build context; lint a popular Dockerfile, and find the faults that no linter sees.
#
# **You will learn**: the sixteen instructions you will meet, what they leave in the image, when they act, and where the usual tutorial is wrong about them. The build flags `-t`, `-f`, `--build-arg`, `--no-cache`, `--target`, `--progress` and `--check`.
#
# **You need**: lesson 00 (its image `dockerlab-api:multistage`), about 75 minutes in one or two sittings (the middle is before section 10), and 200 MB of free disk. The machine works for less than two of these minutes, three the first time.

# %%
%matplotlib inline
import pandas as pd

from dockerlab.core import programs
from dockerlab.course.workbench import Bench
from dockerlab.detection import api_client, variants
from dockerlab.engine import connection, object_labels
from dockerlab.images import base_images, lint
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.quiz import Quiz
from dockerlab.notebook.session import start

pd.set_option("display.max_colwidth", None)
client = start()
base_images.ensure(base_images.SLIM, client)
bench = Bench("03", client)
print("leftovers of an earlier run:", len(sum(bench.left(), [])))

# %% [markdown]
# ## 1. An image is files and one page of settings
#
# A **Dockerfile** is a list of instructions; `docker build` carries them out and leaves an **image**. An image holds two things: **layers** (files) and one **config** (a page of settings in JSON: which command, which user, which variables). Every instruction of this lesson changes the one, the other, both, or neither.
#
# **Guess first.** You will meet sixteen instructions. How many of them put files into the image? The last section counts.

# %%
writers = guess_box("How many of 16 instructions write files", default=8)
writers

# %% [markdown]
# `FROM` names the image to begin with. A Dockerfile of one line is complete. `bench.build(NAME, TEXT)` writes `Dockerfile.NAME` into `build/lesson-03` and builds it; the line below does the same on the command line.

# %%
bench.build("from", "FROM python:3.11-slim-bookworm\n")
labels, image_labels, folder = bench.labels, bench.image_labels, bench.folder
!docker build -q -f "{folder}/Dockerfile.from" -t dockerlab-lesson03:from-cli {image_labels} "{folder}"

# %%
images = ("from", "from-cli", "python:3.11-slim-bookworm")
layers = {name: bench.inspect(name)["RootFS"]["Layers"] for name in images}
print("Python and command line build the same layers:", layers["from"] == layers["from-cli"])
print("FROM takes over the base's layers as they are:", layers["from"] == layers[images[2]])

# %% [markdown]
# The config came along too. This is the part of it that a Dockerfile can change (`docker image inspect` shows all of it):

# %% tags=["nbval-ignore-output"]
config = bench.inspect("from")["Config"]
keys = ("Env", "Cmd", "Entrypoint", "WorkingDir", "User")
pd.Series({key: config.get(key) for key in keys}, name="in the base").to_frame()

# %% [markdown]
# There is one base that holds nothing at all: `scratch`. An image made from it contains what you copy, and no shell, no libraries and no user list.

# %%
bench.write({"note.txt": "hello from the context\n"})
bench.build("scratch", """\
FROM scratch
COPY note.txt /
""")
print("layers:", len(bench.inspect("scratch")["RootFS"]["Layers"]))
print(bench.run("scratch", ["ls", "/"]))

# %% [markdown]
# **FROM decides everything that you do not write: the files, the interpreter, the default command, the user.** Name it exactly: `python:3.11-slim-bookworm` says version, variant and Debian release. (Many tutorials still say `python:3.9`, which no longer gets security fixes.)

# %% [markdown]
# ## 2. WORKDIR: where the next line stands
#
# `WORKDIR` is `mkdir -p` and `cd` in one, for all lines below it and for the container. A `cd` inside `RUN` looks like the same.
#
# **Guess first.** Line 2 below changes the folder and line 3 notes where it stands. Where?

# %%
stands = guess_box("Line 3 stands in", options=["/srv/app", "/"], default="/srv/app")
stands

# %%
bench.build("workdir", """\
FROM python:3.11-slim-bookworm
RUN mkdir -p /srv/app && cd /srv/app
RUN pwd > /after-cd.txt
WORKDIR /srv/new/deep
RUN pwd > /after-workdir.txt
""")
after_cd, after_workdir = bench.run("workdir", ["cat", "/after-cd.txt", "/after-workdir.txt"]).splitlines()
beside(stands, after_cd)

# %%
print("after WORKDIR:", after_workdir)
bench.changes("from", "workdir")

# %% [markdown]
# `bench.changes(A, B)` lists what image B has otherwise than A. Each `RUN` is a process of its own; its `cd` ends with it. `WORKDIR` went into the config, and it made `/srv/new/deep`, which nothing had created. Three `RUN` and one `WORKDIR` each left a layer.
#
# **Use WORKDIR with an absolute path; a `cd` lasts to the end of its line.**

# %% [markdown]
# ## 3. COPY: from the context into the image
#
# The folder that you hand to `docker build` is the **context**. `COPY` takes files from there, and from nowhere else.
#
# **Guess first.** The context holds `app/main.py`. Where does it land with `WORKDIR /srv` and `COPY app .`?

# %%
places = ["/srv/app/main.py", "/srv/main.py"]
lands = guess_box("app/main.py lands in", options=places, default=places[0])
lands

# %%
bench.write({"app/main.py": "print('the app')\n"})
bench.build("copy", """\
FROM python:3.11-slim-bookworm
WORKDIR /srv
COPY app .
COPY app app
COPY --chown=10001:10001 note.txt owned.txt
COPY --chmod=600 note.txt keys/private.txt
""")
found = bench.run("copy", "find . -mindepth 1 -printf '%M %U:%G /srv/%P\\n'").splitlines()
beside(lands, " and ".join(line.split()[2] for line in found if line.endswith("/srv/main.py")))

# %%
pd.DataFrame([line.split() for line in sorted(found)], columns=["mode", "owner", "path"])

# %% [markdown]
# `COPY app .` copies what is *in* the folder; `COPY app app` keeps the folder. Files belong to root unless `--chown` says otherwise, also below a `USER`; `--chmod` sets the mode. Both do it while copying; a `RUN chown` afterwards would store every file a second time. Look at `keys`, though: both flags also hold for a folder that the same line has to make, and a folder without `x` (the `drw-------`) lets nobody but root in.
#
# A path that leads out of the context is looked up inside it, however it is written, and not found:

# %%
from dockerlab.images.build_errors import BuildFailed

try:
    bench.build("outside", "FROM scratch\nCOPY ../../pyproject.toml /\n")
except BuildFailed as failure:
    print("the build fails, not found:", "not found" in str(failure))

# %% [markdown]
# `COPY --link` makes a layer that does not depend on the lines above it. After a change further up, the builder need not copy again, only put the layer on top. It needs an image store that can do so: containerd's (Engine 29's default) can, the older overlay2 store falls back to a plain `COPY` without a word. Your engine decides:

# %%
import time

linked = {}
for flag in ("", "--link "):
    for _ in range(2):
        bench.write({"version.txt": f"{time.time_ns()}\n"})
        again = bench.build("link", f"FROM scratch\nCOPY version.txt /\nCOPY {flag}note.txt /notes/\n")
    linked["COPY " + flag] = any("note.txt" in step for step in again.cached)
store = connection.facts(client).image_store
print("plain COPY below a changed line is kept:", linked["COPY "])
can_link = store == "containerd"
print("COPY --link is kept just where the store can link:", linked["COPY --link "] == can_link)

# %% tags=["nbval-ignore-output"]
print(f"your image store: {store}; COPY --link was {'kept' if linked['COPY --link '] else 'copied again'}")

# %% [markdown]
# ## 4. ADD: COPY with two habits
#
# `ADD` copies too. Besides, it unpacks local tar archives and fetches URLs. Here is one archive, taken in by three lines: copied, added from the context, added from a small web server that a container runs for us.
#
# **Guess first.** Which of the three lines leave the archive packed?

# %%
options = ["COPY", "COPY and ADD of the URL", "ADD of the URL", "none"]
packed = guess_box("Still packed", options=options, default="COPY")
packed

# %%
from dockerlab.containers.container import address
from dockerlab.course.workbench import archive

bench.write({"data.tar.gz": archive({"note.txt": "hello from the archive\n"})})
bench.build("server", """\
FROM python:3.11-slim-bookworm
COPY data.tar.gz /srv/
CMD ["python", "-m", "http.server", "8000", "--directory", "/srv"]
""")
with bench.serving("server") as web:
    bench.build("add", f"""\
FROM python:3.11-slim-bookworm
COPY data.tar.gz /by-copy/
ADD data.tar.gz /by-add/
ADD http://{address(web)}:8000/data.tar.gz /by-url/
""")

# %%
holds = {way: bench.run("add", ["ls", f"/by-{way}"]) for way in ("copy", "add", "url")}
pd.Series(holds, name="what lies there").to_frame()

# %%
names = {"copy": "COPY", "add": "ADD", "url": "ADD of the URL"}
beside(packed, " and ".join(names[way] for way, name in holds.items() if name.endswith(".gz")) or "none")

# %% [markdown]
# A local archive is unpacked, a fetched one is not. A URL is a promise that somebody else keeps, so pin what it must hold; with a wrong checksum the build stops. And where nobody answers, it stops as well:

# %%
import hashlib

right = hashlib.sha256((folder / "data.tar.gz").read_bytes()).hexdigest()
outcome = {}
with bench.serving("server") as web:
    url = f"http://{address(web)}:8000/data.tar.gz"
    lines = {"right checksum": f"--checksum=sha256:{right} {url}",
             "wrong checksum": f"--checksum=sha256:{'0' * 64} {url}",
             "nobody there": "http://127.0.0.1:1/x"}
    for case, source in lines.items():
        try:
            bench.build("add-url", f"FROM scratch\nADD {source} /\n")
            outcome[case] = "built"
        except BuildFailed as failure:
            known = ("digest mismatch", "connection refused")
            outcome[case] = next((word for word in known if word in str(failure)), "another failure")
pd.Series(outcome, name="the build").to_frame()

# %% [markdown]
# **Use COPY. Use ADD where you want exactly its extra: to unpack a local archive, or to fetch a URL with `--checksum`.**

# %% [markdown]
# ## 5. RUN: a command while building
#
# `RUN` has three forms. The **shell form** hands the line to `/bin/sh -c`. The **exec form**, a JSON list, starts the program itself. A **heredoc** gives a whole script to the shell and makes one layer.
#
# **Guess first.** The heredoc below begins with `false`, a command that fails. Does the build fail?

# %%
fails = guess_box("Does the build fail at this line?", options=["yes", "no"], default="yes")
fails

# %%
forms = bench.build("run", """\
FROM python:3.11-slim-bookworm
RUN echo "home is $HOME, shell is $0"
RUN ["echo", "home is $HOME"]
RUN <<SCRIPT
false
echo still here
SCRIPT
SHELL ["/bin/bash", "-c"]
RUN echo "shell is $0"
""", no_cache=True)
rows = [(step.name.split("] ")[1], step.log.strip()) for step in forms.instructions]
pd.DataFrame(rows, columns=["instruction", "wrote"])

# %%
beside(fails, "no" if "still here" in forms.instructions[2].log else "yes")

# %% [markdown]
# The exec form printed `$HOME` as it stands: only a shell replaces variables. The heredoc went on after `false`, because a shell script's result is that of its last command. A pipe has the same hole. `SHELL` changes which shell reads the lines below it, and is the cure for both.

# %%
pieces = {
    "heredoc": "RUN <<SCRIPT\nfalse\necho done\nSCRIPT",
    "heredoc with set -e": "RUN <<SCRIPT\nset -e\nfalse\necho done\nSCRIPT",
    "pipe": "RUN false | true",
    "pipe with pipefail": 'SHELL ["/bin/bash", "-o", "pipefail", "-c"]\nRUN false | true',
}
noticed = {}
for name, lines in pieces.items():
    try:
        bench.build("fail", f"FROM python:3.11-slim-bookworm\n{lines}\n")
        noticed[name] = "the build passes"
    except BuildFailed:
        noticed[name] = "the build fails"
pd.Series(noticed, name="one command in it fails").to_frame()

# %% [markdown]
# **Begin a heredoc with `set -e`, and set `pipefail` before you pipe a download into anything; otherwise a broken build looks like a good one.**

# %% [markdown]
# ## 6. CMD and ENTRYPOINT: what arguments replace
#
# Both say what a container starts; both have a shell form and an exec form. You will read that `CMD` can be overridden and `ENTRYPOINT` cannot. Here are all nine combinations, each run in three ways.
#
# **Guess first.** `ENTRYPOINT ["echo", "entry"]` and `CMD ["echo", "cmd"]`, and you run `docker run IMAGE echo hi`. What is printed?

# %%
options = ["hi", "entry echo cmd", "entry echo hi", "entry echo cmd echo hi"]
printed = guess_box("It prints", options=options, default="hi")
printed

# %%
entrypoints = {"none": "ENTRYPOINT []", "exec": 'ENTRYPOINT ["echo", "entry"]',
               "shell": "ENTRYPOINT echo entry"}
commands = {"none": "CMD []", "exec": 'CMD ["echo", "cmd"]', "shell": "CMD echo cmd"}
for e, entrypoint in entrypoints.items():
    for c, command in commands.items():
        bench.build(f"{e}-{c}", f"FROM python:3.11-slim-bookworm\n{entrypoint}\n{command}\n")
ways = {"docker run IMAGE": {}, "docker run IMAGE echo hi": {"command": ["echo", "hi"]},
        "docker run --entrypoint printf IMAGE hi": {"entrypoint": ["printf"], "command": ["hi"]}}
table = bench.run_all([f"{e}-{c}" for e in entrypoints for c in commands], ways)
table.index = pd.MultiIndex.from_product([entrypoints, commands], names=["ENTRYPOINT", "CMD"])
table

# %%
beside(printed, bench.run("exec-exec", ["echo", "hi"]))

# %% [markdown]
# Read it by columns. Without arguments, `CMD` is appended to an exec `ENTRYPOINT`; a shell `CMD` brings its `/bin/sh -c` along. Arguments replace `CMD` and never `ENTRYPOINT`. A shell `ENTRYPOINT` swallows both: arguments end up as `$0` and `$1` of a shell that does not look at them. And the last column is the same everywhere: **`--entrypoint` overrides any ENTRYPOINT**, in one word on the command line:

# %%
!docker run --rm {labels} --entrypoint printf dockerlab-lesson03:exec-exec "overridden by a flag\n"

# %% [markdown]
# One more consequence: `--entrypoint` also drops the image's `CMD`, and so does a new `ENTRYPOINT` in a Dockerfile with the `CMD` of its base.

# %%
print("CMD is gone with --entrypoint:", bench.run("exec-exec", entrypoint=["echo"]) == "")
bench.build("new-entrypoint", 'FROM dockerlab-lesson03:none-exec\nENTRYPOINT ["echo", "entry"]\n')
bench.changes("none-exec", "new-entrypoint")

# %% [markdown]
# **`ENTRYPOINT` is the program, `CMD` its default arguments; arguments replace CMD, `--entrypoint` replaces ENTRYPOINT. Write both as JSON lists.** A service with one command needs only `CMD`.

# %% [markdown]
# ## 7. ENV and ARG: two kinds of variable
#
# `ENV` goes into the config: every later line and every container sees it. `ARG` lives while building. It is also the only instruction that may stand above `FROM`.
#
# **Guess first.** `ARG TAG=…` stands above `FROM python:${TAG}`. What does the first `RUN` see of `TAG`?

# %%
sees = guess_box("The first RUN sees", options=["the tag", "nothing"], default="the tag")
sees

# %%
bench.build("arg", """\
ARG TAG=3.11-slim-bookworm
FROM python:${TAG} AS first
ARG MODEL=harbour-n
RUN echo "[$TAG] [$MODEL]" > /seen.txt
ARG TAG
RUN echo "[$TAG] [$MODEL]" >> /seen.txt

FROM first AS from-a-stage
RUN echo "[$TAG] [$MODEL]" >> /seen.txt

FROM python:${TAG} AS from-an-image
COPY --from=from-a-stage /seen.txt /
RUN echo "[$TAG] [$MODEL]" >> /seen.txt
ENV DEVICE=cpu
""")
seen = bench.run("arg", ["sh", "-c", 'cat /seen.txt; echo "[$TAG] [$MODEL]"'])

# %%
import re

where = ["after FROM", "after a second ARG TAG", "in a stage FROM that stage",
         "in a stage FROM an image", "in the container"]
values = [re.findall(r"\[(.*?)\]", line) for line in seen.splitlines()]
scope = pd.DataFrame(values, index=where, columns=["$TAG", "$MODEL"])
scope

# %%
beside(sees, "the tag" if scope.loc["after FROM", "$TAG"] else "nothing")

# %% [markdown]
# An `ARG` above `FROM` serves the `FROM` lines only, until a bare `ARG TAG` lets it in. It ends with its stage, and in the container nothing is left of it. To keep a value, hand it on: `ARG MODEL` and then `ENV MODEL=${MODEL}`. `-e` overrides an `ENV` for one run:

# %%
print("ENV in the container:", bench.run("arg", ["printenv", "DEVICE"]))
!docker run --rm {labels} -e DEVICE=cuda dockerlab-lesson03:arg printenv DEVICE

# %% [markdown]
# Not visible in the container does not mean secret. You will find this line in many tutorials: a token as build argument. Build it, and ask the image how it was made.

# %%
bench.build("leak", """\
FROM python:3.11-slim-bookworm
ARG TOKEN
RUN echo "downloading with a token" > /log.txt
""", buildargs={"TOKEN": "s3cr3t-0815"})
history = !docker history --no-trunc dockerlab-lesson03:leak
print("in the environment of a container:", "s3cr3t-0815" in bench.run("leak", ["env"]))
print("in docker history:", any("s3cr3t-0815" in line for line in history))

# %% [markdown]
# **ENV is for running, ARG for building, and neither is for secrets.** Lesson 09 shows the mount that is.

# %% [markdown]
# ## 8. LABEL: a note on the image
#
# Labels are free pairs of name and value. Tools find images by them; the names that begin with `org.opencontainers.image.` are agreed upon.

# %%
bench.build("label", """\
FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="harbour detection" \\
      org.opencontainers.image.version="1.4.2"
""")
bench.changes("from", "label")

# %%
ids = !docker images -q --no-trunc --filter label=org.opencontainers.image.title="harbour detection"
by_sdk = client.images.list(filters={"label": "org.opencontainers.image.title=harbour detection"})
same = set(ids) == {image.id for image in by_sdk} == {bench.inspect("label")["Id"]}
print("command line and Python find it:", same)

# %% [markdown]
# ## 9. EXPOSE: a note about a port
#
# **Guess first.** An image says `EXPOSE`, a server in it listens on that port, and you start it with plain `docker run`. Does the port answer on your machine?

# %%
open_port = guess_box("Does it answer?", options=["yes", "no"], default="yes")
open_port

# %%
from dockerlab.course.workbench import answers, free_port

port = free_port()  # one that nothing on your machine uses
serve = f'CMD ["python", "-m", "http.server", "{port}"]\n'
bench.build("exposed", f"FROM python:3.11-slim-bookworm\nEXPOSE {port}\n{serve}")
bench.build("silent", f"FROM python:3.11-slim-bookworm\n{serve}")
here = {f"{port}/tcp": ("127.0.0.1", None)}  # None: the engine chooses a free port of your machine
reached = pd.DataFrame({
    "EXPOSE": bench.reach("exposed", port),
    "EXPOSE, run -P": bench.reach("exposed", port, publish_all_ports=True),
    "no EXPOSE, run -P": bench.reach("silent", port, publish_all_ports=True),
    "no EXPOSE, run -p": bench.reach("silent", port, ports=here),
}).T
reached

# %%
beside(open_port, "yes" if reached.loc["EXPOSE", "from your machine"] else "no")

# %% [markdown]
# The left column changes with `-p` and `-P`, never with `EXPOSE` alone; the right column is true everywhere, since containers on one network reach each other's ports anyway. `-P` publishes the ports that `EXPOSE` names, so it does nothing for an image that names none. It publishes them on every address of your machine: while the two containers of this cell ran, your whole network could reach them. `-p 127.0.0.1::PORT` keeps a port to yourself.
#
# **EXPOSE publishes nothing and protects nothing. It documents the port, and `-P` and other tools read it.**

# %% [markdown]
# ## 10. USER: who the lines below run as
#
# Without `USER` a container runs as root.
#
# **Guess first.** Below a `USER 10001`, who owns a file that `COPY` brings in?

# %%
owner = guess_box("The copied file belongs to", options=["root", "10001"], default="10001")
owner

# %%
bench.build("user", """\
FROM python:3.11-slim-bookworm
USER 10001
RUN id -u > /tmp/who-ran.txt
WORKDIR /srv/mine
COPY note.txt copied.txt
""")
listing = bench.run("user", ["sh", "-c", """
stat -c '%n %u' /tmp/who-ran.txt /srv/mine copied.txt
touch /etc/x 2>/dev/null && echo '/etc open' || echo '/etc closed'
"""])
owned = pd.Series(dict(line.split() for line in listing.splitlines()), name="owner").to_frame()
owned

# %%
beside(owner, {"0": "root"}.get(owned.loc["copied.txt", "owner"], owned.loc["copied.txt", "owner"]))

# %% [markdown]
# `RUN` runs as the user, and `WORKDIR` makes a folder that is the user's own. `COPY` still writes as root unless `--chown` says otherwise, which is mostly what you want: a server that cannot change its own code. A *name* after `USER` is looked up in the image's `/etc/passwd` when the container starts, not when you build:

# %%
bench.build("ghost", "FROM python:3.11-slim-bookworm\nUSER ghost\n")
print("built; run says:", bench.run("ghost", ["id"]))

# %% [markdown]
# **Put `USER` with a number after the lines that need root; only what the program must write should belong to it.**

# %% [markdown]
# ## 11. VOLUME: a hole in the image
#
# `VOLUME` says that data under a path lives outside the container. It acts when a container starts: the engine makes a nameless volume there, with what the image holds at that path in it.
#
# What becomes of files that a later line writes below it depends on the builder. Here is one Dockerfile, built by BuildKit and by the old classic builder.

# %%
hole = """\
FROM python:3.11-slim-bookworm
RUN mkdir /data && echo one > /data/before.txt
VOLUME /data
RUN echo two > /data/after.txt
"""
bench.build("volume", hole)
bench.build("volume-classic", hole, backend="classic")
holds = {"BuildKit": bench.run("volume", ["ls", "-m", "/data"]),
         "classic builder": bench.run("volume-classic", ["ls", "-m", "/data"])}
pd.Series(holds, name="in /data").to_frame()

# %% [markdown]
# Now run it: one file goes below `/data`, one beside it.
#
# **Guess first.** After `docker rm`, what is left on your engine?

# %%
leftover = guess_box("After docker rm there is left", ["nothing", "a nameless volume"], "nothing")
leftover

# %%
kept = {}
for flag in ("", "-v"):
    write = "echo new > /data/new.txt; echo new > /tmp/new.txt"
    box = client.containers.run("dockerlab-lesson03:volume", ["sh", "-c", write], detach=True,
                                name="dockerlab-lesson03-volume", labels=object_labels.labels())
    box.wait()
    volume = client.api.inspect_container(box.id)["Mounts"][0]["Name"]
    sees = [change["Path"] for change in box.diff() if change["Path"].endswith(".txt")]
    removed = !docker rm {flag} {box.name}
    kept[f"docker rm {flag}".strip()] = still = volume in [each.name for each in client.volumes.list()]
    if still:
        client.volumes.get(volume).remove()
print("docker diff sees:", sees)
pd.Series(kept, name="the nameless volume is left").to_frame()

# %%
beside(leftover, "a nameless volume" if kept["docker rm"] else "nothing")

# %% [markdown]
# The write below `/data` went past the container's own layer: `docker diff` does not see it and `docker commit` would not keep it. `docker rm` leaves the volume; `docker rm -v` and `docker run --rm` take it along. No image built on this one can undo its `VOLUME`.
#
# **Leave VOLUME out of the Dockerfile and choose volumes when you run: `-v NAME:/data`.**

# %% [markdown]
# ## 12. HEALTHCHECK: how to ask whether it works
#
# The engine runs this command inside the container again and again. Exit code 0 is healthy; after `--retries` failures in a row it is unhealthy. Here the question is whether a file exists, so that you can change the answer.

# %%
bench.build("health", """\
FROM python:3.11-slim-bookworm
HEALTHCHECK --interval=1s --timeout=2s --retries=2 CMD ["test", "-f", "/tmp/ready"]
CMD ["sleep", "600"]
""")
bench.changes("from", "health")

# %%
from dockerlab.containers.health import health_states

with bench.started("health", init=True) as box:
    before = health_states(box, until="unhealthy")
    box.exec_run(["touch", "/tmp/ready"])
    after = health_states(box, until="healthy")
print(" -> ".join(dict.fromkeys(before + after)))

# %% [markdown]
# The check is a program of the image: if the image has no `curl`, a check with `curl` fails for ever. Section 16 runs into that, and lesson 07 goes deeper.

# %% [markdown]
# ## 13. Exec form, shell form, and the ten-second stop
#
# `docker stop` sends **SIGTERM** to the container's first process, PID 1, and waits. What is left after ten seconds gets SIGKILL, which no program can catch: requests are cut off, files stay half written.
#
# Here is the course's detection API, started in three forms, and a program without any handling of signals.
#
# **Guess first.** How many seconds does the shell form take to stop?

# %%
stop_guess = guess_box("Seconds until the shell form has stopped", default=1.0)
stop_guess

# %%
variants.have_rung("multistage", client)
api, plain = "FROM dockerlab-api:multistage\n", "FROM python:3.11-slim-bookworm\n"
bench.build("stop-exec", api + 'CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]\n')
bench.build("stop-shell", api + "CMD uvicorn app.main:app --host 0.0.0.0\n")
bench.build("stop-shell-exec", api + "CMD exec uvicorn app.main:app --host 0.0.0.0 --port ${PORT:-8000}\n")
bench.build("stop-deaf", plain + 'CMD ["python", "-c", "import time; time.sleep(600)"]\n')
bench.build("stop-signal", "FROM dockerlab-lesson03:stop-deaf\nSTOPSIGNAL SIGINT\n")
bench.changes("stop-deaf", "stop-signal")

# %% [markdown]
# `--init` puts a tiny program in front that passes signals on. All of them start, and are stopped in the same moment:

# %%
from contextlib import ExitStack

from dockerlab.containers import container
from dockerlab.core import polling
from dockerlab.course.workbench import stop_all

starts = {
    "API, exec form": ("stop-exec", False),
    "API, shell form": ("stop-shell", False),
    "API, shell form with exec": ("stop-shell-exec", False),
    "API, shell form, --init": ("stop-shell", True),
    "deaf, exec form": ("stop-deaf", False),
    "deaf, STOPSIGNAL SIGINT": ("stop-signal", False),
    "deaf, --init": ("stop-deaf", True),
}
with ExitStack() as stack:
    boxes = {form: stack.enter_context(bench.started(name, init=init))
             for form, (name, init) in starts.items()}
    for form in list(boxes)[:4]:
        polling.wait_until(lambda box=boxes[form]: b"ready" in box.logs(), 60, interval=0.2)
    stops = stop_all(boxes, goodbye="Application shutdown complete")
stops.drop(columns="seconds")

# %% tags=["nbval-ignore-output"]
from dockerlab.lessons.lesson03_dockerfile.charts import stop_times

stop_times(stops)

# %% tags=["nbval-ignore-output"]
beside(stop_guess, stops.loc["API, shell form", "seconds"])

# %%
slow = stops["seconds"] > 9
print("took the full ten seconds:", ", ".join(stops.index[slow]))
print("all the others took less than half of it:", bool((stops.loc[~slow, "seconds"] < 5).all()))

# %% [markdown]
# A shorter wait, `docker stop -t`, changes the time and not the outcome:

# %%
cid = !docker run -d --name dockerlab-lesson03-stop {labels} dockerlab-lesson03:stop-shell
name = !docker stop -t 1 dockerlab-lesson03-stop
print("exit code:", client.containers.get("dockerlab-lesson03-stop").attrs["State"]["ExitCode"])
gone = !docker rm dockerlab-lesson03-stop

# %% [markdown]
# In the shell form PID 1 is `sh`. It does not pass SIGTERM on, and the kernel ignores a signal to PID 1 that the program has no handler for. So nothing happens until SIGKILL: exit code 137. With `exec` in front, the shell gives its place to the server, and you keep `${PORT:-8000}`.
#
# Three rows are worth a second look. *deaf, exec form* is slow as well: the exec form helps only a program that handles SIGTERM. Python turns SIGINT into `KeyboardInterrupt` by itself, so `STOPSIGNAL SIGINT` wakes it up. And `--init` with the shell form is quick, but look at its goodbye: the shell dies and the server is killed with it.
#
# **Start your program itself, as PID 1, in the exec form (or with `exec`), and see to it that it handles the signal.**

# %% [markdown]
# ## 14. The context and .dockerignore
#
# `COPY . .` takes everything that is in the context. A program that builds over the engine's API, like the cells here, also sends all of it first; `docker build` sends what the `COPY` lines ask for, and `COPY . .` asks for all. This project looks like many: a history, an environment, pictures, caches, and a file with a password.

# %%
from dockerlab.images import context_contents
from dockerlab.images.build import build

project = bench.folder / "project"
files = {
    ".git/objects/pack/pack-1.pack": bytes(9_000_000),
    "venv/lib/python3.11/site-packages/big.so": bytes(14_000_000),
    "app/main.py": "print('the app')\n", "app/__pycache__/main.cpython-311.pyc": bytes(60_000),
    "tests/test_main.py": "def test(): ...\n", ".env": "DB_PASSWORD=s3cr3t\n",
    "README.md": "# Harbour\n", "requirements.txt": "uvicorn==0.54.0\n",
    "Dockerfile": "FROM scratch\nCOPY . /app/\n",
}
files |= {f"pictures/{path.name}": path.read_bytes() for path in api_client.samples()}
bench.write({f"project/{name}": content for name, content in files.items()})
whole = build(project, tag="dockerlab-lesson03:context-whole", client=client)
before = context_contents.contents(project)
print("sent is what the folder holds:", whole.context_bytes == before["bytes"].sum())
print(".env is sent:", ".env" in set(before.loc[before["sent"], "path"]))

# %%
from dockerlab.lessons.lesson03_dockerfile.charts import context_weight

context_weight(context_contents.by_top(before))

# %% [markdown]
# `.dockerignore` lists what stays at home. Here is a list that you will find in many tutorials.
#
# **Guess first.** Two things that should stay at home still travel. One is `.env`, which the list forgot. What is the other?

# %%
suspects = ["venv/", ".git/", "app/__pycache__/", "README.md"]
travels = guess_box("Still travels", options=suspects, default="venv/")
travels

# %%
(project / ".dockerignore").write_text("""\
venv/
__pycache__/
*.pyc
.git/
tests/
docs/
*.md
""")
popular = context_contents.contents(project).set_index("path")["sent"]
unwanted = [path for path in popular.index if path.startswith(tuple(suspects))]
beside(travels, ", ".join(f"{path.rsplit('/', 1)[0]}/" for path in unwanted if popular[path]))

# %% [markdown]
# Patterns count from the top of the context: `__pycache__/` means the one at the top, and `*.pyc` the files at the top. `**/` reaches every depth, unlike in `.gitignore`. So mend it. Better still, turn it round: ignore everything and let in what the build needs (`!` lets in again, the last match wins).

# %%
(project / ".dockerignore").write_text("""\
*
!app
!requirements.txt
**/__pycache__
""")
lean = build(project, tag="dockerlab-lesson03:context-lean", client=client)
after = context_contents.contents(project)
print("sent now:", sorted(after.loc[after["sent"], "path"]))
print("more than a thousand times less:", whole.context_bytes > 1000 * lean.context_bytes)

# %%
context_weight(context_contents.by_top(after))

# %% [markdown]
# The password is the reason that cannot wait. Was it in the first image, and is it in the second? A container need not run to find out: `docker create` and `docker cp` look into any image.

# %%
for name in ("context-whole", "context-lean"):
    cid = !docker create --name dockerlab-lesson03-look {labels} dockerlab-lesson03:{name} none
    found = !docker cp dockerlab-lesson03-look:/app/.env - | tar -xO
    gone = !docker rm dockerlab-lesson03-look
    print(name, "->", next((line for line in found if "PASSWORD" in line), "no .env in it"))

# %% [markdown]
# **Write .dockerignore before the first build. List what may come in, and a secret cannot slip in by being forgotten.** A build with `-f Dockerfile.prod` reads `Dockerfile.prod.dockerignore` first where there is one.

# %% [markdown]
# ## 15. The flags of docker build
#
# One file with two stages serves for all of them. `-f` names it, `-t` names the result (more than once, if you like), and the last word is the context.

# %%
bench.write({"Dockerfile.flags": """\
ARG TAG=3.11-slim-bookworm
FROM python:${TAG} AS test
RUN echo tested > /tested.txt

FROM python:${TAG} AS ship
ARG VERSION=dev
ENV VERSION=${VERSION}
RUN echo shipped > /shipped.txt
"""})
flags = f'{image_labels} -f "{folder}/Dockerfile.flags"'
built = !docker build -q {flags} -t dockerlab-lesson03:flags -t dockerlab-lesson03:flags-1.0 "{folder}"
print("two names, one image:", bench.inspect("flags")["Id"] == bench.inspect("flags-1.0")["Id"])

# %%
built = !docker build -q {flags} --build-arg VERSION=1.4.2 -t dockerlab-lesson03:flags-arg "{folder}"
built = !docker build -q {flags} --target test -t dockerlab-lesson03:flags-test "{folder}"
versions = [bench.run(name, ["printenv", "VERSION"]) for name in ("flags-arg", "flags")]
print("--build-arg:", versions[0], "| without it:", versions[1])
left_out = bench.run("flags-test", ["sh", "-c", "ls /shipped.txt 2>/dev/null || echo nothing of ship"])
print("--target test:", bench.run("flags-test", ["ls", "/tested.txt"]), "|", left_out)

# %% [markdown]
# The same from Python; `build` is the course's own call, which hands back the steps instead of a log.

# %%
from_file = {"dockerfile": "Dockerfile.flags", "client": client}
arg = build(folder, tag="dockerlab-lesson03:python-arg", buildargs={"VERSION": "1.4.2"}, **from_file)
test = build(folder, tag="dockerlab-lesson03:python-test", target="test", **from_file)
print("VERSION:", bench.run("python-arg", ["printenv", "VERSION"]))
print("steps of the test stage:", *test.cached, *test.ran)

# %% [markdown]
# `--progress=plain` prints every step and what it wrote, instead of a display that redraws itself: the form for a log, and for looking things up. `--no-cache` carries out every step again. Build twice, and count the steps that came from the cache.

# %%
warm = !docker build --progress=plain {flags} -t dockerlab-lesson03:flags "{folder}"
cold = !docker build --progress=plain --no-cache {flags} -t dockerlab-lesson03:flags-cold "{folder}"
for name, log in {"with the cache": warm, "with --no-cache": cold}.items():
    # "#5 [ship 2/2] RUN …", later "#5 CACHED" or "#5 DONE"
    runs = {line.split()[0] for line in log if "] RUN " in line}
    cached = sum(f"{number} CACHED" in log for number in runs)
    print(name, "| RUN steps:", len(runs), "| of them cached:", cached)
again = build(folder, tag="dockerlab-lesson03:flags-again", no_cache=True, **from_file)
print("no_cache=True from Python, steps from the cache:", len(again.cached))

# %% tags=["nbval-ignore-output"]
telling = ("[ship", "transferring", "naming to")
print("\n".join(line for line in cold if any(word in line for word in telling)))

# %% [markdown]
# `--check` builds nothing. The builder reads the Dockerfile and says what it doubts; the exit code is 1 if it found anything, so a pipeline can stop there. This file is doubtful in every line, and builds all the same.

# %%
bench.write({"Dockerfile.doubtful": """\
FROM python:3.11-slim-bookworm AS Base
MAINTAINER you@example.com
WORKDIR app
ENV MODEL_PATH=/models/${MODLE}
ENV API_TOKEN=s3cr3t
CMD python app.py
"""})
!docker build --check -f "{folder}/Dockerfile.doubtful" "{folder}" > "{folder}/check.txt" 2>&1
print("exit code of --check:", _exit_code)
built = !docker build -q -f "{folder}/Dockerfile.doubtful" -t dockerlab-lesson03:doubtful {image_labels} "{folder}" 2>/dev/null
print("an image was built all the same:", built[-1].startswith("sha256:"))

# %% tags=["nbval-ignore-output"]
doubts = lint.build_check(folder, "Dockerfile.doubtful")
lint.frame(doubts)[["line", "rule", "message"]]

# %%
typo = [each for each in doubts if each.line == 4 and each.rule == "UndefinedVar"]
print("the typo in line 4 is found:", len(typo) == 1)
print("lines with a doubt:", sorted({each.line for each in doubts}))

# %% [markdown]
# ## 16. A linter reads along
#
# A **linter** reads the text and knows the usual mistakes. **hadolint** is the one most teams use. This Dockerfile is put together from recipes that you find in many tutorials.
#
# **Guess first.** How many remarks will hadolint make?

# %%
remarks = guess_box("Remarks of hadolint", default=3)
remarks

# %%
popular_file = """\
FROM python:3.9
WORKDIR /app
COPY . .
RUN apt-get update
RUN apt-get install -y curl libgl1-mesa-glx libglib2.0-0
RUN pip install -r requirements.txt
ENV MODEL_NAME=yolov8n.pt
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --retries=3 \\
  CMD curl -f http://localhost:8000/health || exit 1
CMD python download_model.py && uvicorn app.main:app
"""
bench.write({"Dockerfile.popular": popular_file})
hadolint = programs.tool("hadolint")
lines = !"{hadolint}" --no-color "{folder}/Dockerfile.popular"
beside(remarks, sum(": " in line for line in lines))

# %% [markdown]
# `hadolint -f json` gives the same for programs. Beside the lines it is easier to read; `✗` is an error, `!` a warning, `i` a note. Each rule has a page with the reason, at `github.com/hadolint/hadolint/wiki/DL3008` and so on.

# %%
findings = lint.hadolint(folder / "Dockerfile.popular")
lint.Annotated(popular_file, findings)

# %% [markdown]
# Mend them one by one. A headless OpenCV, or none, needs no `apt-get` at all, so its two lines go, and their remarks with them. `--no-cache-dir` for pip, JSON lists for both commands. Two faults got no remark: Python 3.9 is past its end of life, and `libgl1-mesa-glx` no longer exists in Debian (lesson 06 runs into it).

# %%
print("remarks about python:3.9:", sum(each.line == 1 for each in findings))
print("remarks about the package that is gone:", sum("mesa" in each.message for each in findings))
bench.write({"service/requirements.txt": "uvicorn==0.54.0\n", "service/.env": "DB_PASSWORD=s3cr3t\n"})
bench.write({"service/main.py": '''\
async def app(scope, receive, send):
    """Says hello to everybody."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hello"})
'''})

# %% [markdown]
# What is left stands here, over a server of five lines:

# %%
mended_file = """\
FROM python:3.11-slim-bookworm
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir -r requirements.txt
EXPOSE 8000
HEALTHCHECK --interval=1s --timeout=2s --retries=2 CMD ["curl", "-f", "http://localhost:8000/"]
CMD ["uvicorn", "main:app"]
"""
bench.write({"service/Dockerfile": mended_file})
service = folder / "service"
clean = lint.hadolint(service / "Dockerfile") + lint.build_check(service)
lint.Annotated(mended_file, clean)

# %% [markdown]
# Both linters are content. So build it, and ask the things that only a running container can answer.
#
# **Guess first.** How many of the five questions below will it fail?

# %%
faults = guess_box("Of five questions it fails", default=1)
faults

# %%
build(service, tag="dockerlab-lesson03:mended", client=client)
with bench.started("mended", ports={"8000/tcp": ("127.0.0.1", None)}) as box:
    inside = ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/')"]
    serves = polling.wait_until(lambda: box.exec_run(inside).exit_code == 0, 30)
    answered = answers(container.published(box, 8000))
    health = health_states(box, until="unhealthy")[-1]
    user = box.exec_run(["id", "-u"]).output.decode().strip()
    secret = box.exec_run(["cat", ".env"]).exit_code == 0
(service / "main.py").write_text((service / "main.py").read_text() + f"# edited {time.time_ns()}\n")
edited = build(service, tag="dockerlab-lesson03:edited", client=client)

# %%
reinstalled = any("pip install" in step for step in edited.ran)
verdict = pd.DataFrame([
    ("Does the published port answer?", "yes", "yes" if answered else "no"),
    ("Is it healthy?", "healthy", health),
    ("Which user runs it?", "not 0", user),
    ("Is .env in the image?", "no", "yes" if secret else "no"),
    ("Does an edit of main.py install the packages again?", "no", "yes" if reinstalled else "no"),
], columns=["question", "wanted", "measured"])
verdict

# %%
wrong = [row.measured == "0" if row.wanted == "not 0" else row.measured != row.wanted
         for row in verdict.itertuples()]
print("the server runs:", serves, "| remarks of both linters:", len(clean))
beside(faults, sum(wrong))

# %% [markdown]
# The server runs and fails every question. It listens on 127.0.0.1 *inside* the container, where no published port leads (`--host 0.0.0.0` is missing). The slim base has no `curl`. Nobody said `USER`. `COPY . .` took the password, and stands above the installation.
#
# **A linter reads text; it knows neither your context, nor your base, nor your program. Lint first, then ask the container.** Your lab does just that.

# %% [markdown]
# ## 17. All of it on one page
#
# Each instruction once, on top of the same base, and what it changed: the answer to the very first guess.

# %%
one_of_each = """\
WORKDIR /srv
COPY note.txt /
ADD data.tar.gz /
RUN touch /made
CMD ["true"]
ENTRYPOINT ["env"]
ENV DEVICE=cpu
EXPOSE 8000
ARG MODEL
LABEL team=harbour
USER 10001
VOLUME /data
HEALTHCHECK CMD ["true"]
STOPSIGNAL SIGINT
SHELL ["/bin/bash", "-c"]
"""
names = {line.split()[0]: line for line in one_of_each.splitlines()}
for name, line in names.items():
    bench.build(f"one-{name.lower()}", f"FROM python:3.11-slim-bookworm\n{line}\n")

# %%
from dockerlab.images import config_diff
from dockerlab.lessons.lesson03_dockerfile.charts import instruction_effects

changed = {"FROM": config_diff.changes({}, bench.inspect("from"))}
base = bench.inspect("from")
changed |= {name: config_diff.changes(base, bench.inspect(f"one-{name.lower()}")) for name in names}
effects = config_diff.effects(changed)
instruction_effects(effects)

# %%
print("write files:", ", ".join(effects.loc[effects["adds a layer"], "instruction"]))
beside(writers, int(effects["adds a layer"].sum()))

# %% [markdown]
# ## Key points
#
# - An image is layers and a config. FROM, WORKDIR, COPY, ADD and RUN write files; the others only write settings, and ARG not even that.
# - Arguments replace CMD, `--entrypoint` replaces ENTRYPOINT. JSON lists for both, so that your program is PID 1 and hears SIGTERM.
# - ENV stays, ARG goes, and both can be read by whoever has the image.
# - EXPOSE publishes nothing, VOLUME makes nameless volumes, HEALTHCHECK runs what the image has.
# - COPY writes as root; USER is for what runs.
# - .dockerignore lists what may come in.
# - Lint, then ask the container.

# %%
Quiz.load("03").show()

# %% [markdown]
# ## The lab
#
# Open `labs/03_write_the_dockerfile/lab.ipynb`: a colleague hands you the detection API and a page of requirements. You write the Dockerfile and the `.dockerignore`; the check builds, runs, stops and edits what you wrote.
#
# ## Clean up
#
# This removes every container and image of this lesson. `dockerlab-api:multistage` and the bases stay for the next ones, and the build cache keeps rebuilding quick.

# %%
removed = bench.clear()
containers_left, images_left = bench.left()
print("left of this lesson:", len(containers_left), "containers,", len(images_left), "images")
