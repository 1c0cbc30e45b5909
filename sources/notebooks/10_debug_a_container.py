# %% [markdown]
# # Debug a container: from symptom to proof
#
# **You will do**: take eleven broken containers into a clinic. Each one really breaks, in the way that a colleague would report it. You examine it with commands, find the cause, mend it and prove the cure.
#
# **You will learn**: which command to type first for which symptom; `logs`, `inspect`, `events`, `exec`, `--entrypoint`, `diff`, `cp`, `history` and `--progress=plain` as instruments; how to look into an image that has no shell.
#
# **You need**: lessons 02, 03 and 05, about 70 minutes in one or two sittings (the middle is before case 7), and 200 MB of free disk. The machine works for about one of these minutes, two the first time.

# %%
%matplotlib inline
import json
import socket
import time

import pandas as pd

from dockerlab.containers.health import health_states
from dockerlab.core import elf
from dockerlab.core.polling import wait_until
from dockerlab.course.workbench import Bench, answers
from dockerlab.detection import variants
from dockerlab.images import base_images
from dockerlab.lessons.lesson10_debugging import clinic
from dockerlab.lessons.lesson10_debugging.charts import decision_map
from dockerlab.lessons.lesson10_debugging.terminal import typed
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.listing import difference, listing
from dockerlab.notebook.quiz import Quiz
from dockerlab.notebook.session import start

pd.set_option("display.max_colwidth", None)
client = start()
for base in (base_images.SLIM, base_images.FULL):
    base_images.ensure(base, client)
ward = clinic.Ward(Bench("10", client))
labels, image_labels, folder = ward.options, ward.image_options, ward.bench.folder
print("leftovers of an earlier run:", ward.leftovers)

# %% [markdown]
# ## The first look: how did it end?
#
# A container is a process. When the process ends, the container ends, and what is left of it is an **exit code**. Codes up to 124 are the program's own. Above that, somebody else speaks.
#
# **Guess first.** You mistype the program's name: `docker run IMAGE pyton app.py`. Which code?

# %%
code_guess = guess_box("Exit code of a program that is not there", options=[1, 126, 127, 137], default=1)
code_guess

# %%
tries = {
    "it did its work": "true", "an exception in Python": "python -c 1/0", "the engine refuses": "--no-such-option",
    "a file that is no program": "/etc/passwd", "a name that is not there": "pyton app.py",
    "killed (SIGKILL)": "sh -c 'kill -9 $$'", "a crash (SIGSEGV)": "sh -c 'kill -11 $$'", "asked to end (SIGTERM)": "sh -c 'kill -15 $$'",
}
codes = {}
for what, command in tries.items():
    options = command if command.startswith("--") else f"{labels} {base_images.SLIM} {command}"
    out = !docker run --rm --init {options} > /dev/null 2>&1; echo $?
    codes[what] = int(out[-1])
pd.Series(codes, name="exit code").to_frame()

# %%
beside(code_guess, codes["a name that is not there"])

# %% [markdown]
# 125 comes from the engine (no container ran), 126 and 127 from the attempt to start the program, and 128 + *n* from signal *n*: 137 is 128 + 9. `docker ps -a` shows the code in brackets.
#
# **The exit code says who to ask: below 125 the program's log, at 125 the engine's own words, above 128 whoever sent the signal.**

# %% [markdown]
# ## How the clinic works
#
# `ward.admit(NAME)` breaks a container and shows what a colleague would tell you: the symptom, and the command that was typed. (The labels of the course are left out there.) All set-ups lie in `assets/clinic`, a copy of each in `build/lesson-10`. Then comes your part:
#
# symptom → **commands** → cause → mend → proof.
#
# `ward.discharge(…)` writes the result into a book, for a map at the end. These are the fields that `docker inspect` and `docker ps` are asked for below, in Docker's template language:

# %%
ends = "{{.State.Status}}, exit code {{.State.ExitCode}}"
listed = "{{.Names}}: {{.State}}"
error = "{{.State.Error}}"
oom = "exit code {{.State.ExitCode}}, OOMKilled: {{.State.OOMKilled}}"
health = "{{json .State.Health}}"
networks = "{{json .NetworkSettings.Networks}}"
action = "{{.Action}}"

# %% [markdown]
# ## Case 1: exits at once

# %%
ward.admit("exits")

# %% [markdown]
# `docker ps` lists what runs. **Guess first.** The container has ended. What can you still get from it?

# %%
exits_guess = guess_box("Of a container that has ended you get", options=["nothing", "its exit code only", "exit code and log"], default="nothing")
exits_guess

