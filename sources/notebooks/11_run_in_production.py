# %% [markdown]
# # Run it in production: a new release, and nobody notices
#
# **You will do**: run the server line of many tutorials and mend it; measure worker processes under load; give the API request ids, JSON logs and metrics; release it by a workflow that tests in the image; deploy from a digest; join two architectures under one name; write one service down for ten platforms; ship a release under load without a failed request, and survive a bad one.
#
# **You will learn**: how many processes belong into a container, what a digest protects from, and which four lines let an orchestrator change a running service unseen.
#
# **You need**: lessons 02, 03 and 05, about 80 minutes. The machine works for a minute and a half of it, about three minutes the first time; 1 GB of free disk.

# %%
%matplotlib inline
import difflib
import json
import time

import pandas as pd
import requests

from dockerlab.containers import container, load_generator, swarm, workers
from dockerlab.core import polling
from dockerlab.course.workbench import Bench, answers
from dockerlab.detection import api_client, variants
from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.lessons.lesson11_production import charts, manifest_checks, manifests, release_workflow, rollout
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.listing import listing
from dockerlab.notebook.quiz import Quiz
from dockerlab.notebook.session import start

client = start(timeout=900)
bench = Bench("11", client)
labels, image_labels, picture = bench.labels, bench.image_labels, api_client.samples()[0]
variants.ensure_rung("multistage", client)
for base in (base_images.SLIM, base_images.DEBIAN, base_images.REGISTRY):
    base_images.ensure(base, client)
rollout.remove_images("*/dockerlab-lesson11", client)  # left in the name of an earlier registry
pd.set_option("display.max_colwidth", None)

# %% [markdown]
# ## 1. The server line of the tutorials
#
# You will find this line in many tutorials: Gunicorn starts four worker processes, each runs Uvicorn. Build it.

# %%
bench.build("gunicorn", """\
FROM python:3.11-slim-bookworm AS more
RUN pip install --no-cache-dir --no-deps --target /packages gunicorn==27.0.1 uvicorn-worker==0.4.0
FROM dockerlab-api:multistage
COPY --from=more /packages /opt/venv/lib/python3.11/site-packages/
CMD ["python", "-m", "gunicorn", "app.main:app", "-w", "4", "-k", "uvicorn.workers.UvicornWorker"]
""")
print("built:", bench.tag("gunicorn"))

# %% [markdown]
# **Guess first.** You run it with a published port, and all four workers are up. Does the port answer?

# %%
port_guess = guess_box("The published port answers", options=["yes", "no"], default="yes")
port_guess

# %%
said = !docker run -d --name dockerlab-lesson11-tutorial {labels} -p 127.0.0.1::8000 dockerlab-lesson11:gunicorn
tutorial = client.containers.get("dockerlab-lesson11-tutorial")
polling.wait_until(lambda: tutorial.logs().count(b"startup complete") == 4, 60)
outside = answers(container.published(tutorial, 8000))
inside = polling.wait_until(lambda: tutorial.exec_run(["python", "-m", "app.healthcheck"]).exit_code == 0, 30, interval=0.5)
beside(port_guess, "yes" if outside else "no")

# %%
listens = next(line for line in tutorial.logs().decode().splitlines() if "Listening at" in line)
print("inside the container it answers:", inside, "|", listens[listens.index("Listening") :].split(" (")[0])
tutorial.remove(force=True)

# %% [markdown]
# Gunicorn listens on the container's own loopback address unless you say `-b 0.0.0.0:8000`. And there is more. Python hides the next message unless you ask for it:

# %%
warning = !docker run --rm {labels} dockerlab-lesson11:gunicorn python -W always -c "import uvicorn.workers" 2>&1
print(warning[0].partition("DeprecationWarning: ")[2])

# %% [markdown]
# **`uvicorn.workers` is deprecated.** Two lines do the same today: Uvicorn's own `--workers`, or Gunicorn with the package `uvicorn-worker`. Run both with two workers.

# %%
said = !docker run -d --name dockerlab-lesson11-uvicorn {labels} -p 127.0.0.1::8000 dockerlab-lesson11:gunicorn \
  uvicorn app.main:app --host 0.0.0.0 --port 8000 --workers 2
