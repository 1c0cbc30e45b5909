# %% [markdown]
# # Run a service: health, restarts, limits, data
#
# **You will do**: freeze a server and watch its health turn red; crash it and watch it return; stop it in the middle of a request; let the kernel kill it for memory; choke its CPU; remove it and see which data is left.
#
# **You will learn**: what the engine does by itself for a service, what it does only if you say so, and what it never does.
#
# **You need**: lessons 02, 03 and 05, about 75 minutes of your time, and 1 GB of free disk. The machine works for a minute and a quarter of it; some minutes more the first time, if the image of lesson 05 has to be built.

# %%
%matplotlib inline
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import docker
import pandas as pd
import requests

from dockerlab.containers import container, events
from dockerlab.core import polling
from dockerlab.course import cleanup
from dockerlab.course.workbench import Bench, free_port
from dockerlab.detection import benchmark, variants
from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.lessons.lesson07_services.charts_health import health_strips, restart_lines
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.quiz import Quiz
from dockerlab.notebook.session import start

pd.set_option("display.max_colwidth", None)
client = start(timeout=300)
for base in (base_images.SLIM, base_images.DEBIAN):
    base_images.ensure(base, client)
variants.ensure_rung("multistage", client)
bench = Bench("07", client)
cleanup.remove_named(client, "dockerlab-lesson07")
print("leftovers of an earlier run:", len(sum(bench.left(), [])))

# %% [markdown]
# ## 1. Running is not working
#
# `docker ps` says `Up` as long as the process exists. Whether it answers is another question, and a **health check** asks it: a command that the engine runs inside the container again and again. Exit code 0 is healthy.
#
# You will find this check in most tutorials: `curl -f http://localhost:8000/health || exit 1`. The API of lesson 05 answers 200 there.
#
# **Guess first.** What does the engine say about the API after some seconds of this check?

# %%
curl_guess = guess_box("With the curl check the API is", options=["healthy", "starting", "unhealthy"], default="healthy")
curl_guess

# %% [markdown]
# Two containers of the same image, with two checks. The recorder keeps the engine's events about them from now on. `--restart` is for section 3; look what it does here.

# %%
checks = {"curl": "curl -f http://localhost:8000/health || exit 1", "python": "python -m app.healthcheck"}
every_second = "--health-interval 1s --health-timeout 4s --health-retries 2 --health-start-period 8s --health-start-interval 500ms"
recorder = events.Recorder(client, [f"dockerlab-lesson07-{name}" for name in checks])
for name, check in checks.items():
    out = !docker run -d --name dockerlab-lesson07-{name} {bench.labels} --restart unless-stopped -p 127.0.0.1:{free_port()}:8000 --health-cmd "{check}" {every_second} dockerlab-api:multistage
curl, api = (client.containers.get(f"dockerlab-lesson07-{name}") for name in checks)
print("the API's health at first:", events.wait_for_health(api, "starting", 2), "then:", events.wait_for_health(api, "healthy"))

# %% [markdown]
# Now break it, in the way that is hardest to see: the signal STOP freezes every thread. The process is there, it holds its port, it answers nothing. CONT lets it go on. The signal comes from outside, as trouble does: the API's process has a number on the engine's machine, and a container that sees all processes there (`--pid host`) may signal it. (`docker kill --signal` could do it too, but then the engine takes it for your own doing.)
#
# **Guess again.** The restart policy is `unless-stopped`. How often does the engine restart the frozen API?

# %%
frozen_guess = guess_box("Restarts of the frozen API", default=1)
frozen_guess

# %%
outside = f"docker run --rm {bench.labels} --pid host debian:bookworm-slim sh -c"
pid = api.attrs["State"]["Pid"]
recorder.mark("frozen")
!{outside} "kill -STOP {pid}"
red = events.wait_for_health(api, "unhealthy")
print("process:", api.status, "| health:", red, "| restarts:", api.attrs["RestartCount"])
restarts = api.attrs["RestartCount"]
recorder.mark("thawed")
!{outside} "kill -CONT {pid}"
print("after CONT:", events.wait_for_health(api, "healthy"))

# %%
beside(frozen_guess, restarts)

# %%
answer = requests.get(f"{container.published(curl, 8000)}/health", timeout=10)
says = events.wait_for_health(curl, "unhealthy")
print("asked from outside:", answer.status_code, answer.json()["status"])
print("says the engine:   ", says)
curl.reload()
print("because:           ", curl.attrs["State"]["Health"]["Log"][-1]["Output"].strip())

# %%
beside(curl_guess, says)

# %% tags=["nbval-ignore-output"]
recorder.stop()
health_strips({"curl": recorder.of(curl.name), "Python": recorder.of(api.name)}, {"curl": "curl", "Python": "healthcheck"},
              "curl: red though the API works. Python: red only while it does not",
              marks={"Python": recorder.marks}, until=time.time())