# %%
!docker ps --filter name=dockerlab-lesson10-exits --format "{listed}"
!docker ps -a --filter name=dockerlab-lesson10-exits --format "{listed}"
!docker inspect --format "{ends}" dockerlab-lesson10-exits
last = !docker logs --tail 1 dockerlab-lesson10-exits
beside(exits_guess, f"exit code and log: {last[-1]}")

# %% [markdown]
# `docker ps -a` lists the dead as well, and `docker logs` reads what they wrote. docker-py says the same:

# %%
patient = client.containers.get("dockerlab-lesson10-exits")
print("the same last line:", patient.logs(tail=1).decode().strip() == last[-1])
print("the same exit code:", patient.attrs["State"]["ExitCode"])

# %% [markdown]
# ### Popular advice: `docker run -it my-api /bin/bash`
#
# You will find this line in many tutorials: start the image with a shell instead, and look around. Run it. (`typed` opens a terminal for a command that wants one, and types lines at its prompt.)

# %%
screen = typed(f"docker run --rm -it {labels} dockerlab-lesson10:exits /bin/bash", ["exit"])
print(screen.splitlines()[-1])

# %% [markdown]
# No shell: the same error. The image has an `ENTRYPOINT`, so `/bin/bash` became an argument of `python app.py` (lesson 03, section 6). `--entrypoint` replaces the program itself:

# %%
print(typed(f"docker run --rm -it --hostname clinic {labels} --entrypoint bash dockerlab-lesson10:exits", ["ls", "grep -n environ app.py", "exit"]))

# %% [markdown]
# `-t` gives the program a terminal, `-i` lets you type. In a script there is nobody to type: leave out `-t` and send the lines through a pipe.

# %%
!echo "env | grep -c MODEL_NAME" | docker run --rm -i {labels} --entrypoint sh dockerlab-lesson10:exits

# %% [markdown]
# The variable that line 6 asks for is set zero times. That is the cause; the mend is one option.

# %%
out = !docker rm -f dockerlab-lesson10-exits
out = !docker run -d --name dockerlab-lesson10-exits {labels} -p 127.0.0.1::8000 -e MODEL_NAME=harbour-n dockerlab-lesson10:exits
ward.discharge("exits", "a variable is not set", "docker logs", mended=ward.says("exits", "serving harbour-n"))

# %% [markdown]
# **A container that is gone from `docker ps` is not gone: `docker ps -a`, then `docker logs`. To look around in its image, `--entrypoint`.**

# %% [markdown]
# ## Case 2: port in use

# %%
ward.admit("port")

# %% [markdown]
# **Guess first.** The engine answered with an error. What does `docker ps -a` say about the container?

# %%
port_guess = guess_box("In docker ps -a it is", options=["not there", "created", "exited"], default="not there")
port_guess

# %%
state = !docker ps -a --filter name=dockerlab-lesson10-port --format "{listed}"
words = !docker inspect --format "{error}" dockerlab-lesson10-port
print(words[0].split(": ")[-1])
beside(port_guess, state[0].split(": ")[1])

# %% [markdown]
# `docker run` is *create*, then *start* (lesson 02). Create went well, start failed, and the engine kept its reason. Who has the port?

# %%
bound = client.containers.get("dockerlab-lesson10-port").attrs["HostConfig"]["PortBindings"]["8000/tcp"][0]["HostPort"]
!docker ps --filter publish={bound} --format "{listed}"

# %% [markdown]
# The usual advice is `lsof -i :8000`. For a container's port it names Docker's own proxy, or nothing at all without root:

# %% tags=["nbval-ignore-output"]
!lsof -nP -sTCP:LISTEN -i :{bound} || echo "lsof shows nothing, or is not installed"

# %% [markdown]
# The wording tells you where to look: *port is already allocated* means a container, *address already in use* means a program of the host. For the second one `lsof` or `ss -ltnp` is right. Here the notebook itself holds a port:

# %%
with socket.create_server(("127.0.0.1", 0)) as mine:
    number = mine.getsockname()[1]
    out = !docker run --name dockerlab-lesson10-host {labels} -p 127.0.0.1:{number}:8000 dockerlab-lesson10:port
print("a program of the host:", "address already in use" in "".join(out))
out = !docker run -d --name dockerlab-lesson10-port {labels} dockerlab-lesson10:port
print("the failed one still has its name:", "is already in use by container" in "".join(out))

# %% [markdown]
# A second stumbling block: the failed container keeps its name until you remove it. Then let the kernel choose a free port, and ask which one it was.