said = !docker run -d --name dockerlab-lesson11-gunicorn {labels} -p 127.0.0.1::8000 dockerlab-lesson11:gunicorn \
  python -m gunicorn app.main:app -b 0.0.0.0:8000 -w 2 -k uvicorn_worker.UvicornWorker
both = [client.containers.get(f"dockerlab-lesson11-{name}") for name in ("uvicorn", "gunicorn")]
up = [polling.wait_until(lambda each=each: each.logs().count(b" is ready ") == 2 and answers(container.published(each, 8000)), 60) for each in both]
print("both answer, each with two workers that have a model each:", all(up))

# %% tags=["nbval-ignore-output"]
!docker top dockerlab-lesson11-uvicorn -eo pid,ppid,rss,args

# %% [markdown]
# ### How many workers?
#
# A worker is a process of its own, with its own Python and its own model. Tutorials say "two for each CPU, plus one". That rule is for servers that wait for a database. Yours computes.
#
# **Guess first.** The container may use 2 CPUs. How many times as much memory do 4 workers take as 1?

# %%
for each in both:
    each.remove(force=True)
memory_guess = guess_box("Memory of 4 workers, compared with 1", default=1.5)
memory_guess

# %%
ways = [(1, 1), (1, 2), (2, 1), (2, 2), (2, 4)]  # CPUs, workers
measured = workers.compare("dockerlab-api:multistage", ways, picture, client)
by = measured.set_index(["cpus", "workers"])
memory = by["memory_mb"][2, 4] / by["memory_mb"][2, 1]
print("4 workers take at least 2.5 times the memory of 1:", memory > 2.5)
print("a second worker makes a picture no cheaper for the CPU:", by["cpu_ms"][1, 2] > 0.6 * by["cpu_ms"][1, 1])

# %% tags=["nbval-ignore-output"]
beside(memory_guess, round(memory, 1))

# %% tags=["nbval-ignore-output"]
charts.workers(measured, f"Four workers take {memory:.1f} times the memory of one, and answer {by['per_second'][2, 4] / by['per_second'][2, 1]:.1f} times as much")

# %% [markdown]
# A picture costs the CPU the same work, whoever does it. One worker already uses all CPUs of its container, since ONNX Runtime splits each picture among threads. More workers share the same CPUs; what they bring depends on how well the model splits, and on what else your machine does. What they cost in memory is certain.
#
# **Run one process in a container and let the orchestrator run more containers.** It can place them on other machines, replace one by one, and see which of them is sick. Take workers inside a container where a runtime uses one CPU only, one for each CPU, and count the memory.

# %% [markdown]
# ## 2. See what it does: request ids, JSON lines, metrics
#
# In production you cannot attach to a terminal. Somebody says "request 4711 was slow", and you need its line among millions. `assets/production` wraps the API of lesson 05: 60 lines of middleware, and this Dockerfile.

# %%
source = bench.empty("release")
!cp -r ../assets/production/. "$source"
listing(source / "Dockerfile")

# %%
said = !docker build -q {image_labels} --build-arg VERSION=1 -t dockerlab-lesson11:observed "$source"
said = !docker run -d --name dockerlab-lesson11-observed {labels} -p 127.0.0.1::8000 dockerlab-lesson11:observed
observed = client.containers.get("dockerlab-lesson11-observed")
url = container.published(observed, 8000)
load_generator.ready(url)
files = {"image": ("scene.jpg", picture.read_bytes(), "image/jpeg")}
first = requests.post(f"{url}/detect", files=files, headers={"X-Request-ID": "crane-7-4711"}, timeout=30)
print(first.status_code, first.headers["x-request-id"], "release", first.headers["x-version"])

# %% [markdown]
# A caller may bring an id along; otherwise the server invents one. The answer carries it, and so does the log. Each line is one JSON object, so a machine finds it without guessing at columns:

# %%
polling.wait_until(lambda: b"crane-7-4711" in observed.logs(), 10)
lines = !docker logs dockerlab-lesson11-observed 2>&1
entries = [json.loads(line) for line in lines if line.startswith("{")]
found = [entry for entry in entries if entry.get("request_id") == "crane-7-4711"]
print(len(found), {key: found[0][key] for key in ("method", "path", "status", "version")})

# %% [markdown]
# **Guess first.** You ask for `/health` five times more and send six pictures, one of them broken. How many lines about requests does the log get?

# %%
lines_guess = guess_box("New lines about requests", default=11)
lines_guess

# %%
def about_requests():
    return sum(b'"request_id"' in line for line in observed.logs().splitlines())

before = about_requests()
for _ in range(5):
    requests.get(f"{url}/health", timeout=5)
    requests.post(f"{url}/detect", files=files, timeout=30)
requests.post(f"{url}/detect", files={"image": ("broken.jpg", b"no picture", "image/jpeg")}, timeout=30)
polling.wait_until(lambda: about_requests() >= before + 6, 10)
time.sleep(0.5)  # would more lines come?
beside(lines_guess, about_requests() - before)

# %% [markdown]
# Health is asked every few seconds by machines, so it is counted but not written. Counting is what `/metrics` is for: a text that **Prometheus**, the usual collector, fetches every 15 seconds.

# %%
metrics = requests.get(f"{url}/metrics", timeout=5).text
print(*[line for line in metrics.splitlines() if line.startswith("http_requests_total") and "/detect" in line], sep="\n")

# %% tags=["nbval-ignore-output"]
print(*[line for line in metrics.splitlines() if line.startswith("http_request_seconds_bucket") and "/detect" in line], sep="\n")

# %% [markdown]
# The first lines count answers by path and status: errors divided by all is your error rate. The others count how many answers came within so many seconds, which gives percentiles over all replicas. One more reason for one process a container: each worker process counts for itself, and `/metrics` would show a random one of them.
#
# **Logs say what happened to one request, metrics what happens to all of them; the request id joins the log lines of several services.**

# %% [markdown]
# ## 3. A release that a machine makes
#
# Usual recipes build on each push and push what was built. Look at what lies between in this one:

# %%
listing(source / "release.yml")

# %% [markdown]
# Three habits stand in it. Actions are named by their **commit**, since whoever owns a tag such as `v4` can move it, and what runs there sees your secrets. No script holds a `${{ … }}`: a branch name with a quote in it would become code. And what is pushed has been tested **in the image**. A linter, `actionlint`, knows the rest of the rules.

# %%
steps = release_workflow.steps(source / "release.yml")
print("findings:", release_workflow.findings(source / "release.yml"), "| all pinned:", all(step.pinned for step in steps))
careless = (source / "release.yml").read_text().replace("de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2", "v6").replace("ubuntu-24.04", "ubuntu-24")
(source / "careless.yml").write_text(careless)
print("the careless copy, all pinned:", all(step.pinned for step in release_workflow.steps(source / "careless.yml")))
print("its first finding:", release_workflow.findings(source / "careless.yml")[0].split('. available')[0])

# %% [markdown]
# You need no GitHub to try the scripts: they take everything from the environment. Here is a registry, and every `run:` step as it stands in the file. The scan is lesson 09's; the action for it runs on GitHub only.

# %%
said = !docker run -d --name dockerlab-lesson11-registry {labels} -p 127.0.0.1::5000 registry:2
registry = container.published(client.containers.get("dockerlab-lesson11-registry"), 5000).removeprefix("http://")
polling.wait_until(lambda: answers(f"http://{registry}/v2/"), 20)
repository = f"{registry}/dockerlab-lesson11"
setting = {"IMAGE": repository, "VERSION": "1", "BASE": "dockerlab-api:multistage"}
done = release_workflow.rehearse(source / "release.yml", source, setting)
done[["here", "pinned"]]

# %%
digests = {"1": done["last line"].iloc[-1]}
print("it ends with a name that holds a digest:", digests["1"].startswith(f"{repository}@sha256:"))
said = !docker run --rm --network none {labels} {repository}:test
print("the tests, run in the image:", *said[-1].replace(",", "").split()[:2])