# %%
for box in (curl, api):
    print(box.name.rpartition("-")[2], *(span.state for span in events.spans(recorder.of(box.name))), sep=" → ")

# %% [markdown]
# A slim image has no curl, so that check fails for ever; nobody notices until something acts on it. The interpreter is in the image already, and ours asks the same address with `urllib`: see `assets/detection-api/app/healthcheck.py`. In an image without a shell write the check as a JSON list; it is then run directly.
#
# Read the strip of the Python check from left to right. During the **start period** failures do not count. One success makes it healthy. Frozen, it is still called healthy for some seconds: a probe has to run into its **timeout**, and that **retries** times in a row. So the time to notice is up to (interval + timeout) × retries: with the 30 s, 10 s and 3 of the tutorials, two minutes.
#
# And the engine never restarted the unhealthy container. **A health check only tells. On a single engine nothing acts on it: Compose waits for it (lesson 08), Swarm and other orchestrators replace the container (lesson 11).**
#
# The engine's events are the source of that picture. On the command line `docker events` prints them; with `--until` it ends by itself.

# %% tags=["nbval-ignore-output"]
since, until, action = int(recorder.began), int(time.time()), "{{.Action}}"
!docker events --since {since} --until {until} --filter container=dockerlab-lesson07-python --filter event=health_status --format "{action}"

# %%
past = client.events(since=time.time() - 1, until=time.time(), filters={"container": api.name}, decode=True)
print("docker-py reads the same stream:", all(event["Type"] == "container" for event in past))

# %% [markdown]
# In docker-py a check is a dictionary, its times are nanoseconds, and it knows no start interval:

# %%
second = 1_000_000_000
check = {"test": ["CMD-SHELL", checks["python"]], "interval": second, "timeout": 4 * second, "retries": 2, "start_period": 8 * second}
same = client.containers.create("dockerlab-api:multistage", name="dockerlab-lesson07-same", healthcheck=check, labels=object_labels.labels())
by_cli, by_python = api.attrs["Config"]["Healthcheck"], same.attrs["Config"]["Healthcheck"]
same.remove()
print("differs in:", [key for key in by_cli if by_cli[key] != by_python.get(key)])

# %% [markdown]
# The same container as an instrument: its buttons are the commands, the strip shows its health as letters. Freeze it with *pause*, *kill* it, and see which of the two the restart policy answers.

# %% tags=["nbval-ignore-output"]
from dockerlab.notebook.widgets import ContainerConsole

ContainerConsole(api.name)

# %% [markdown]
# ## 2. Alive is not ready
#
# Two questions, often mixed up. **Liveness**: does the process still do anything, or must it be replaced? **Readiness**: should it get requests now? This API has no model to serve, since somebody mistyped the path. **Guess first**: which of them fails?

# %%
ready_guess = guess_box("A server without its model is", options=["alive and ready", "alive, not ready", "neither"], default="neither")
ready_guess

# %%
with container.running("dockerlab-api:multistage", environment={"MODEL_PATH": "/app/model/habour.onnx"}, ready="/", client=client) as lost:
    polling.wait_until(lambda: "cannot" in requests.get(f"{lost.url}/health", timeout=5).text, 20)
    page, health = (requests.get(f"{lost.url}{path}", timeout=5) for path in ("/", "/health"))
print("alive:", page.status_code, "| ready:", health.status_code, "|", health.json()["detail"])

# %%
beside(ready_guess, f"{'alive' if page.ok else 'dead'}, {'ready' if health.ok else 'not ready'}")

# %% [markdown]
# A restart would not bring the model back. It would hide the sentence in `/health` and turn one broken setting into an endless loop. So the two need two answers: *not ready* takes the container out of the traffic, *not alive* replaces it.
#
# Docker has one check, and uses it to decide whether others may start and whether a rolling update may go on: that is readiness. Kubernetes has a field for each. **Let the check ask for what the service needs to answer, and nothing that a restart cannot mend may kill it.**

# %% [markdown]
# ## 3. It ends; does it return?
#
# The **restart policy** says what happens when the process ends. Three policies, four ways to end. **Guess first**: an operator types `docker kill` on a container with `unless-stopped`. Does it return?

# %%
kill_guess = guess_box("After docker kill it", options=["returns", "stays down"], default="returns")
kill_guess

# %%
ends = {"exit code 0": "sleep 0.3", "exit code 1": "sleep 0.3; exit 1", "docker stop": "exec sleep 60", "docker kill": "exec sleep 60"}
policies = {"no": 0, "on-failure": 3, "unless-stopped": 0}