# %%
out = !docker rm dockerlab-lesson10-port dockerlab-lesson10-host
out = !docker run -d --name dockerlab-lesson10-port {labels} -p 127.0.0.1::8000 dockerlab-lesson10:port
chosen = !docker port dockerlab-lesson10-port 8000
ward.discharge("port", "another container has the port", "docker inspect", mended=wait_until(lambda: answers(f"http://{chosen[0]}"), 10))

# %% [markdown]
# **A container that stands at `Created` was refused by the engine: read `.State.Error`. `docker ps --filter publish=PORT` names the container that has the port.**

# %% [markdown]
# ## Case 3: permission denied on a volume

# %%
ward.admit("volume")

# %%
listing(folder / "volume/Dockerfile")

# %% [markdown]
# **Guess first.** The image runs as user 10001, and the volume is new. Who owns `/results`?

# %%
owner_guess = guess_box("The new volume belongs to", options=["10001", "root", "whoever writes first"], default="10001")
owner_guess

# %%
!docker logs --tail 1 dockerlab-lesson10-volume
who = !docker run --rm {labels} -v dockerlab-lesson10-results:/results dockerlab-lesson10:volume sh -c "id -u; stat -c %U /results"
print("runs as", who[0])
beside(owner_guess, who[1])

# %% [markdown]
# The popular mend is a line in the Dockerfile, `RUN chown -R 10001 /app`. Run it:

# %%
text = (folder / "volume/Dockerfile").read_text()
keep = "-v dockerlab-lesson10-results:/results"
(folder / "volume/Dockerfile.chown").write_text(text.replace("USER", "RUN chown -R 10001 /app\nUSER"))
out = !docker build -q -t dockerlab-lesson10:chown {image_labels} -f "{folder}/volume/Dockerfile.chown" "{folder}/volume"
out = !docker run --rm {labels} {keep} dockerlab-lesson10:chown
print(out[-1])

# %% [markdown]
# No change. It gives away the *code*, which nobody wanted to write (and stores it twice, lesson 04). The place that must be writable is the volume. A volume that is empty takes owner and mode from the folder of the image that it is mounted on; where the image has no such folder, root owns it. So make the folder:

# %%
right = text.replace("USER", "RUN install -d -o 10001 -g 10001 /results\nUSER")
(folder / "volume/Dockerfile.right").write_text(right)
out = !docker build -q -t dockerlab-lesson10:right {image_labels} -f "{folder}/volume/Dockerfile.right" "{folder}/volume"
!docker run --rm {labels} {keep} dockerlab-lesson10:right
difference(folder / "volume/Dockerfile", folder / "volume/Dockerfile.right", around=1)

# %% [markdown]
# And a volume in which root already left something? It keeps its owner, whatever the image says. **Guess first.** Does the right image write there?

# %%
old_guess = guess_box("The right image, and a volume with root's files", options=["writes", "is refused"], default="writes")
old_guess

# %%
out = !docker volume create {labels} dockerlab-lesson10-old
old = "-v dockerlab-lesson10-old:/results"
out = !docker run --rm {labels} --user 0 {old} --entrypoint touch dockerlab-lesson10:volume /results/of-root
out = !docker run --rm {labels} {old} dockerlab-lesson10:right
beside(old_guess, "is refused" if "Permission denied" in out[-1] else "writes")

# %%
!docker run --rm {labels} --user 0 {old} --entrypoint chown dockerlab-lesson10:right -R 10001:10001 /results
out = !docker run --rm {labels} {old} dockerlab-lesson10:right
ward.discharge("volume", "root owns the new volume", "docker logs", mended="wrote /results/boxes.csv" in out[-1])

# %% [markdown]
# **Give the folder its owner in the image, before `USER`; an old volume is given over once, by a container that runs as root.** A bind mount follows neither: there the host's owner and mode hold.

# %% [markdown]
# ## Case 4: out of memory

# %%
ward.admit("memory")

# %% [markdown]
# **Guess first.** Python raises `MemoryError` when memory runs out. What stands in the log?

# %%
memory_guess = guess_box("The log holds", options=["MemoryError", "Killed", "nothing"], default="MemoryError")
memory_guess

# %%
said = !docker logs dockerlab-lesson10-memory
!docker inspect --format "{oom}" dockerlab-lesson10-memory
beside(memory_guess, " ".join(said) or "nothing")

# %% [markdown]
# The kernel killed the process in the middle of a line; there was no time for a last word. But somebody else was watching. `docker events` is the engine's diary. It keeps the last few hundred entries, so let the patient die once more and read at once:

# %%
out = !docker start dockerlab-lesson10-memory
!docker wait dockerlab-lesson10-memory
until = int(time.time()) + 2  # an entry may come a moment later
!docker events --since 10m --until {until} --filter container=dockerlab-lesson10-memory --filter event=oom --format "{action}" | sort -u
diary = client.events(since=until - 60, until=until, decode=True, filters={"container": "dockerlab-lesson10-memory", "event": "oom"})
print("the same with docker-py:", {entry["Action"] for entry in diary})