# %% [markdown]
# **Guess first.** Somebody breaks the code: the server forgets to hand the request id back. What does the registry hold after the workflow has run for release 2?

# %%
broken_guess = guess_box("In the registry", options=["releases 1 and 2", "release 1 only"], default="releases 1 and 2")
broken_guess

# %%
good = (source / "observed.py").read_text()
(source / "observed.py").write_text(good.replace('headers["x-request-id"], ', "_, "))
try:
    release_workflow.rehearse(source / "release.yml", source, setting | {"VERSION": "2"})
except release_workflow.StepFailed as error:
    print(error.what)
tags = requests.get(f"http://{registry}/v2/dockerlab-lesson11/tags/list", timeout=5).json()["tags"]
beside(broken_guess, "release 1 only" if tags == ["1"] else "releases 1 and 2")

# %% [markdown]
# **Test what ships, in the image that ships, before it is pushed.** Tests beside the image prove that the code works on the machine of whoever ran them.
#
# The code is mended. Release 2 is good; release 3 brings a new model, and nobody put its file into the image. The tests of the code cannot see that.

# %%
(source / "observed.py").write_text(good)
for release, more in {"2": "", "3": "--build-arg MODEL=harbour-m.onnx"}.items():
    said = !docker build -q {image_labels} --build-arg VERSION={release} {more} -t {repository}:{release} "$source"
    said = !docker push --quiet {repository}:{release}
    digests[release] = client.images.get(f"{repository}:{release}").attrs["RepoDigests"][0]
print("three releases, three digests:", len(set(digests.values())))

# %% [markdown]
# ## 4. Deploy from a digest
#
# A **tag** is a name that somebody can point elsewhere; a **digest** is the checksum of the image itself.
#
# **Guess first.** You deploy `:stable` on one machine. Before you do the same on the second, a colleague pushes release 2 as `:stable`. What runs?

# %%
stable_guess = guess_box("On the two machines runs", options=["the same release", "two releases"], default="the same release")
stable_guess

# %%
ran = []
for release in ("1", "2"):
    said = !docker tag {repository}:{release} {repository}:stable && docker push --quiet {repository}:stable
    said = !docker pull --quiet {repository}:stable
    ran.append(client.containers.run(f"{repository}:stable", ["printenv", "VERSION"], remove=True, labels=object_labels.labels()).decode().strip())
said = !docker pull --quiet {digests["1"]}
by_digest = client.containers.run(digests["1"], ["printenv", "VERSION"], remove=True, labels=object_labels.labels()).decode().strip()
print("by tag:", ran, "| by digest, whatever the tag says now:", by_digest)

# %%
beside(stable_guess, "the same release" if len(set(ran)) == 1 else "two releases")

# %% [markdown]
# **Tags are for people, digests are for machines: build once, and hand the digest on, from the registry to every deployment.** Going back is then another digest, not another build.

# %% [markdown]
# ## 5. One name for two kinds of machine
#
# A laptop with an Apple chip and many cloud machines are `arm64`; yours may be `amd64`. An image holds programs for one of them. This Dockerfile fetches a program for the **target** while it runs on the machine that **builds**, so nothing is emulated.

# %%
(bench.empty("arch") / "Dockerfile").write_text("""\
FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS fetch
ARG TARGETARCH
WORKDIR /got
RUN dpkg --add-architecture $TARGETARCH && apt-get update -qq \\
    && apt-get download -qq busybox-static:$TARGETARCH && dpkg-deb -x busybox-static_*.deb .
FROM scratch
COPY --from=fetch /got/bin/busybox /bin/busybox
CMD ["/bin/busybox", "uname", "-m"]
""")
arch = bench.folder.with_name("lesson-11-arch")
for each in ("amd64", "arm64"):
    said = !docker build -q {image_labels} --platform linux/{each} -t {repository}:hello-{each} "$arch"
    said = !docker push --quiet {repository}:hello-{each}
    print(client.images.get(f"{repository}:hello-{each}").attrs["Architecture"])

# %% [markdown]
# A **manifest list** is one name for both: the registry keeps a list, and each engine takes the image for its own machine.