def returns(policy, end):
    restart = {"Name": policy, "MaximumRetryCount": policies[policy]}
    with bench.started(base_images.DEBIAN, ["sh", "-c", ends[end]], restart_policy=restart) as box:
        if end == "docker stop":
            box.stop(timeout=0)
        if end == "docker kill":
            box.kill()
        return "returns" if events.wait_for_starts(box, 1, timeout=1.5) else "stays down"

with ThreadPoolExecutor(6) as pool:
    cases = [(policy, end) for policy in policies for end in ends]
    outcomes = pd.Series(list(pool.map(lambda case: returns(*case), cases)), index=pd.MultiIndex.from_tuples(cases)).unstack()
outcomes.loc[list(policies), list(ends)]

# %%
beside(kill_guess, outcomes.loc["unless-stopped", "docker kill"])

# %% [markdown]
# What you end yourself stays down, `docker kill` too. What ends by itself returns, and `on-failure` looks at the exit code. `always` does the same as `unless-stopped`, but also starts a container that you stopped, once the engine itself starts again.
#
# So to see a crash of the API, something else has to kill it. SIGKILL from outside, as the kernel would send it:

# %%
!{outside} "kill -KILL {pid}"
events.wait_for_starts(api, 1, timeout=10)
back = events.wait_for_health(api, "healthy")
print("restarts:", api.attrs["RestartCount"], "| another process:", api.attrs["State"]["Pid"] != pid, "| health:", back)

# %% [markdown]
# And what if it crashes again and again? `on-failure:3` gives up after three retries. `always` never does.

# %%
stubborn = events.Recorder(client, ["dockerlab-lesson07-three", "dockerlab-lesson07-always"])
out = !docker run -d --name dockerlab-lesson07-three {bench.labels} --restart on-failure:3 debian:bookworm-slim sh -c "echo try; exit 1"
always = client.containers.run(base_images.DEBIAN, ["sh", "-c", "echo try; exit 1"], name="dockerlab-lesson07-always", detach=True,
                               restart_policy={"Name": "always"}, labels=object_labels.labels())
three = client.containers.get("dockerlab-lesson07-three")
events.wait_for_starts(always, 5)
three.reload()
print("on-failure:3:", three.logs().decode().count("try"), "tries, then", three.status, "with exit code", three.attrs["State"]["ExitCode"])

# %% tags=["nbval-ignore-output"]
stubborn.stop()
restart_lines({"on-failure:3": stubborn.of(three.name), "always": stubborn.of(always.name)}, "The engine waits longer before each try")

# %%
for box in (always, three, curl):
    box.remove(force=True)
print("still here:", *(each.name for each in client.containers.list(all=True, filters={"name": "dockerlab-lesson07"})))

# %% [markdown]
# The pause doubles, from a tenth of a second up to a minute, and begins anew once a run has lasted ten seconds. A crash loop therefore costs little, and looks like this in `docker ps`: `Restarting (1) 12 seconds ago`.
#
# **For a service `--restart unless-stopped`, for a job `on-failure:N` or nothing. And count restarts: a service that returns is easily taken for one that works.**

# %% [markdown]
# ## 4. Stop without losing a request
#
# `docker stop` sends SIGTERM to PID 1, waits (10 s, or `-t`, or `--stop-timeout` of the container), then sends SIGKILL. Lesson 03 measured who hears SIGTERM. Here a client is waiting for an answer at that moment. The answer takes two seconds; the second server below handles SIGTERM by finishing what it has begun.

# %%
bench.write({"slow.py": '''\
import http.server, os, signal, sys, threading, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(2 if self.path == "/slow" else 0)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"done")
server = http.server.ThreadingHTTPServer(("", 8000), Answer)
if "graceful" in sys.argv:
    server.daemon_threads = False  # server_close() waits for them
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
'''})
bench.build("slow", "FROM python:3.11-slim-bookworm\nWORKDIR /app\nCOPY slow.py .\n").image_id.startswith("sha256:")

# %% [markdown]
# **Guess first.** `--init` puts a small program in front, as PID 1, that hands SIGTERM on. Does it save the request of the server that has no handler?

# %%
init_guess = guess_box("With --init and no handler the request is", options=["answered", "lost"], default="answered")
init_guess

# %%
from dockerlab.lessons.lesson07_services.graceful_stop import stop_while_busy, zombies

slow = ["python", "slow.py"]
ways = {
    "no handler": {"command": slow},
    "no handler, --init": {"command": slow, "init": True},
    "handler, behind a shell": {"command": ["sh", "-c", "python slow.py graceful"]},
    "handler": {"command": [*slow, "graceful"]},
    "handler, --init": {"command": [*slow, "graceful"], "init": True},
}
with ExitStack() as stack:
    boxes = {way: stack.enter_context(bench.started("slow", ports={"8000/tcp": ("127.0.0.1", None)}, **options)) for way, options in ways.items()}
    stops = stop_while_busy(boxes, "/slow", patience=4)