# %% [markdown]
# Does 137 mean *out of memory*? A container that you kill ends with 137 too:

# %%
out = !docker run -d --name dockerlab-lesson10-killed {labels} {base_images.SLIM} sleep 60
out = !docker kill dockerlab-lesson10-killed
!docker inspect --format "{oom}" dockerlab-lesson10-killed

# %% [markdown]
# So read both fields. `docker stats` comes too late for this patient: it shows the present. What does it need? Measure it, with room to spare:

# %%
stats = !docker stats --no-stream --format json dockerlab-lesson10-memory
print("docker stats says 0B:", '"MemUsage":"0B' in stats[0])
held = !docker run --rm {labels} --memory 1g --memory-swap 1g dockerlab-lesson10:memory
needed = int(held[0].split("held ")[1].split()[0])
print("needs more than three times its limit:", needed > 3 * 64)

# %% [markdown]
# There are two mends. Raise the limit to what was measured and a margin (not to a round number that nobody measured). Or let the program hold less: this one can look at one picture after the other.

# %%
limit = f"{needed + needed // 4}m"
more = !docker run --rm {labels} --memory {limit} --memory-swap {limit} dockerlab-lesson10:memory
less = !docker run --rm {labels} --memory 64m --memory-swap 64m -e READ=one dockerlab-lesson10:memory
print("more memory:", more[0].startswith("looked at 200 MB"), "| less need:", less[0].startswith("looked at 200 MB"))
ward.discharge("memory", "the limit is below the need", "docker inspect", mended="looked at 200 MB" in more[0] and "looked at 200 MB" in less[0])

# %% [markdown]
# **Exit code 137 says *killed*; `OOMKilled: true` says why. Measure the need before you raise the limit.**

# %% [markdown]
# ## Case 5: a shared library is missing

# %%
ward.admit("library")

# %% [markdown]
# `pip install` said nothing. **Guess first.** What did it bring?

# %%
pip_guess = guess_box("pip brings", options=["Python files", "Python files and compiled libraries", "these and the system's libraries"],
                      default="these and the system's libraries")
pip_guess

# %%
!docker logs --tail 1 dockerlab-lesson10-library
there = !docker run --rm {labels} --entrypoint ldd dockerlab-lesson10:library site/lightgbm/lib/lib_lightgbm.so
missing = [line.split()[0] for line in there if "not found" in line]
print("ldd misses:", missing)
beside(pip_guess, "Python files and compiled libraries" if missing else "these and the system's libraries")

# %% [markdown]
# `ldd` lists what a compiled file wants from the system, all at once, where an import stops at the first. Which Debian package has it? A larger image of the same release knows:

# %%
package = !docker run --rm {labels} python:3.11-bookworm dpkg -S {missing[0]}
print(package[0].split(":")[0])

# %%
text = (folder / "library/Dockerfile").read_text()
apt = "RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*\n"
(folder / "library/Dockerfile.mended").write_text(text.replace("COPY", f"{apt}COPY"))
out = !docker build -q -t dockerlab-lesson10:library-mended {image_labels} -f "{folder}/library/Dockerfile.mended" "{folder}/library"
out = !docker run --rm {labels} dockerlab-lesson10:library-mended
ward.discharge("library", "a system library is not in the image", "docker logs", mended=out == ["LightGBM is loaded"])

# %% [markdown]
# **Slim images leave out what compiled packages take for granted: `ldd` lists all that is missing, `dpkg -S` in the full image names the package.** (OpenCV's `libGL.so.1` in lesson 06 was the same.)

# %% [markdown]
# ## Case 6: wrong architecture

# %%
ward.admit("architecture")

# %% [markdown]
# The image was built, and tagged, and could be pushed and pulled: nobody complained. **Guess first.** What is wrong?

# %%
format_guess = guess_box("exec format error means", options=["the file is damaged", "no right to execute it", "made for another processor"],
                         default="the file is damaged")
format_guess

# %%
platforms = !docker buildx inspect default
emulated = f"linux/{elf.other(ward.architecture)}" in "".join(platforms)
said = !docker logs dockerlab-lesson10-architecture
made = !docker image inspect --format "{{{{.Os}}}}/{{{{.Architecture}}}}" dockerlab-lesson10:architecture
here = !docker version --format "{{{{.Server.Os}}}}/{{{{.Server.Arch}}}}"
print("docker-py says the same of the engine:", here[0].split("/")[1] == client.version()["Arch"])
print("refused, unless emulation is installed:", any("exec format error" in line for line in said) != emulated)
beside(format_guess, "made for another processor" if made != here else "something else")

