# %% [markdown]
# # Look into a container: a process with its own view
#
# **You will do**: time the start of containers, find a container's process on the engine's machine and end it from there, read its namespaces and its cgroup, change a file of your machine from inside, and run two versions of one library side by side.
#
# **You will learn**: what a container is, what it shares with the machine, how it differs from a virtual machine, and why "it works on my machine" ends with an image.
#
# **You need**: lesson 00, about 40 minutes, half a minute of machine time (1 the first time), 100 MB of free disk.

# %%
%matplotlib inline
import shutil
import statistics
import subprocess
import time

import pandas as pd

from dockerlab.core import polling, settings
from dockerlab.course import cleanup
from dockerlab.detection import api_client
from dockerlab.engine import object_labels
from dockerlab.images import base_images, image
from dockerlab.images.build import build
from dockerlab.lessons.lesson01_processes import charts, host_view
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.quiz import Quiz
from dockerlab.notebook.session import start

client = start()
base_images.ensure(base_images.SLIM, client)
MINE = object_labels.labels(lesson="01")  # on everything that this lesson makes
marks = " ".join(f"--label {name}={value}" for name, value in MINE.items())
cleanup.begin(client, "dockerlab.lesson=01")  # what a run that was cut off left goes
folder = settings.BUILD / "lesson-01"
folder.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. How long does one take to start?
#
# You have read that virtual machines take minutes and containers seconds. The smallest program there is, `true`, ends at once, so what it takes is the start.
#
# **Guess first.** How many times longer than the plain process does the container take?

# %%
times_longer = guess_box("Times longer than a plain process", default=10)
times_longer

# %%
def plain():
    subprocess.run(["true"], capture_output=True)

def in_a_container(**options):
    client.containers.run("python:3.11-slim-bookworm", ["true"], remove=True, labels=MINE, **options)

def without_network():
    in_a_container(network_mode="none")

def seconds(start, times=5):
    began = [(time.perf_counter(), start(), time.perf_counter()) for _ in range(times)]
    return [after - before for before, _, after in began]

# %% [markdown]
# `docker exec` puts another process into a container that runs already. It shows what the container itself costs.

# %%
running = client.containers.run(
    "python:3.11-slim-bookworm", ["sleep", "600"], detach=True, labels=MINE, name="dockerlab-lesson01-sleeper"
)
measured = {
    "plain process": seconds(plain),
    "one more process\nin a running container": seconds(lambda: running.exec_run(["true"])),
    "container without a network": seconds(without_network),
    "container": seconds(in_a_container),
}
median = {name: statistics.median(values) for name, values in measured.items()}
print("a container costs far more than a process:", median["container"] > 10 * median["plain process"])

# %% tags=["nbval-ignore-output"]
beside(times_longer, round(median["container"] / median["plain process"]))

# %% [markdown]
# This notebook cannot boot virtual machines everywhere, so their times are **cited, not measured**; each says where its clock stops.

# %%
cited = pd.DataFrame([
    ("micro-VM", 0.125, "init starts", "Firecracker, SPECIFICATION.md: at most, minimal kernel"),
    ("cloud VM, 2021", 29.3, "port 22 opens", "C. Percival, EC2 boot time benchmarking: example run, summed"),
    ("cloud VM, 2012", 96.9, "first SSH login", "M. Mao, M. Humphrey, IEEE CLOUD 2012: EC2 Linux, mean"),
], columns=["", "seconds", "until", "source"]).set_index("").rename_axis(None)
pd.set_option("display.max_colwidth", None)
cited

# %%
slowest = max(measured["container"])
a_third = cited["seconds"]["cloud VM, 2021"] / 3
print("every start took less than a third of the cloud VM of 2021:", slowest < a_third)

# %% tags=["nbval-ignore-output"]
faster = cited["seconds"]["cloud VM, 2021"] / median["container"]
finding = f"A container starts {faster:,.0f} times as fast as a cloud VM"
charts.start_times(measured, cited["seconds"].to_dict(), finding)

# %% [markdown]
# Both popular claims miss something. The container is no plain process: the engine makes a file system, a network card and namespaces for it first. And a virtual machine need not take minutes: one with a tiny kernel and nothing else boots in the time of a container.
#
# **A container starts quickly because no kernel has to boot.**