stops.drop(columns="seconds")

# %% tags=["nbval-ignore-output"]
from dockerlab.lessons.lesson07_services.charts import latency_by_threads, stop_bars, usage_over_time

stop_bars(stops, "Only a handler that SIGTERM reaches saves the request and its time")

# %%
print("killed when the 4 s were over:", *stops.index[stops["exit code"] == 137], sep="\n  ")
print("ended sooner:", *stops.index[(stops["seconds"] < 3.9)], sep="\n  ")
beside(init_guess, stops.loc["no handler, --init", "request"])

# %% [markdown]
# With `--init` the stop is quick, and the request is lost: Python without a handler ends at once. Without it the request was answered by luck, because it took less than the patience; what comes in the meantime dies with the server. 143 is 128 + 15, SIGTERM; 137 is 128 + 9, SIGKILL.
#
# uvicorn has such a handler, so the API only needs to be reached by the signal: exec form, or a script that ends with `exec`. **The patience must be longer than the longest request: `--stop-timeout 30` for answers that take up to 25 s.**
#
# What `--init` is really for: PID 1 also inherits processes whose parent has ended, and has to take note when they end. A server that is no init does not do that, and they stay as **zombies**, each with a place in the process table.

# %%
orphans = ["python", "-c", "import subprocess, time; [subprocess.run(['sh', '-c', 'sleep 0.2 &']) for _ in range(5)]; time.sleep(60)"]
with bench.started(base_images.SLIM, orphans) as bare, bench.started(base_images.SLIM, orphans, init=True) as with_init:
    left = zombies({"PID 1 is the server": bare, "PID 1 is docker-init": with_init}, wanted=5)
left

# %% [markdown]
# ## 5. A memory limit, and the kernel behind it
#
# Without a limit one container can take the memory of the whole machine, and the kernel then chooses whom it kills. `--memory` makes that choice: the one that takes too much. This program takes 10 MB at a time.

# %%
greedy = "kept = []\nfor n in range(1, 51):\n    kept.append(bytearray(10_000_000))\n    print(10 * n, flush=True)"
bench.write({"greedy.py": greedy})
bench.build("greedy", "FROM python:3.11-slim-bookworm\nCOPY greedy.py .\nCMD [\"python\", \"greedy.py\"]\n")
reached = !docker run --name dockerlab-lesson07-greedy {bench.labels} --memory 64m --memory-swap 64m dockerlab-lesson07:greedy
fields = "{{.State.ExitCode}} {{.State.OOMKilled}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}"
said = !docker inspect --format "{fields}" dockerlab-lesson07-greedy
print("got more than 30 MB, less than 64:", 30 < int(reached[-1]) < 64)
print("exit code, OOMKilled, memory, memory and swap:", said[0])

# %% [markdown]
# No exception, no last word in the log: SIGKILL cannot be handled. **Guess first**: is exit code 137 the proof that memory ran out?

# %%
proof_guess = guess_box("137 means out of memory", options=["always", "not always"], default="always")
proof_guess

# %%
programs = {"too much memory": "x = bytearray(10**8)", "docker kill": "import time; time.sleep(60)"}

def ending(end):
    with bench.started(base_images.SLIM, ["python", "-c", programs[end]], mem_limit="48m", memswap_limit="48m") as box:
        if end == "docker kill":
            box.kill()
        box.wait(timeout=30)
        box.reload()
        return {key: box.attrs["State"][key] for key in ("ExitCode", "OOMKilled")}

both = pd.DataFrame({end: ending(end) for end in programs}).T
both

# %%
beside(proof_guess, "always" if both["OOMKilled"].all() else "not always")

# %% [markdown]
# `OOMKilled` is the proof, 137 only says SIGKILL. On the host, `docker events --filter event=oom` tells it as it happens.
#
# `--memory-swap` is the sum of memory **and** swap. Leave it out, and the container may swap as much again: it does not die at its limit but becomes slow first. For a service that has to answer, set both to the same value.

# %%
half = client.containers.create(base_images.SLIM, name="dockerlab-lesson07-half", mem_limit="64m", labels=object_labels.labels())
limits = half.attrs["HostConfig"]
half.remove()
print("twice the memory where the kernel can count swap:", (limits["MemorySwap"] == 2 * limits["Memory"]) == client.info()["SwapLimit"])

# %% [markdown]
# How much does the API need? Not a question for thought: section 7 draws it, and at the end of section 6 you can try any limit.

# %% [markdown]
# ## 6. A CPU limit, and the threads behind it
#
# `--cpus 0.5` gives a container 50 ms of CPU time in every 100 ms; when they are used up, it stands still until the next round. How many threads should compute then?
#
# Libraries count the machine's cores, since a quota hides none of them. This version of the API does so as well: `os.cpu_count()` instead of asking the kernel for the quota (`app/threads.py`). On a large machine the difference is larger than here, so it asks for 4 at least.