# %% tags=["nbval-ignore-output"]
print(f"image: {made[0]} | engine: {here[0]} | emulation installed: {emulated} | log: {said[-1]}")

# %% [markdown]
# The image's config names a processor, the engine has another. Does the file itself agree? There is no shell in this image, and no need for one: `docker cp` fetches a file from any container, also one that has ended.

# %%
out = !docker cp dockerlab-lesson10-architecture:/hello "{folder}/hello"
inside = elf.built_for((folder / "hello").read_bytes())
print("the file was made for the image's processor:", made[0] == f"linux/{inside}")
print("and not for the engine's:", inside != ward.architecture)

# %% [markdown]
# Where **emulation** is installed (Docker Desktop brings it; on Linux it is QEMU, registered with the kernel's *binfmt*), the same container runs, several times slower, and only the warning of `docker run` is left of the fault. Then the message comes on the server. `docker buildx inspect` lists the platforms that an engine can run.
#
# The same message has a second cause that has nothing to do with processors: a script without its first line.

# %%
ward.bench.build("script", """\
FROM python:3.11-slim-bookworm
RUN printf 'echo started\\n' > /start && chmod +x /start
CMD ["/start"]
""")
out = !docker run --rm {labels} dockerlab-lesson10:script
print(out[-1])
ward.bench.build("script", """\
FROM python:3.11-slim-bookworm
RUN printf '#!/bin/sh\\necho started\\n' > /start && chmod +x /start
CMD ["/start"]
""")
out = !docker run --rm {labels} dockerlab-lesson10:script
print(out[-1])

# %% [markdown]
# Mend the first one by building for the engine's processor (or for both: `--platform linux/amd64,linux/arm64`, lesson 11):

# %%
(folder / "architecture/hello").write_bytes(elf.program(ward.architecture, f"hello from {ward.architecture}\n"))
out = !docker build -q --platform linux/{ward.architecture} -t dockerlab-lesson10:architecture {image_labels} "{folder}/architecture"
out = !docker run --rm {labels} dockerlab-lesson10:architecture
ward.discharge("architecture", "built for another processor", "docker logs", mended=out == [f"hello from {ward.architecture}"])

# %% [markdown]
# **`exec format error`: compare `docker image inspect` with `docker version`. If they agree, look for the `#!` of a script.**

# %% [markdown]
# ## Case 7: localhost is not the host

# %%
ward.admit("neighbour")

# %% [markdown]
# The models are served by a container `models` on the same network; its port is published, and your browser sees it on `localhost`. **Guess first.** Who is `localhost` in the container that asks?

# %%
localhost_guess = guess_box("localhost is", options=["your machine", "the container that asks", "the whole network"], default="your machine")
localhost_guess

# %%
!docker logs --tail 1 dockerlab-lesson10-neighbour
ports = !docker exec dockerlab-lesson10-neighbour cat /proc/net/tcp
beside(localhost_guess, "the container that asks" if not any(":1F40" in line for line in ports) else "your machine")

# %% [markdown]
# `/proc/net/tcp` lists the sockets of a container's own network, ports in hexadecimal (8000 is `1F40`). Nobody listens there: *connection refused* is the true answer of the wrong machine. Which address is right? `docker exec` asks from inside:

# %%
published = !docker port dockerlab-lesson10-models 8000
outside = published[0].split(":")[-1]
ask = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=3).read().decode().strip())"
tried = {}
for host, port in (("localhost", "8000"), ("localhost", outside), ("models", outside), ("models", "8000")):
    out = !docker exec dockerlab-lesson10-neighbour python -c "{ask}" http://{host}:{port}/list
    tried[f"{host}, {'the published port' if port == outside else 'port 8000'}"] = out[-1].split("] ")[-1].rstrip(">")
pd.Series(tried, name="answer").to_frame()

# %% [markdown]
# Between containers, the name and the *container's* port. Publishing is for callers from outside the engine, and nothing here needs it.
#
# To reach a program of the host itself, give the host a name: `--add-host host.docker.internal:host-gateway` (Docker Desktop has that name by itself). The program must then listen on more than the host's own `127.0.0.1`.

# %%
out = !docker run --rm {labels} --add-host host.docker.internal:host-gateway {base_images.SLIM} getent hosts host.docker.internal
print("the host has a name:", out[-1].endswith("host.docker.internal"))
out = !docker rm -f dockerlab-lesson10-neighbour
out = !docker run -d --name dockerlab-lesson10-neighbour {labels} --network dockerlab-lesson10-net -e MODELS=http://models:8000/list dockerlab-lesson10:neighbour
ward.discharge("neighbour", "localhost is the container itself", "docker logs", mended=ward.says("neighbour", "says harbour-n"))