# %% [markdown]
# ## 2. Whose kernel?
#
# The image is made of Debian 12. **Guess first.** Which kernel does `uname -r` name in it?

# %%
kernels = ["Debian 12's", "that of the engine's machine"]
whose = guess_box("The kernel in a Debian 12 container", options=kernels, default="Debian 12's")
whose

# %%
inside = !docker run --rm {marks} python:3.11-slim-bookworm uname -r
release = !docker run --rm {marks} python:3.11-slim-bookworm cat /etc/debian_version
outside = client.info()["KernelVersion"]  # docker info
print("Debian", release[0].split(".")[0], "inside")
print("same kernel as the engine's machine:", inside[0] == outside)

# %% tags=["nbval-ignore-output"]
print("inside:", inside[0], " outside:", outside)

# %%
beside(whose, "that of the engine's machine" if inside[0] == outside else "Debian 12's")

# %%
files = image.inspect("python:3.11-slim-bookworm", client).paths()
found = [name for name in files if "vmlinuz" in name or name.startswith("/lib/modules/")]
print("kernels and kernel modules in the image:", len(found))

# %% [markdown]
# An image holds what a distribution puts round a kernel, and no kernel. So a program that needs a newer kernel does not get one from an image, and an image of Linux needs a Linux kernel: Docker Desktop on macOS and Windows keeps one small Linux machine for all containers, and that machine's kernel is the one you see.
#
# **All containers of a machine run on the one kernel of that machine.**

# %% [markdown]
# ## 3. One process, seen from two sides
#
# The sleeper of section 1 still runs. **Guess first.** Which process number does `sleep` have inside its container?

# %%
number = guess_box("Process number of sleep inside", default=4711)
number

# %%
within = running.exec_run(["sh", "-c", "cat /proc/1/comm; ls /proc | grep -c '^[0-9]'"]).output.decode().split()
print("process 1 inside is:", within[0])

# %%
beside(number, 1 if within[0] == "sleep" else "another")

# %% [markdown]
# `docker top` asks the engine's machine for the same process.

# %% tags=["nbval-ignore-output"]
!docker top dockerlab-lesson01-sleeper -o pid,user,comm

# %%
listed = running.top(ps_args="-o pid,comm")["Processes"]
running.reload()
pid = running.attrs["State"]["Pid"]
print(len(listed), "process:", listed[0][1].strip())
print("the engine's number for it is the same:", listed[0][0] == str(pid))

# %% [markdown]
# One process, two numbers. The kernel keeps both, and says so: `NSpid` in `/proc/PID/status` holds the number outside and the number inside. If the engine's machine is yours and you are root, `grep NSpid /proc/PID/status` shows it. Everywhere else a helper container does, started with `--pid=host`: it sees the engine's processes.

# %% tags=["nbval-ignore-output"]
!docker run --rm {marks} --pid=host python:3.11-slim-bookworm grep NSpid /proc/{pid}/status

# %% [markdown]
# `host_view.look` asks such a helper for all that follows; where an engine allows none (some company settings of Docker Desktop), it tells what can be seen from inside. Who started the process, and who started that one?

# %% tags=["nbval-ignore-output"]
seen = host_view.look(client, running)
seen.ancestors()

# %%
seen = host_view.look(client, running)
names = [each.name for each in seen.family]
print("a process of the machine:", seen.process.pid == pid, "| number inside:", seen.process.inside)
print("a runtime is between:", "runc" in names or "dockerd" in names)

# %% [markdown]
# `containerd-shim` waits for the process to end and keeps its output; it takes no part in what the process does. The engine is another process beside it, and `runc`, which set everything up, has ended long ago. So nothing lies between program and kernel.
#
# If it is a process, it can be ended like one. **Guess first.** Somebody on the machine sends SIGKILL to that number. What happens to the container?
#
# Once a process has ended, its number can become another's. So the command first looks whether it still belongs to this container: run twice, it harms nobody.

# %%
states = ["runs on", "has exited"]
killed = guess_box("After kill -9 from the outside the container …", options=states, default="runs on")
killed