# %%
bench.write({"threads.py": "import os\n\ndef available_cpus():\n    return max(4, os.cpu_count())\n"})
bench.build("host-threads", "FROM dockerlab-api:multistage\nCOPY threads.py app/threads.py\n")
for cpus in (0.5, 2):
    inside = bench.run("host-threads", ["python", "-c", "import os; print(os.cpu_count() == %d)" % client.info()["NCPU"]], nano_cpus=int(cpus * 1e9))
    quota = bench.run("dockerlab-api:multistage", ["python", "-c", "from app.threads import available_cpus; print(available_cpus())"], nano_cpus=int(cpus * 1e9))
    print(f"--cpus {cpus}: os.cpu_count() is that of the machine: {inside} | threads from the quota: {quota}")

# %% [markdown]
# **Guess first.** With `--cpus 0.5`: how many times longer does an answer take with 4 threads than with one?

# %%
threads_guess = guess_box("Times longer with 4 threads", default=2)
threads_guess

# %%
def median_ms(image, cpus):
    with container.running(image, nano_cpus=int(cpus * 1e9), client=client, timeout=120) as service:
        return pd.Series(benchmark.latencies(service.url, 5)).median()

versions = {"4 threads": bench.tag("host-threads"), "threads from the quota": "dockerlab-api:multistage"}
times = pd.DataFrame({name: {cpus: median_ms(image, cpus) for cpus in (0.25, 0.5, 1, 2)} for name, image in versions.items()})
slower = times["4 threads"] / times["threads from the quota"]
print("below one CPU, 4 threads take more than 1.5 times as long:", slower[[0.25, 0.5]].max() > 1.5)
print("a quarter of a CPU is slower than a whole one:", bool((times.loc[0.25] > times.loc[1]).any()))

# %% tags=["nbval-ignore-output"]
latency_by_threads(times[["threads from the quota", "4 threads"]], f"Half a CPU and 4 threads: an answer takes {slower[0.5]:.0f} times as long")

# %% tags=["nbval-ignore-output"]
beside(threads_guess, round(slower[0.5], 1))

# %% [markdown]
# The threads use up the quota together, much of it by waiting for one another, and then all of them stand still in the middle of a picture. One thread does the same work without the crowd. ONNX Runtime ignores `OMP_NUM_THREADS`; its setting is `intra_op_num_threads`. Other libraries listen to the variable, so set it where you use them.
#
# **A limit has two halves: the quota for the kernel, and the number of threads for the program.**
#
# A limit can be changed while the container runs. The threads do not follow; they were made at the start.