# %% [markdown]
# **In a container, `localhost` is the container. Ask neighbours by name, at the port on which they listen.**

# %% [markdown]
# ## Case 8: a name is not found

# %%
ward.admit("name")

# %% [markdown]
# The name is that of a running container, and no `--network` was given: both are on the **default bridge**. **Guess first.** Does the neighbour answer if you ask by its address?

# %%
name_guess = guess_box("By address instead of name", options=["answers", "unreachable"], default="unreachable")
name_guess

# %%
!docker logs --tail 1 dockerlab-lesson10-name
joined = !docker inspect --format "{networks}" dockerlab-lesson10-name
print("its networks:", list(json.loads(joined[0])))
address = client.containers.get("dockerlab-lesson10-catalogue").attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
out = !docker exec dockerlab-lesson10-name python -c "{ask}" http://{address}:8000/list
beside(name_guess, "answers" if "harbour-n" in out[-1] else "unreachable")

# %% [markdown]
# The way is open, only the name is unknown. Names are answered by Docker's own resolver at `127.0.0.11`, and it serves **user-defined networks** only; on the default bridge a container gets the host's resolver, which knows nothing of containers.

# %%
resolver = {}
for network in ("bridge", "dockerlab-lesson10-net"):
    out = !docker run --rm {labels} --network {network} {base_images.SLIM} cat /etc/resolv.conf
    resolver[network] = "127.0.0.11" in "".join(out)
pd.Series(resolver, name="asks Docker's resolver").to_frame()

# %% [markdown]
# The mend needs no restart: a network can be joined while the container runs. On the command line for the one, with docker-py for the other:

# %%
out = !docker network create {labels} dockerlab-lesson10-team
out = !docker network connect dockerlab-lesson10-team dockerlab-lesson10-name
team = client.networks.get("dockerlab-lesson10-team")
team.connect("dockerlab-lesson10-catalogue")
both = !docker network inspect --format json dockerlab-lesson10-team
print("both are members:", all(f"dockerlab-lesson10-{each}" in both[0] for each in ("name", "catalogue")))
ward.discharge("name", "the default bridge knows no names", "docker logs", mended=ward.says("name", "says harbour-n"))

# %% [markdown]
# **Containers find one another by name on a user-defined network, never on the default bridge.** (Compose makes such a network by itself, lesson 08.)

# %% [markdown]
# ## Case 9: the health check is red, and the app works

# %%
ward.admit("health")

# %%
chosen = !docker port dockerlab-lesson10-health 9000
works = answers(f"http://{chosen[0]}")
health_guess = guess_box("The app answers. Who is wrong?", options=["the app", "the check", "the engine"], default="the app")
print("the app answers:", works)
health_guess

# %% [markdown]
# The engine keeps the last five answers of the check, with exit code and output:

# %%
said = !docker inspect --format "{health}" dockerlab-lesson10-health
check = json.loads(said[0])["Log"][-1]
print("exit code", check["ExitCode"], "|", check["Output"].strip().splitlines()[-1])
beside(health_guess, "the check" if works and "refused" in check["Output"] else "the app")

# %% [markdown]
# It knocks at the wrong door. `-e PORT=9000` moved the app, and the check has 8000 by heart. (A check that calls `curl` in an image without curl is red in the same way; then the output says `curl: not found`.) Let both read the same variable:

# %%
text = (folder / "health/Dockerfile").read_text()
mended = text.replace("import urllib.request as u; u.urlopen('http://127.0.0.1:8000/')",
                      "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'])")
(folder / "health/Dockerfile.mended").write_text(mended)
out = !docker build -q -t dockerlab-lesson10:health {image_labels} -f "{folder}/health/Dockerfile.mended" "{folder}/health"
out = !docker rm -f dockerlab-lesson10-health
out = !docker run -d --name dockerlab-lesson10-health {labels} -e PORT=9000 dockerlab-lesson10:health
ward.discharge("health", "the check asks at another port", "docker inspect", mended=health_states(ward.container("health"), "healthy")[-1] == "healthy")

# %% [markdown]
# **`unhealthy` is the opinion of one command: read `.State.Health.Log` before you doubt the app.**

# %% [markdown]
# ## Case 10: it works in my folder, not in the image

# %%
ward.admit("ignored")

# %%
out = !docker run --rm {labels} -v "{folder}/ignored:/app" dockerlab-lesson10:ignored
print("with the folder mounted over /app:", out[-1])
!docker logs --tail 1 dockerlab-lesson10-ignored