# %%
kill = f"grep -qs {running.id} /proc/{pid}/cgroup && kill -9 {pid}"
!docker run --rm {marks} --pid=host python:3.11-slim-bookworm sh -c "{kill}"
exit_code = running.wait(timeout=30)["StatusCode"]
running.reload()
print("state:", running.status, "| exit code:", exit_code)

# %%
beside(killed, "has exited" if running.status == "exited" else "runs on")

# %% [markdown]
# 137 is 128 + 9: ended by signal 9. The engine only noticed.
#
# **A container lives as long as its main process, and that process is one of the machine's.**

# %% [markdown]
# ## 4. Its own host name, files, ports and processes
#
# Two containers of one image each write a file under the same name and serve it on the same port. **Guess first**: does the second one find port 8000 taken?

# %%
taken = guess_box("Is port 8000 taken for the second container?", options=["yes", "no"], default="yes")
taken

# %%
def serve(name):
    script = f"echo {name} > /tmp/who && exec python -m http.server 8000 --directory /tmp"
    return client.containers.run(
        "python:3.11-slim-bookworm", ["sh", "-c", script], detach=True, labels=MINE,
        name=f"dockerlab-lesson01-{name}", hostname=name,
    )

twins = {name: serve(name) for name in ("left", "right")}

# %% [markdown]
# This asks each of them four things, from inside.

# %%
question = """
import os, socket, urllib.request
answer = urllib.request.urlopen("http://localhost:8000/who").read().decode().strip()
processes = [name for name in os.listdir("/proc") if name.isdigit()]
print(socket.gethostname(), open("/tmp/who").read().strip(), answer, len(processes))
"""

def ask(twin):
    return twin.exec_run(["python", "-c", question])

for twin in twins.values():
    polling.wait_until(lambda twin=twin: ask(twin).exit_code == 0, 30, interval=0.2)
views = {name: ask(twin).output.decode().split() for name, twin in twins.items()}
rows = ["host name", "file /tmp/who", "answer on localhost:8000", "processes in sight"]
pd.DataFrame(views, index=rows)

# %%
beside(taken, "no" if views["right"][2] == "right" else "yes")

# %% tags=["nbval-ignore-output"]
def say(twin, command):
    return twin.exec_run(command).output.decode().split()

cards = {name: say(twin, "ls /sys/class/net") for name, twin in twins.items()}
addresses = {name: say(twin, "hostname -I")[0] for name, twin in twins.items()}
pd.DataFrame({"network cards": cards, "address": addresses})

# %% [markdown]
# Each has its own everything: its own name, files, network card with an address, and processes (the two in sight are the server and the question itself). `localhost` inside is the container, not your machine; lesson 08 comes back to that.

# %% [markdown]
# ## 5. Namespaces: which views are its own
#
# A **namespace** is the kernel's word for such a view. There are eight kinds. Every process is in one of each kind, and `/proc/PID/ns` shows in which. **Guess first.** How many of the eight does a container get for itself?

# %%
own = guess_box("Namespaces of its own, of 8", default=8)
own

# %% tags=["nbval-ignore-output"]
seen = host_view.look(client, twins["left"])
seen.namespaces()

# %%
seen, other = host_view.look(client, twins["left"]), host_view.look(client, twins["right"])
basic = ["mnt", "uts", "ipc", "pid", "net"]
print("its own:", *(kind for kind in basic if kind not in seen.shared()))
print("different from its twin's:", *(kind for kind in basic if seen.own[kind] != other.own[kind]))
print("user numbers are shared with the machine:", "user" in seen.shared())

# %% tags=["nbval-ignore-output"]
beside(own, len(seen.own.keys() & host_view.KINDS.keys()) - len(seen.shared()))

# %% [markdown]
# The numbers are names that the kernel gives; equal numbers mean the same namespace. *cgroup* is a container's own on engines with cgroups of version 2 and shared on version 1. *user* is shared unless the engine was set up otherwise (`userns-remap`, rootless); section 7 shows what follows. *time* is shared.
#
# Each kind can be chosen alone. This one joins the network of *left*, and keeps files and processes for itself:

# %%
look = """import os; from urllib.request import urlopen
print(urlopen('http://localhost:8000/who').read().decode().strip(), os.path.exists('/tmp/who'))"""
said = !docker run --rm {marks} --network container:dockerlab-lesson01-left python:3.11-slim-bookworm python -c "{look}"
print("localhost:8000 says, and /tmp/who is there:", said[0])

# %% [markdown]
# **Namespaces decide what a process sees.** Lesson 10 uses the joined form to look into images that have no shell.

# %% [markdown]
# ## 6. The cgroup: how much it may use
#
# A **cgroup** is the kernel's account of a group of processes, with limits. This container may use 64 MB of memory and half a CPU. **Guess first.** How many MB of memory does a program see in it, in `/proc/meminfo`?

# %%
sees = guess_box("MB in /proc/meminfo", default=64)
sees

# %%
container_id = !docker run -d {marks} --name dockerlab-lesson01-limited --memory 64m --cpus 0.5 python:3.11-slim-bookworm sleep 600
limited = client.containers.get("dockerlab-lesson01-limited")
meminfo = limited.exec_run(["grep", "MemTotal", "/proc/meminfo"]).output.decode()
total_mb = int(meminfo.split()[1]) / 1000
processors = int(limited.exec_run(["python", "-c", "import os; print(os.cpu_count())"]).output)
print("the program sees more than its limit:", total_mb > 64)
print("it sees all processors of the machine:", processors == client.info()["NCPU"])

# %% tags=["nbval-ignore-output"]
beside(sees, round(total_mb))

# %% [markdown]
# The program sees the whole machine. The limit stands somewhere else: in files that the kernel shows under `/sys/fs/cgroup`, from inside and from outside.

# %% tags=["nbval-ignore-output"]
limits = host_view.look(client, limited)
print("/proc/PID/cgroup says:", limits.cgroup_path())
limits.limits()

# %%
limits = host_view.look(client, limited)
two, one = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
inside = limited.exec_run(["sh", "-c", f"cat {two} 2>/dev/null || cat {one}"]).output.decode().strip()
print("outside:", limits.memory_limit(), "bytes,", limits.cpu_limit(), "CPUs | inside:", inside, "bytes")

# %% [markdown]
# The file names tell the version of cgroups: `memory.max` is version 2, `memory.limit_in_bytes` version 1. A program that sizes its threads or its cache by what it sees takes too much: the detection API reads its cgroup for that reason, and lesson 07 shows what happens to programs that do not.
#
# **Namespaces decide what a process sees, cgroups how much it may use.**

# %% [markdown]
# ## 7. What a container is not
#
# Not a virtual machine: you saw one kernel, one list of processes, no layer between. The usual picture of containers draws a "runtime" under the programs, where a hypervisor would be. It misleads:

# %% tags=["nbval-ignore-output"]
charts.stacks()

# %% [markdown]
# And not a wall by itself. Here is a file that only you may read and change; the folder is made for this lesson. **Guess first**: a container gets the folder mounted. Can root in the container change the file?

# %%
can = guess_box("Can root in a container change your file?", options=["yes", "no"], default="no")
notes = folder / "private-notes.txt"
notes.write_text("mine alone\n")
notes.chmod(0o600)
can

# %%
change = "echo changed from inside > /host/private-notes.txt; touch /host/made-by-root"
!docker run --rm {marks} -v "{folder}":/host python:3.11-slim-bookworm sh -c "{change}"
print("the file says:", notes.read_text().strip())

# %%
beside(can, "yes" if "inside" in notes.read_text() else "no")

# %% [markdown]
# (An engine on another machine has mounted a folder of *its* disk; then your file is untouched.) Who owns the new file here, and why was nobody asked? `uid_map` says how user numbers inside translate to numbers outside.

# %% tags=["nbval-ignore-output"]
!ls -ln "{folder}"
!docker run --rm {marks} python:3.11-slim-bookworm cat /proc/self/uid_map

# %% [markdown]
# `0 0 4294967295` reads: number 0 inside is number 0 outside, and so on for all of them. Without a user namespace of its own, root inside is root, and the mount is the door. With `-v /:/host` it would be the door to everything; that is why membership in the group `docker` is as good as root. (A rootless engine translates, and its line reads otherwise.)
#
# Give less, and less can be done:

# %%
refused = !docker run --rm {marks} -v "{folder}":/host:ro python:3.11-slim-bookworm sh -c "echo again > /host/private-notes.txt"
print(refused[0].rpartition(": ")[2])

# %% [markdown]
# **A container separates programs that mean no harm. Against those that do, it needs more: no root, no privileges, no mounts that it does not need.** Lesson 09 builds that, step by step.

# %% [markdown]
# ## 8. "It works on my machine"
#
# A colleague sends a program that makes small pictures. It is three lines long, and it works there.

# %%
program = folder / "thumbnail"
program.mkdir(exist_ok=True)
shutil.copy(api_client.samples()[0], program / "harbour.jpg")
(program / "thumbnail.py").write_text("""\
import PIL
from PIL import Image
small = Image.open("harbour.jpg").resize((160, 120), Image.ANTIALIAS)
print("Pillow", PIL.__version__, "made", small.size)
""")
(program / "Dockerfile").write_text("""\
FROM python:3.11-slim-bookworm
ARG PILLOW
RUN pip install --no-cache-dir pillow==${PILLOW}
WORKDIR /app
COPY harbour.jpg thumbnail.py ./
CMD ["python", "thumbnail.py"]
""")
print("files in the context:", *sorted(path.name for path in program.iterdir()))

# %% [markdown]
# The colleague has Pillow 9.5, you have Pillow 10.4. Both machines are images here: the same Dockerfile, with another version. **Guess first**: does the program work on yours?

# %%
works = guess_box("Does it work with the next major version?", options=["yes", "no"], default="yes")
works

# %%
for whom, version in (("colleague", "9.5.0"), ("yours", "10.4.0")):
    build(program, tag=f"dockerlab-lesson01:{whom}", buildargs={"PILLOW": version}, labels=MINE, client=client)
!docker run --rm {marks} dockerlab-lesson01:colleague

# %%
failed = !docker run --rm {marks} dockerlab-lesson01:yours
print(failed[-1])

# %%
beside(works, "no" if "AttributeError" in failed[-1] else "yes")

# %% [markdown]
# Pillow 10 removed the name `ANTIALIAS`; on the colleague's machine a warning had said so. The program is the same file in both; what it stands on is not. Can one environment hold both versions?

# %%
said = !docker run --rm {marks} dockerlab-lesson01:yours pip install --dry-run pillow==9.5.0 pillow==10.4.0 2>&1
print("pip finds a conflict:", any("conflicting dependencies" in line or "Double requirement" in line for line in said))

# %% [markdown]
# One engine can hold both, and run both at once:

# %%
wait = ["python", "-c", "import PIL, time; print(PIL.__version__, flush=True); time.sleep(600)"]
pair = MINE | {"dockerlab.pair": "pillow"}
both = [client.containers.run(f"dockerlab-lesson01:{whom}", wait, detach=True, labels=pair) for whom in ("colleague", "yours")]
polling.wait_until(lambda: all(each.logs() for each in both), 30)
columns = "table {{.Image}}\t{{.State}}"
!docker ps --filter label=dockerlab.pair=pillow --format "{columns}"

# %%
print("at the same time:", *(each.logs().decode().strip() for each in both))

# %% [markdown]
# A virtual environment would have solved this one too, on the same machine and interpreter. It does not carry the interpreter, the C library or the `libgl1` of lesson 06; an image does.
#
# **Ship what the program stands on together with the program.**

# %% [markdown]
# ## Key points
#
# - A container is a process of the machine, with its own view (namespaces) and its own account (cgroup).
# - All containers share the machine's kernel. That makes them quick and light, and ties them to it.
# - There is no layer under a container's program. The engine starts it, watches it and stands beside it.
# - Root inside is root outside unless something is done about it. A mount is a door.
# - An image carries what a program stands on, so versions that exclude each other run side by side.

# %%
Quiz.load("01").show()

# %% [markdown]
# ## Clean up
#
# This removes the containers and the two images of this lesson and its folder.

# %%
cleanup.remove_labelled(client, "dockerlab.lesson=01")
shutil.rmtree(folder)
print("objects of this lesson left:", len(cleanup.labelled(client, "dockerlab.lesson=01")) + len(client.images.list("dockerlab-lesson01")))