# %%
out = !docker update --cpus 1 --memory 256m --memory-swap 256m dockerlab-lesson07-python
box = client.containers.get("dockerlab-lesson07-python")
box.update(mem_limit="256m", memswap_limit="256m")  # docker-py has no `--cpus` here
api.reload()
print("CPUs:", api.attrs["HostConfig"]["NanoCpus"] / 1e9, "| memory:", api.attrs["HostConfig"]["Memory"] // 2**20, "MiB | restarts:", api.attrs["RestartCount"])

# %% [markdown]
# Try any pair of limits yourself. Where does the API die, where does it get slow?

# %% tags=["nbval-ignore-output"]
from dockerlab.notebook.widgets import LimitSliders

LimitSliders("dockerlab-api:multistage")

# %% [markdown]
# ## 7. `docker stats` as a picture
#
# `docker stats` prints a table and overwrites it every second. The same numbers come from the engine as a stream, one sample a second. The API from section 1 still runs, now with the limits that you gave it; two seconds idle, then requests, one after another.

# %%
from dockerlab.containers import stats

samples = []
with ThreadPoolExecutor(1) as pool:
    for sample in api.stats(stream=True, decode=True):
        samples.append(stats.load(sample))
        if len(samples) == 3:
            asked = pool.submit(benchmark.latencies, container.published(api, 8000), 120)
        if len(samples) == 7:
            break
samples = samples[1:]  # the first has nothing to be compared with
idle = min(each.cpu_percent for each in samples[:2])  # the other second may hold the health check, which starts a Python
print("busy, it uses at least twice the CPU of idle:", max(each.cpu_percent for each in samples[2:]) > 2 * idle)
print("memory stays below its limit:", max(each.memory_bytes for each in samples) < samples[0].limit_bytes)

# %% tags=["nbval-ignore-output"]
usage_over_time(samples, cpus=1, finding=f"Under load the API uses {max(each.cpu_percent for each in samples):.0f} % of a CPU and {samples[-1].memory_bytes / 1e6:.0f} MB", marks={2: "requests"})

# %% tags=["nbval-ignore-output"]
!docker stats --no-stream dockerlab-lesson07-python

# %% [markdown]
# Where the CPU line touches its limit, more requests only wait longer. The memory line is the size to plan with; leave room above its peak, since a larger picture takes more.
#
# **Measure under load, then set the limit. A limit from a guess either kills the service or guards nothing.**

# %% [markdown]
# ## 8. Which data survives?
#
# A container can write to five kinds of places. **Guess first**: how many of them still have the file after `docker rm` and a new `docker run` with the same options?

# %%
data_guess = guess_box("Places of five that keep the file", default=1)
data_guess

# %%
client.volumes.create("dockerlab-lesson07-named", labels=object_labels.labels())
(bench.folder / "bound").mkdir(exist_ok=True)
places = {"its own layer": "/tmp/own", "tmpfs": "/fast", "anonymous volume": "/anonymous", "named volume": "/named", "bind mount": "/bound"}
options = f"{bench.labels} -v /anonymous -v dockerlab-lesson07-named:/named -v {bench.folder}/bound:/bound --tmpfs /fast debian:bookworm-slim sleep 600"
write = "; ".join(f"mkdir -p {path}; echo kept > {path}/note" for path in places.values())

def has_note(box):
    return {place: box.exec_run(["test", "-f", f"{path}/note"]).exit_code == 0 for place, path in places.items()}

out = !docker run -d --init --name dockerlab-lesson07-data {options}
data = client.containers.get("dockerlab-lesson07-data")
data.exec_run(["sh", "-c", write])
first_volumes = {mount["Destination"]: mount["Name"] for mount in data.attrs["Mounts"] if mount["Type"] == "volume"}
data.restart(timeout=1)
survives = {"docker restart": has_note(data)}
out = !docker rm -f dockerlab-lesson07-data
out = !docker run -d --init --name dockerlab-lesson07-data {options}
data = client.containers.get("dockerlab-lesson07-data")
survives["docker rm, a new container"] = has_note(data)

# %%
survives["in a folder of yours"] = {place: (bench.folder / path[1:] / "note").exists() for place, path in places.items()}
table = pd.DataFrame(survives).loc[list(places)].replace({True: "yes", False: "–"})
table

# %%
beside(data_guess, int((table["docker rm, a new container"] == "yes").sum()))

# %% [markdown]
# The anonymous volume is the surprise: the new container got another one. Where is the first?

# %%
orphan = client.volumes.get(first_volumes["/anonymous"])
used = [mount["Name"] for mount in data.attrs["Mounts"] if mount["Type"] == "volume"]
print("still on the engine:", bool(orphan.attrs["Mountpoint"]), "| used by the new container:", orphan.name in used)
orphan.remove()

# %% [markdown]
# A **tmpfs** lies in memory and is gone with the process. The container's own layer goes with the container. An **anonymous volume** stays behind and takes space for nobody, unless `docker rm -v` takes it along. A **named volume** is found again by its name; a **bind mount** is a folder of yours, seen from both sides.
#
# | | good for |
# |---|---|
# | named volume | what the service keeps: a database, a cache of models |
# | bind mount | what you edit: code in development, a config file, a folder of models (`:ro`) |
# | tmpfs | secrets and scratch files; also makes a read-only container usable |
#
# Nothing removes a named volume but you, and `docker rm -v` does not either:

# %%
mounts = [mount for mount in data.attrs["Mounts"] if mount["Type"] == "volume"]
out = !docker rm -f -v dockerlab-lesson07-data
left = [mount["Destination"] for mount in mounts if client.volumes.list(filters={"name": mount["Name"]})]
print("volumes left after docker rm -v:", left)
text = bench.run(base_images.DEBIAN, ["cat", "/data/note"], volumes={"dockerlab-lesson07-named": {"bind": "/data", "mode": "ro"}})
out = !docker volume rm dockerlab-lesson07-named
print("read from another container:", text, "| removed:", out[0])

# %% [markdown]
# One trap of `-v`: a name without a slash is a volume, a path is a bind mount, and a path that does not exist is made as an empty folder of root. `--mount` says what you mean, and refuses.

# %%
missing = bench.folder / "modles"  # mistyped
short = !docker run --rm {bench.labels} -v {missing}:/models:ro debian:bookworm-slim ls -A /models
print("-v:      the container starts and finds", short or "an empty folder", "| made on the host:", missing.exists())
missing.rmdir()
long = !docker run --rm {bench.labels} --mount type=bind,src={missing},dst=/models,readonly debian:bookworm-slim ls -A /models
print("--mount: refused:", any("does not exist" in line for line in long))

# %% [markdown]
# ## 9. Logs grow
#
# What PID 1 writes to stdout and stderr, the engine keeps in a file for as long as the container exists. The default driver, `json-file`, has no limit. Three containers write the same 60,000 lines.
#
# **Guess first.** Two of the files may be 1 MB each. Which lines are gone then?

# %%
log_guess = guess_box("With a limit you lose", options=["the newest lines", "the oldest lines", "none, they are compressed"], default="none, they are compressed")
log_guess

# %%
from dockerlab.lessons.lesson07_services.log_files import log_files

chatter = "seq -f 'request %.0f answered with 200 in 23 ms, 17 boxes, picture harbour-noon.jpg' 60000"
out = !docker run --name dockerlab-lesson07-limited {bench.labels} --log-opt max-size=1m --log-opt max-file=2 debian:bookworm-slim {chatter} | tail -1
log_configs = {"json-file": {}, "local": {"type": "local", "config": {"max-size": "1m", "max-file": "2"}}}
for name, config in log_configs.items():
    client.containers.run(base_images.DEBIAN, chatter, name=f"dockerlab-lesson07-{name}", log_config=config or None, labels=object_labels.labels())
logged = {name: client.containers.get(f"dockerlab-lesson07-{name}") for name in ("json-file", "limited", "local")}
files = {name: log_files(box, client) for name, box in logged.items()}
megabytes = {name: sum(sizes.values()) / 1e6 for name, sizes in files.items()}
print("json-file keeps more than 5 MB:", megabytes["json-file"] > 5, "| with limits less than 2.2 MB:", megabytes["limited"] < 2.2, megabytes["local"] < 2.2)

# %% tags=["nbval-ignore-output"]
kept = pd.DataFrame({name: {"MB on disk": round(megabytes[name], 1), "files": len(files[name]), "first line in docker logs": next(iter(box.logs().decode().splitlines())).split()[1],
                            "last line": box.logs(tail=1).decode().split()[1]} for name, box in logged.items()}).T
kept

# %%
print("100 such lines a second, GB a day:", round(megabytes["json-file"] / 60_000 * 100 * 86_400 / 1000))
oldest = int(kept.loc["limited", "first line in docker logs"]) > 1
beside(log_guess, "the oldest lines" if oldest and kept.loc["limited", "last line"] == "60000" else "the newest lines")

# %% [markdown]
# Each line carries its time and a frame of JSON. A full disk stops every container on the machine.
#
# `local` is the better default driver: it rotates without being told (5 files of 20 MB, compressed) and writes less. To set it for all new containers, put `{"log-driver": "local"}` into the engine's `daemon.json`. Lines that must not be lost go to a collector elsewhere; that is lesson 11.
#
# **Write to stdout, never to a file in the container, and give every container a limit.**

# %%
for box in logged.values():
    box.remove()
print("in the log of the API:", "Uvicorn running" in api.logs().decode())

# %% [markdown]
# ## 10. One image, many settings
#
# What differs between your laptop and production does not belong in the image. The API reads its settings from the environment when it starts. `CONFIDENCE` is the score that an object needs.

# %%
bench.write({"production.env": "CONFIDENCE=0.8\nMAX_IMAGE_BYTES=2000000\n"})
show = "python -c 'from app.settings import load_settings as s; print(s().confidence, s().max_image_bytes)'"
for flags in ("", f"--env-file {bench.folder}/production.env", f"-e CONFIDENCE=0.5 --env-file {bench.folder}/production.env"):
    out = !docker run --rm {bench.labels} {flags} dockerlab-api:multistage {show}
    print(f"{flags.replace(str(bench.folder) + '/', ''):50} {out[0]}")

# %% [markdown]
# `-e` beats `--env-file`, and that beats `ENV` of the image, whatever the order. **Guess first**: you want another `CONFIDENCE` in the API that runs. What has to be done?

# %%
change_guess = guess_box("For another setting", options=["docker exec, export it", "docker restart -e", "a new container", "a new image"], default="docker restart -e")
change_guess

# %%
api.exec_run(["sh", "-c", "export CONFIDENCE=0.8"])
api.restart(timeout=5)
inside = api.exec_run(["printenv", "CONFIDENCE"]).output.decode()
with container.running("dockerlab-api:multistage", environment={"CONFIDENCE": "0.8"}, client=client) as strict:
    fresh = requests.get(f"{strict.url}/openapi.json", timeout=10).json()["paths"]["/detect"]["post"]["parameters"][0]["schema"]["default"]
print("after exec and restart:", inside or "not set", "| a new container asks for:", fresh)

# %%
beside(change_guess, "a new container" if fresh == 0.8 else "something else")

# %% [markdown]
# An environment belongs to a process and is fixed when a container is made; a restart takes the old one. So a change of settings replaces the container, and data has to survive that: section 8.
#
# A wrong value should end the start with a sentence, not the first request with an error:

# %%
wrong = bench.run("dockerlab-api:multistage", environment={"CONFIDENCE": "high"})
print(wrong.splitlines()[-1])

# %% [markdown]
# Whoever may ask the engine reads all of it, passwords too: `docker inspect` prints the environment. Lesson 09 shows the better way for secrets.

# %%
secret = client.containers.create(base_images.SLIM, name="dockerlab-lesson07-secret", environment={"DB_PASSWORD": "harbour"}, labels=object_labels.labels())
environment = "{{json .Config.Env}}"
out = !docker inspect --format "{environment}" dockerlab-lesson07-secret
secret.remove()
print("the password in docker inspect:", "DB_PASSWORD=harbour" in out[0])

# %% [markdown]
# ## 11. Who can reach it?
#
# There are two addresses: the one that the server **listens** on in its container, and the one that the engine **publishes** on the machine. Four combinations. *Elsewhere* is a client that comes by another address of your machine, here that of Docker's own bridge.
#
# **Guess first.** You publish with `-p 8000:8000`, as everybody does. Who can reach it?

# %%
port_guess = guess_box("-p 8000:8000 is open to", options=["this machine only", "everyone who reaches this machine"], default="this machine only")
port_guess

# %%
gateway = client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]
ask = "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=2); print('yes')"