# %% [markdown]
# The same image, the same program; the only difference is which files lie in `/app`. The Dockerfile says `COPY . .`, and the build passed. **Guess first.** Where did `labels.json` get lost?

# %%
lost_guess = guess_box("Lost", options=["before the build began", "in COPY", "when the container started"], default="in COPY")
lost_guess

# %% [markdown]
# Is the file in the image? And did it reach the builder? For the second question, `RUN ls` in a Dockerfile of its own, and `--progress=plain`, which prints what each step wrote:

# %%
(folder / "ignored/Dockerfile.look").write_text("FROM python:3.11-slim-bookworm\nCOPY . /context\nRUN ls -A /context\n")
inside = !docker run --rm {labels} --entrypoint ls dockerlab-lesson10:ignored
plain = !docker build --progress=plain --no-cache -f "{folder}/ignored/Dockerfile.look" {image_labels} "{folder}/ignored"
arrived = [line.split()[-1] for line in plain if line.startswith("#") and line.split()[-1].endswith((".py", ".json"))]
print("in the image:", inside, "| with the builder:", sorted(arrived))
beside(lost_guess, "in COPY" if "labels.json" in arrived else "before the build began")

# %% [markdown]
# `docker history` tells the same story for an image whose folder you do not have: the line `COPY . .` brought next to nothing.

# %% tags=["nbval-ignore-output"]
sizes = "{{.Size}}\t{{.CreatedBy}}"
!docker history --format "{sizes}" dockerlab-lesson10:ignored | head -3

# %%
listing(folder / "ignored/.dockerignore")

# %% [markdown]
# `*.json` keeps it out of the context, so the builder never saw it. `COPY . .` copies what is there; a `COPY labels.json .` would have failed, loudly, in the build. An exception brings it back, and the rest stays out:

# %%
ignore = folder / "ignored/.dockerignore"
ignore.write_text(f"{ignore.read_text()}!labels.json\n")
out = !docker build -q -t dockerlab-lesson10:ignored {image_labels} "{folder}/ignored"
out = !docker run --rm {labels} dockerlab-lesson10:ignored
ward.discharge("ignored", ".dockerignore keeps the file out", "docker logs", mended=out[-1].startswith("classes: container"))

# %% [markdown]
# **The image holds what the context held, not what your folder holds. Name the files that you cannot do without in a COPY of their own: then the build fails, and not the night.**

# %% [markdown]
# ## Case 11: disk full

# %%
ward.admit("disk")

# %% [markdown]
# *No space left on device.* **Guess first.** The container is read-only, with a small `/tmp` of its own. Which device is full?

# %%
disk_guess = guess_box("Full is", options=["the host's disk", "the image", "the tmpfs at /tmp"], default="the host's disk")
disk_guess

# %%
!docker logs --tail 1 dockerlab-lesson10-disk
mount = !docker exec dockerlab-lesson10-disk df --output=fstype,size,target /tmp
print(mount[1].split())
full = mount[1].split()[0] == "tmpfs"
beside(disk_guess, "the tmpfs at /tmp" if full else "the host's disk")

# %% [markdown]
# `df` inside tells the device. `tmpfs` is memory, with the size that `--tmpfs` gave it. You could take the mount away; then the answers go into the writable layer:

# %%
out = !docker run -d --name dockerlab-lesson10-layer {labels} dockerlab-lesson10:disk
ward.says("layer", "kept 3 MB")
changes = !docker diff dockerlab-lesson10-layer
print("in /tmp:", [line for line in changes if "/tmp" in line])
size = !docker ps --size --filter name=dockerlab-lesson10-layer --format "{{{{.Size}}}}"
print("MB on the host's disk:", int(float(size[0].split("MB")[0])))

# %% [markdown]
# `docker diff` lists what a container wrote to its layer (A added, C changed, D deleted), and `docker ps --size` weighs it. That space has no limit but the host's disk, which is then full for everybody. Keep the limit, and choose one that fits:

# %%
out = !docker rm -f dockerlab-lesson10-disk
out = !docker run -d --name dockerlab-lesson10-disk {labels} --read-only --tmpfs /tmp:size=16m dockerlab-lesson10:disk
ward.discharge("disk", "the tmpfs is smaller than the file", "docker logs", mended=ward.says("disk", "kept 3 MB"))

# %% [markdown]
# **Ask `df` in the container which device is full.** For the host's own disk: `docker system df` (lesson 02).

# %% [markdown]
# ## An image without a shell
#
# Small images have no shell, no `ls` and no `ps`: `dockerlab-api:minimal` is one. **Guess first.** What is the way in?