# %%
said = !docker buildx imagetools create --tag {repository}:hello {repository}:hello-amd64 {repository}:hello-arm64
shown = !docker buildx imagetools inspect --raw {repository}:hello
inside = [each["platform"]["architecture"] for each in json.loads("".join(shown))["manifests"]]
asked = client.images.get_registry_data(f"{repository}:hello")
print(inside, "| docker-py says:", sorted(each["architecture"] for each in asked.attrs["Platforms"]))

# %%
pulled = {}
for each in ("amd64", "arm64"):
    said = !docker pull --quiet --platform linux/{each} {repository}:hello
    pulled[each] = client.images.get(f"{repository}:hello").attrs["Architecture"]
print("one name, and by platform:", pulled)

# %% tags=["nbval-ignore-output"]
!docker run --rm {labels} --platform linux/arm64 {repository}:hello

# %% [markdown]
# On an `amd64` machine without emulation the last line says `exec format error`: the image is right, the machine is not. You meet it when a laptop's image arrives on a server. Where a build has to run programs of the target, `docker buildx build --platform linux/amd64,linux/arm64` does it under emulation, or on one builder for each; the latter is many times faster.
#
# **Build for the machines that run it, and join the images under one name.**

# %% [markdown]
# ## 6. One description, ten platforms
#
# Where will it run? All platforms ask for the same: an image, a port, a health address, how many, how much, and how long a request may still take when it is told to stop. Write that down once.

# %%
service = manifests.Deployment("detection", digests["2"].replace(registry, "registry.example"), port=8000, health="/health",
                               replicas=2, cpus=1, memory_mb=2048, grace_seconds=30, environment={"CONFIDENCE": "0.4"})
texts = {key: manifests.write(service, key) for key in manifests.PLATFORMS}
print(len(texts), "manifests:", *sorted({each.file for each in manifests.PLATFORMS.values()}))

# %% tags=["nbval-ignore-output"]
print(texts["kubernetes"][: texts["kubernetes"].index("lifecycle")])

# %% tags=["nbval-ignore-output"]
print(texts["fly"])

# %% [markdown]
# `print(texts["ecs"])` shows another; the keys are those of `manifests.PLATFORMS`. Are they right? Some platforms' own rules come in a package and need no network. For the others the course holds a small schema of the fields that it uses. The last two columns prove that each check has teeth: one usual mistake is put in.

# %%
manifest_checks.table(texts)

# %% [markdown]
# A schema cannot know whether your account, region or quota allows it: for that, each platform has its own dry run (`kubectl apply --dry-run=server`, `nomad job plan`, `fly config validate`).
#
# And which one? The column **a bad release** says what happens to a release that never becomes healthy.

# %%
manifest_checks.choices()

# %% [markdown]
# **Choose by who is on call: rent what you do not want to run, and run an orchestrator only if somebody looks after it.** Since all of them take the same image, changing your mind costs a manifest.

# %% [markdown]
# ## 7. A new release, and nobody notices
#
# Your engine holds an orchestrator: **Swarm**. This lesson makes a swarm of one node and leaves it at the end. Its manager listens on 127.0.0.1 only; its overlay networks open UDP port 4789 on all addresses of your machine, unencrypted, for as long as they are there. When an engine leaves a swarm, running containers lose the names of their neighbours until they are started again. So where your machine belongs to a swarm already, or containers of yours have neighbours in a network, nothing is touched: all cells that begin with `# on the swarm` are skipped and say why.

# %%
mine = swarm.OneNode(client).borrow()
if not mine.usable:
    swarm.skip_cells(get_ipython(), mine.why)
print("the swarm part runs here:", mine.usable)

# %%
# on the swarm
said = !docker swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377
mine.claim(said)  # its label says that the course may leave it
print(client.info()["Swarm"]["LocalNodeState"], "| nodes:", client.info()["Swarm"]["Nodes"])