def reach(listens, publishes):
    with bench.started(base_images.SLIM, ["python", "-m", "http.server", "8000", "--bind", listens], ports={"8000/tcp": (publishes, None)}) as box:
        polling.wait_until(lambda: box.exec_run(["python", "-c", ask, "http://127.0.0.1:8000"]).exit_code == 0, 20)
        url = container.published(box, 8000)
        inside = bench.run(base_images.SLIM, ["python", "-c", ask, url.replace("127.0.0.1", gateway)])
        here = polling.wait_until(lambda: requests.get(url, timeout=2).ok, 0) if listens == "0.0.0.0" else False
        return {"this machine": here, "elsewhere": inside == "yes"}

with ThreadPoolExecutor(4) as pool:
    pairs = [("0.0.0.0", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("127.0.0.1", "127.0.0.1")]
    reached = pd.DataFrame(list(pool.map(lambda pair: reach(*pair), pairs)), index=pd.MultiIndex.from_tuples(pairs, names=["listens on", "published on"]))
reached.replace({True: "yes", False: "–"})

# %%
beside(port_guess, "everyone who reaches this machine" if reached.iloc[0]["elsewhere"] else "this machine only")

# %% [markdown]
# Inside a container a server listens on `0.0.0.0`, or its published port leads nowhere: its own 127.0.0.1 is not yours. Outside it is the other way round: without an address, `-p` opens the port on every address of the machine, and the engine's rules come before those of a firewall like `ufw`.
#
# **Inside 0.0.0.0, outside 127.0.0.1, and in front a proxy that is meant to be seen.**

# %%
out = !docker port dockerlab-lesson07-python
print("the API of this lesson is published on:", *{line.split(" -> ")[1].rpartition(":")[0] for line in out})

# %% [markdown]
# ## 12. All of it in one line
#
# Most tutorials end with the first of these. The second is what this lesson adds, and what the lab asks for.
#
# ```bash
# docker run -d --name object-detection-api -p 8000:8000 --restart unless-stopped my-api
#
# docker run -d --name object-detection-api -p 127.0.0.1:8000:8000 --restart unless-stopped \
#   --init --stop-timeout 30 --memory 512m --memory-swap 512m --cpus 1 \
#   --log-opt max-size=10m --log-opt max-file=3 --env-file production.env \
#   -v api-data:/data my-api
# ```
#
# **Key points**
#
# - `Up` is about a process, `healthy` about an answer; on a single engine nothing acts on `unhealthy`.
# - The check runs inside the image: use what is there. curl is not.
# - A restart policy answers an end that you did not ask for. `docker stop` and `docker kill` are asked for.
# - SIGTERM has to reach a program that handles it, and the patience must outlast the longest request.
# - A memory limit kills: 137 and `OOMKilled`. A CPU limit slows down, with too many threads much more.
# - Named volumes and bind mounts outlive a container, nothing else does. Logs need a limit.
# - `-p PORT:PORT` is open to the network; write `127.0.0.1:`.

# %%
Quiz.load("07").show()

# %% [markdown]
# ## The lab
#
# `labs/07_keep_a_service_running`: a service that fails its users in six ways, and you may change everything but its code. Open its notebook, or run `dockerlab check 07` in a terminal.
#
# ## Clean up
#
# This removes the containers, images and volumes of this lesson. `dockerlab-api:multistage` stays, since later lessons use it.

# %%
bench.clear()
cleanup.remove_named(client, "dockerlab-lesson07")
left = sum(bench.left(), []) + client.volumes.list(filters={"name": "dockerlab-lesson07"})
print("containers, images and volumes of this lesson left:", len(left))