# %%
variants.have_rung("minimal", client)
out = !docker run -d --name dockerlab-lesson10-minimal {labels} --read-only --cap-drop ALL dockerlab-api:minimal
way_guess = guess_box("You look inside with", options=["docker exec sh", "install a shell", "a second container beside it"], default="docker exec sh")
way_guess

# %%
out = !docker exec dockerlab-lesson10-minimal sh -c "ls"
print("docker exec:", out[-1].split("process: ")[-1])
!docker exec dockerlab-lesson10-minimal /usr/bin/python3.11 -c "print('but a program that is there can be run')"
beside(way_guess, "a second container beside it" if "not found" in out[-1] else "docker exec sh")

# %% [markdown]
# A container is a process in **namespaces** (lesson 01), and namespaces can be shared. A second container, from an image with all the tools you like, joins the process list and the network of the first. Nothing is changed in the patient.

# %%
beside_it = f"--pid=container:dockerlab-lesson10-minimal --network=container:dockerlab-lesson10-minimal {base_images.SLIM}"
ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/health').status)"
ward.says("minimal", "Uvicorn running")
command = !docker run --rm {labels} {beside_it} cat /proc/1/cmdline
status = !docker run --rm {labels} {beside_it} python -c "{ask}"
print("process 1 is uvicorn:", "uvicorn" in command[0], "| its localhost answers:", status[-1])

# %% [markdown]
# Its files lie below `/proc/1/root`. The kernel guards that door: it opens with `--cap-add SYS_PTRACE`, the right to look into other processes.

# %%
closed = !docker run --rm {labels} {beside_it} ls /proc/1/root/app
opened = !docker run --rm --cap-add SYS_PTRACE {labels} {beside_it} ls /proc/1/root/app
print(closed[-1].split(": ")[-1], "|", opened)

# %% [markdown]
# From the engine's side, the same with docker-py. `docker top` and `docker cp` need nothing in the image either:

# %%
helper = client.containers.run(
    base_images.SLIM, ["cat", "/proc/1/cmdline"], pid_mode="container:dockerlab-lesson10-minimal",
    network_mode="container:dockerlab-lesson10-minimal", remove=True, labels=ward.labels,
)
top = !docker top dockerlab-lesson10-minimal
out = !docker cp dockerlab-lesson10-minimal:/etc/passwd "{folder}/passwd"
print("uvicorn" in helper.decode(), "|", "uvicorn" in " ".join(top), "|", "nonroot" in (folder / "passwd").read_text())

# %% [markdown]
# (Docker Desktop has `docker debug`, and Kubernetes `kubectl debug`: both do this.)
#
# **No shell is no obstacle: bring your own in a container that shares `--pid` and `--network` with the patient.**

# %% [markdown]
# ## The map: symptom → first command
#
# You found eleven causes with a dozen commands. Which ones would have been enough? The ward breaks all eleven again, types seven first commands at each, and searches every answer for the cause.
#
# **Guess first.** How many of the eleven causes does `docker logs` name?

# %%
logs_guess = guess_box("Causes that docker logs names, of 11", default=4)
logs_guess

# %%
rounds = ward.rounds()
order = clinic.fewest(rounds)
print("ask in this order:", order)
print("together they name:", int(rounds[order].any(axis=1).sum()), "of", len(rounds))
beside(logs_guess, int(rounds["docker logs"].sum()))

# %% tags=["nbval-ignore-output"]
decision_map(rounds, order)

# %% [markdown]
# Read it from the left: the state in `docker ps -a`, then the first command. What ran and spoke has it in its log. What never started, was killed, or is judged from outside has it in `docker inspect`. `docker ps -a` itself names no cause; it tells you which row you are in.

# %%
ward.book()

# %% [markdown]
# ## Key points
#
# - `docker ps -a` for the state, `docker logs` for what the program said, `docker inspect` for what the engine knows.
# - Below 125 the program speaks, at 125 the engine, above 128 a signal.
# - `--entrypoint` for a shell in an image, `docker exec` for one in a container, a side container where there is none.
# - A mend is done when the symptom is gone and you have seen it.

# %%
Quiz.load("10").show()

# %% [markdown]
# ## The lab
#
# `labs/10_mend_ten_containers` hands you ten broken set-ups, each with one line of symptom. Open `lab.ipynb` there, or edit the files and run `dockerlab check 10`.
#
# ## Clean up
#
# This removes the containers, networks, volumes and images of this lesson. `dockerlab-api:minimal` and the build cache stay.

# %%
ward.clear()
print("left of this lesson:", ward.left() + len(sum(ward.bench.left(), [])))