# %% [markdown]
# A **stack** is a compose file for a swarm; a **service** in it is a wish, such as "two replicas of this image", and the orchestrator keeps it true. Two files differ in a few lines. `LOAD_SECONDS` stands for a larger model, which takes that long to load. `endpoint_mode: dnsrr` means: the name `api` leads to every replica that is ready. (The default, a virtual address, needs kernel modules that not every machine has.)

# %%
naive, careful = (rollout.CONTEXT / f"{name}.yaml" for name in ("naive", "careful"))
listing(careful)

# %%
old, new = (path.read_text().splitlines() for path in (naive, careful))
print(*[line for line in difflib.unified_diff(old, new, lineterm="", n=0) if line[:1] in "+-" and line[:3] not in ("---", "+++")], sep="\n")

# %%
# on the swarm
!docker stack config -c {careful} > /dev/null && echo the careful file is valid
for kind in ("naive", "careful"):
    said = !IMAGE={digests["1"]} docker stack deploy --detach=true -c ../assets/production/{kind}.yaml dockerlab-lesson11-{kind}
both = [f"dockerlab-lesson11-{kind}_api" for kind in ("naive", "careful")]
print("two ready replicas each:", polling.wait_until(lambda: all(swarm.replicas(each, client).count == 2 for each in both), 90, 0.2))

# %%
# on the swarm
shown = !docker service ls --format "{{{{.Name}}}} {{{{.Replicas}}}}"
print(*sorted(shown), sep="\n")
print("docker-py:", sorted(each.name for each in client.services.list()))

# %% [markdown]
# Requests come in through a door, an nginx that asks Docker's DNS for the replicas. It is a container of its own, because a port that a swarm publishes is open on all addresses of your machine, and this one is not.

# %%
# on the swarm
rollout.door_image(client)
urls = {}
for kind in ("naive", "careful"):
    said = !docker run -d --name dockerlab-lesson11-door-{kind} {labels} --network dockerlab-lesson11-{kind}_web -p 127.0.0.1::8080 {rollout.DOOR}
    urls[kind] = container.published(client.containers.get(f"dockerlab-lesson11-door-{kind}"), 8080)
print("both doors answer:", all(load_generator.ready(url) for url in urls.values()))

# %% [markdown]
# **Guess first.** Clients send pictures to both doors all the time. At the same moment you deploy release 2 with each file. Which of the two loses requests?

# %%
kinds = ["neither", "the naive file", "both"]
lost_guess = guess_box("Requests are lost with", options=kinds, default="neither")
lost_guess

# %%
# on the swarm
pictures = load_generator.picture(picture)
with load_generator.traffic(urls["naive"], pictures, pause=0.2) as naively, load_generator.traffic(urls["careful"], pictures, pause=0.2) as carefully:
    for kind in ("naive", "careful"):
        said = !IMAGE={digests["2"]} docker stack deploy --detach=true -c ../assets/production/{kind}.yaml dockerlab-lesson11-{kind}
    ended = {kind: swarm.settled(f"dockerlab-lesson11-{kind}_api", client) for kind in ("naive", "careful")}
    time.sleep(2.5)  # the last old replicas leave
seen = {"naive": naively, "careful": carefully}
for kind, each in ended.items():
    print(kind, "|", each.update, "| all on release 2:", dict(each.ready) == {digests["2"]: 2}, "| requests failed:", len(seen[kind].failed) > 0)
assert not seen["careful"].failed

# %%
# on the swarm
lost = [kind for kind in seen if seen[kind].failed]
beside(lost_guess, {0: kinds[0], 1: f"the {lost[0]} file" if lost else "", 2: kinds[2]}[len(lost)])

# %% tags=["nbval-ignore-output"]
# on the swarm
charts.requests({kind: each.frame() for kind, each in seen.items()}, "With a health check and the new before the old, no request is lost")

# %% [markdown]
# With the naive file a replica counts as running when its process runs, long before its model is there. The old one is stopped first, so the only ones left to ask have no model yet.
#
# In the careful file four lines do the work. `healthcheck` says when a replica may get requests. `order: start-first` starts the new one before the old one ends, `parallelism: 1` goes one by one. And `stop_grace_period` lets requests that are under way end: the old replica leaves the DNS first, then gets SIGTERM, and only when that time is up SIGKILL.
#
# ### A bad release
#
# **Guess first.** Now release 3, the one without its model, with the careful file. What do your users get?

# %%
bad_guess = guess_box("Your users get", options=["release 2 all the time", "release 3 at last", "errors for a while"], default="errors for a while")
bad_guess

# %%
# on the swarm
with load_generator.traffic(urls["careful"], pictures, pause=0.2) as seen["bad"]:
    said = !IMAGE={digests["3"]} docker stack deploy --detach=true -c ../assets/production/careful.yaml dockerlab-lesson11-careful
    ended = swarm.settled("dockerlab-lesson11-careful_api", client)
print("rolled back by itself:", ended.update.startswith("rollback"), "| runs:", "release 2 only" if set(ended.ready) == {digests["2"]} else ended.ready)
assert not seen["bad"].failed

# %%
# on the swarm
during = {sample.version for sample in seen["bad"].samples if sample.ok}
outcome = "errors for a while" if seen["bad"].failed else "release 3 at last" if "3" in during else "release 2 all the time"
beside(bad_guess, outcome)

# %% tags=["nbval-ignore-output"]
# on the swarm
charts.requests({"release 2, naive": seen["naive"].frame(), "release 2, careful": seen["careful"].frame(), "release 3, careful": seen["bad"].frame()},
                    "The bad release 3 answered nobody: it never became healthy")

# %% tags=["nbval-ignore-output"]
# on the swarm
!docker service ps dockerlab-lesson11-careful_api --format "table {{{{.Name}}}}\t{{{{.CurrentState}}}}\t{{{{.Error}}}}"

# %%
# on the swarm
story = !docker service inspect dockerlab-lesson11-careful_api --format "{{{{.UpdateStatus.Message}}}}"
print(story[0].split(" of task")[0])
careful_api = client.services.get("dockerlab-lesson11-careful_api")

def states():
    return [task["Status"]["State"] for task in careful_api.tasks(filters={"desired-state": "running"})]

polling.wait_until(lambda: states() == ["running"] * 2, 30)  # the last of them may still be starting
print("replicas that should run, as docker-py lists them:", states())

# %% [markdown]
# `failure_action: rollback` did that; its default, `pause`, leaves a half-done update for you to find. The health check decided, so it has to ask what matters: a check that only knocks at the port would have let release 3 in.
#
# **An orchestrator is as careful as the health check that you give it.**

# %% [markdown]
# ## Key points
#
# - Gunicorn listens on the container's loopback unless told; `uvicorn.workers` is deprecated: `uvicorn --workers`, or `uvicorn-worker`.
# - One process a container; replicas by the orchestrator. Workers cost a model each.
# - A request id in header and log, one JSON object a line, counters at `/metrics`.
# - Test in the image, then push; pin actions by commit; hand the digest on.
# - A manifest list is one name for several architectures.
# - Health check, start-first, a grace period: no request is lost. `failure_action: rollback`: a bad release goes by itself.

# %%
Quiz.load("11").show()

# %% [markdown]
# ## The lab
#
# `labs/11_ship_a_release`: a stack file loses requests at every release. Mend it: version 2 arrives unnoticed, a bad version 3 goes by itself. Open its notebook, or run `dockerlab check 11` in a terminal.
#
# ## Clean up
#
# This removes the stacks, leaves the swarm, and removes this lesson's containers and images. The image of the door stays for the lab.

# %%
for name in ("door-naive", "door-careful", "observed", "registry"):
    said = !docker rm --force --volumes dockerlab-lesson11-{name}
if mine.usable:
    said = !docker stack rm dockerlab-lesson11-naive dockerlab-lesson11-careful
    said = !docker swarm leave --force
usable, state = mine.usable, mine.give_back()
print("the swarm is as it was before:", state == ("none" if usable else "foreign"))

# %%
rollout.remove_images("*/dockerlab-lesson11", client)
bench.clear()
print("containers and images of this lesson left:", len(sum(bench.left(), [])) + len(rollout.images("*/dockerlab-lesson11", client)))
