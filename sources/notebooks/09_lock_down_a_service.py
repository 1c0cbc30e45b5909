# %% [markdown]
# # Lock down a service: what can an intruder still do?
#
# **You will do**: break into your own service and count what works there; take it away, line by line; take over the host through Docker's socket; find a deleted secret in an image; watch a tag move under a build; list what an image is made of and match it against known vulnerabilities.
#
# **You will learn**: non-root done right, capabilities, `no-new-privileges`, seccomp, read-only containers; secrets in builds; digests; SBOM, scan and signature.
#
# **You need**: lessons 02 to 06, about 70 minutes of your time, and 1.5 GB of free disk. The machine works for a minute and a half of it; about five minutes the first time.

# %%
%matplotlib inline
import hashlib
import json

import pandas as pd

from dockerlab.containers import container, privileges
from dockerlab.core import polling
from dockerlab.course import cleanup
from dockerlab.course.workbench import Bench, answers
from dockerlab.detection import api_client, variants
from dockerlab.engine import connection, object_labels
from dockerlab.images import base_images, image, secret_scan
from dockerlab.lessons.lesson09_security import attack_surface, sbom, vulnerabilities
from dockerlab.lessons.lesson09_security.charts import attack_grid
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.listing import listing
from dockerlab.notebook.quiz import Quiz
from dockerlab.notebook.session import start

pd.set_option("display.max_colwidth", None)
client = start(timeout=900)
bench, small = Bench("09", client), Bench("09-small", client)  # the detection API; tiny experiments
context, labels, image_labels = variants.stage_context(bench.folder), bench.labels, bench.image_labels
for rung in ("multistage", "minimal"):
    variants.ensure_rung(rung, client)
for base in (base_images.FULL, base_images.DEBIAN, base_images.REGISTRY):
    base_images.ensure(base, client)
print("leftovers of an earlier run:", len(sum(bench.left(), [])))

# %% [markdown]
# ## 1. Break in
#
# One day somebody gets in: a bug in a library, a leaked password. From then on they run code with the rights of your server. What can that code do?
#
# Here is the image that most people begin with: one stage, the full base, no `USER`.

# %%
bench.build("naive", """\
FROM python:3.11-bookworm
WORKDIR /app
COPY requirements-onnx.txt .
RUN pip install -r requirements-onnx.txt
COPY app app
COPY --from=dockerlab-api:multistage /app/model model
ENV MODEL_PATH=/app/model/harbour-n.onnx
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]
""")
print("user in the image's config:", bench.inspect("naive")["Config"]["User"] or "none, so root")

# %% [markdown]
# And a run line with three remedies that you will find in many answers: "permission denied? add `--privileged`", "mount the Docker socket", "pass the token with `-e`".

# %%
socket = connection.engine_socket()
out = !docker run -d --name dockerlab-lesson09-naive {labels} -p 127.0.0.1::8000 \
  --privileged -v {socket}:/var/run/docker.sock -e REGISTRY_TOKEN=tkn-4711 dockerlab-lesson09:naive
naive = client.containers.get("dockerlab-lesson09-naive")
print("status:", naive.status)

# %% [markdown]
# `attack_surface.probe` runs a script beside the server, with the same rights, and tries 13 things for real. Each attempt is bounded and undone: it writes a file and removes it, opens a disk and reads nothing, starts 300 processes and ends them.
#
# **Guess first.** How many of the 13 work?

# %%
open_guess = guess_box("Attempts that work", default=6)
open_guess

# %%
card = attack_surface.probe(naive)
beside(open_guess, len(card.open))

# %% tags=["nbval-ignore-output"]
card

# %% [markdown]
# The rest of the lesson takes these away. Each section takes one thing, shows what breaks, and how to do it right.
#
# **You cannot promise that nobody gets in. You can decide what they find.**

# %% [markdown]
# ## 2. Not root
#
# `USER 10001` in the Dockerfile, or `--user 10001` on the run line, and the server is root no more. A number needs no account in the image.
#
# What breaks first is writing: the files in the image belong to root. Four forms, of which the second is the popular one. Each has a server of one line, weights of 20 MB and a folder for its data.

# %%
start = "FROM python:3.11-slim-bookworm\nWORKDIR /app\n"
copy = "COPY main.py weights.bin ./\n"
forms = {
    "user-alone": copy + "RUN mkdir data\n",
    "chown-all": copy + "RUN mkdir data && chown -R 10001 /app\n",
    "copy-chown": "COPY --chown=10001 main.py weights.bin ./\nRUN install -d -o 10001 data\n",
    "own-folder": copy + "RUN install -d -o 10001 data\n",
}
small.write({"main.py": "print('serving')\n", "weights.bin": bytes(20_000_000)})
for name, lines in forms.items():
    small.build(name, start + lines + "USER 10001\n")
print("images:", len(forms))

# %% [markdown]
# In each, the server writes its data, and an intruder tries to write into the server's code. `added` is what the image weighs more than its base.
#
# **Guess first.** Which forms let the server write, and keep the intruder out?

# %%
form_guess = guess_box("The right form", options=list(forms), default="chown-all")
form_guess

# %%
attempt = """
def works(path):
    try:
        return not open(path, 'a').close()
    except PermissionError:
        return False
print(works('data/seen.txt'), works('main.py'))
"""
wrote = {name: small.run(name, ["python", "-c", attempt]).split() for name in forms}
table = pd.DataFrame(wrote, index=["writes its data", "writes its own code"]).T
weighs = {name: image.inspect(small.tag(name), client).disk_bytes for name in forms}
below = image.inspect(base_images.SLIM, client).disk_bytes
table["MB added"] = [round((weighs[name] - below) / 1e6) for name in forms]
table

# %%
right = [name for name in forms if wrote[name] == ["True", "False"] and table["MB added"][name] == 20]
beside(form_guess, right[0])

# %% [markdown]
# `chown -R` copies every file into one more layer, and then the intruder may change the code. `COPY --chown` saves the layer and leaves the code open. The server needs one folder that is its own, and nothing else.
#
# **Code and weights belong to root and are read by all; the server owns one folder for what it writes.**
#
# ### Which number?
#
# The usual recipe is `useradd -m -u 1000 appuser`. A user id inside is the same number outside: `docker top` asks the host.

# %%
small.build("appuser", """\
FROM python:3.11-slim-bookworm
RUN useradd -m -u 1000 appuser
USER appuser
CMD ["sleep", "60"]
""")
with small.started("appuser") as box:
    inside = box.exec_run(["id", "-un"]).output.decode().strip()
    out = !docker top {box.name} -o pid,uid,args
print(inside, "inside is user", out[1].split()[1], "for the host")

# %% [markdown]
# 1000 is the first person with an account on most Linux machines. Here that person keeps a key in a volume, mode 600. The same volume is mounted into two containers by mistake.

# %%
def in_volume(command, user):
    return small.run("appuser", ["sh", "-c", command], user=user, volumes=["dockerlab-lesson09-home:/home/person"])


cleanup.remove_named(client, "dockerlab-lesson09-home")
home = client.volumes.create("dockerlab-lesson09-home", labels=object_labels.labels(kind="volume"))
in_volume("chown 1000 /home/person && umask 077 && echo my-key > /home/person/key && chown 1000 /home/person/key", user="0")
for user in ("appuser", "10001"):
    print(user, "reads the key:", in_volume("cat /home/person/key", user=user) == "my-key")

# %% [markdown]
# **Take a number above 10000 that nobody has, and write the number, not a name: platforms that demand "not root" can check a number.**
#
# ### Ports below 1024
#
# "Only root may listen on port 80" stands in many guides. **Guess first.** What does user 10001 get on port 80 in a container?

# %%
port_guess = guess_box("User 10001 on port 80", options=["permission denied", "the port"], default="permission denied")
port_guess

# %%
listen = ["python", "-c", "import socket; socket.socket().bind(('0.0.0.0', 80)); print('the port')"]
beside(port_guess, small.run(base_images.SLIM, listen, user="10001"))

# %% [markdown]
# The engine sets a kernel setting in each new container that frees all ports. Where the setting is another, as with `--network host` or on some platforms, the guide is right:

# %%
strict = {"net.ipv4.ip_unprivileged_port_start": "1024"}
print(small.run(base_images.SLIM, listen, user="10001", sysctls=strict).splitlines()[-1])

# %% [markdown]
# **Listen on a port above 1024 inside, and let `-p 80:8000` give it the low number outside.**

# %% [markdown]
# ## 3. Capabilities: root in pieces
#
# Linux cuts root's power into pieces, the **capabilities**: change owners, open raw sockets, mount disks. A container's root has some of them. Which, says the kernel itself in `/proc/self/status`; `privileges.read` decodes it.

# %%
ways = {
    "--privileged": {"privileged": True},
    "root, no option": {},
    "root, --cap-drop ALL": {"cap_drop": ["ALL"]},
    "user 10001": {"user": "10001"},
}
found = {way: privileges.read(small.run(base_images.SLIM, privileges.LOOK, **options)) for way, options in ways.items()}
held = {way: len(each.capabilities) for way, each in found.items()}
everything = held.pop("--privileged")
print(held)
print("--privileged has more than twice as many as root has without:", everything > 2 * held["root, no option"])

# %%
print(", ".join(found["root, no option"].capabilities))

# %% [markdown]
# `--privileged` gives all that the kernel has, and the host's devices besides. `--cap-drop ALL` leaves a root that owns root's files and can do nothing else. If a server does need one, give back that one:

# %%
take = ["python", "-c", "import os; open('/tmp/f', 'w'); os.chown('/tmp/f', 12345, 0); print('took it')"]
dropped = !docker run --rm {labels} --cap-drop ALL {base_images.SLIM} python -c "import os; os.chown('/tmp', 12345, 0)"
print(dropped[-1])
print("with CHOWN given back:", small.run(base_images.SLIM, take, cap_drop=["ALL"], cap_add=["CHOWN"]))

# %% [markdown]
# **`--cap-drop ALL`, then `--cap-add` what fails without. An API needs none.**

# %% [markdown]
# ## 4. `no-new-privileges`: no way back up
#
# The server is user 10001 now. Some programs run as root **whoever starts them**: a mark on the file says so, **setuid**. `passwd` and `su` are such programs in most images. Here is one that only says who it is.

# %%
small.build("setuid", """\
FROM debian:bookworm-slim
RUN cp /usr/bin/id /usr/local/bin/who-am-i && chmod u+s /usr/local/bin/who-am-i
USER 10001
""")
plain = !docker run --rm {labels} dockerlab-lesson09-small:setuid who-am-i -u
kept = !docker run --rm {labels} --security-opt no-new-privileges dockerlab-lesson09-small:setuid who-am-i -u
print("started by user 10001, it is user", plain[-1], "| with no-new-privileges, user", kept[-1])

# %% [markdown]
# **With `--security-opt no-new-privileges` no program gets more rights than the one that started it.** From Python: `security_opt=["no-new-privileges"]`.

# %% [markdown]
# ## 5. seccomp: the calls that the kernel takes
#
# A container has no kernel of its own; every system call goes to the host's. **seccomp** is a filter in front of it. Docker's default profile lets about 300 calls through and refuses what servers do not need.
#
# `unshare` makes a new namespace. With a user namespace, anyone becomes root in it, and reaches kernel code that only root reaches otherwise. **Guess first.** User 10001 tries it.

# %%
call_guess = guess_box("unshare by user 10001", options=["works", "refused"], default="works")
call_guess

# %%
code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print("works" if libc.unshare(0x10000000) == 0 else os.strerror(ctypes.get_errno()))
print(open("/proc/self/status").read())
"""
guarded = small.run(base_images.SLIM, ["python", "-c", code], user="10001")
rest = privileges.read(guarded)
beside(call_guess, f"refused: {guarded.splitlines()[0]} (seccomp: {rest.seccomp})")

# %% [markdown]
# Without the filter, the same user:

# %% tags=["nbval-ignore-output"]
free = small.run(base_images.SLIM, ["python", "-c", code], user="10001", security_opt=["seccomp=unconfined"])
now = privileges.read(free)
print(free.splitlines()[0], "| capabilities now:", len(now.capabilities), "| seccomp:", now.seccomp)

# %% [markdown]
# One call, and a user without rights has all capabilities, inside its new namespace. (Some systems refuse it by another guard, AppArmor.) `keyctl`, another call that the profile refuses, is tried by the scorecard:

# %%
unconfined = attack_surface.tried(base_images.SLIM, client, command=["sleep", "60"], security_opt=["seccomp=unconfined"])
print("keyctl is taken with the profile off:", "keyctl" in unconfined.seen("kernel"))
print("with it:", attack_surface.tried(base_images.SLIM, client, command=["sleep", "60"]).seen("kernel"))

# %% [markdown]
# **The default profile is on unless you turn it off. `seccomp=unconfined` and `--privileged` turn it off.** A profile of your own (`--security-opt seccomp=FILE.json`) replaces it, so begin with a copy of Docker's and take away from it.

# %% [markdown]
# ## 6. Nothing to write on, no end of processes
#
# `--read-only` mounts the image so that nobody can write into it. What breaks? Programs that need a place for temporary files.

# %%
temporary = 'python -c "import tempfile; tempfile.TemporaryFile(); print(\'has a place\')"'
bare = !docker run --rm {labels} --read-only dockerlab-api:multistage {temporary}
placed = !docker run --rm {labels} --read-only --tmpfs /tmp:size=64m dockerlab-api:multistage {temporary}
print(bare[-1].split(" in [")[0])
print("with --tmpfs /tmp:size=64m:", placed[-1])

# %% [markdown]
# A **tmpfs** is a folder in memory, gone with the container. Docker mounts it `noexec`: what an intruder stores there cannot be started.
#
# One more limit. A **fork bomb** starts processes until the machine stands still. The scorecard starts 300, which a machine does not feel:

# %%
limited = attack_surface.tried("dockerlab-api:multistage", client, pids_limit=64, read_only=True, tmpfs={"/tmp": "size=64m"})
print("300 processes:", limited.worked("processes"), "| stores and runs a program:", limited.worked("install"))
print("where it tried:", limited.seen("install"))

# %% [markdown]
# **`--read-only --tmpfs /tmp`, and `--pids-limit`. Memory and CPU have limits too (lesson 07).**

# %% [markdown]
# ## 7. The socket is root on the host
#
# Now the opposite: every lock of this lesson is on, and one mount is added, Docker's socket. "Read-only", says the mount, `:ro`.
#
# The host has a file that only root may read:

# %%
vault = bench.folder / "vault"
vault.mkdir()
lock = "umask 077; echo the harbour master dines at eight > /host/harbour-master.txt; stat -c '%U %a' /host/harbour-master.txt"
print("owner and mode:", small.run(base_images.SLIM, ["sh", "-c", lock], volumes=[f"{vault}:/host"]))

# %% [markdown]
# The intruder has Python, and knows that the engine speaks HTTP:

# %%
listing(attack_surface.TAKEOVER, first=15)

# %% [markdown]
# **Guess first.** User 10001, no capabilities, read-only, `no-new-privileges`. Does it read the file?

# %%
vault_guess = guess_box("The locked container reads root's file on the host", options=["yes", "no"], default="no")
vault_guess

# %%
locks = {"user": "10001", "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "read_only": True, "pids_limit": 64}
group = small.run(base_images.SLIM, ["stat", "-c", "%g", "/s"], volumes=[f"{socket}:/s"])  # the group that may use the socket
script = ["python", "-c", attack_surface.TAKEOVER.read_text(), base_images.SLIM, str(vault), json.dumps(object_labels.labels())]
said = small.run(base_images.SLIM, script, volumes=[f"{socket}:/var/run/docker.sock:ro"], group_add=[group], **locks)
beside(vault_guess, f"yes: {said}" if "harbour master" in said else "no")

# %% [markdown]
# It asked the engine for a second container, as root, with the host's folder mounted. The engine does not ask who is calling. `:ro` protects the socket's file; what goes through it is not changed.
#
# **Whoever reaches the socket is root on the host. No other lock helps.** What needs it (a CI runner, a dashboard) belongs on a machine of its own, or in front of an engine that runs **rootless**.

# %% [markdown]
# ## 8. Line by line
#
# All of it together: ten run lines, each with one thing less for the intruder than the one before. The last one changes the image too: `dockerlab-api:minimal` of lesson 06, which has no shell.

# %%
line = {"image": bench.tag("naive"), "privileged": True, "environment": {"REGISTRY_TOKEN": "tkn-4711"}}
line["volumes"] = [f"{socket}:/var/run/docker.sock"]
changes = {
    "as above": {},
    "no --privileged": {"privileged": False},
    "no socket": {"volumes": []},
    "no secret in -e": {"environment": {}},
    "--cap-drop ALL": {"cap_drop": ["ALL"]},
    "--user 10001": {"user": "10001"},
    "no-new-privileges": {"security_opt": ["no-new-privileges"]},
    "--read-only --tmpfs /tmp": {"read_only": True, "tmpfs": {"/tmp": "size=64m"}},
    "--pids-limit 64": {"pids_limit": 64},
    "minimal image": {"image": "dockerlab-api:minimal"},
}

# %%
runs = {}
for name, change in changes.items():
    line = line | change
    runs[name] = line
grid = attack_surface.steps(runs, client)
print("attempts that work:", *grid.sum())

# %% tags=["nbval-ignore-output"]
attack_grid(grid)

# %% [markdown]
# The order matters for what you see: each column shows only what the ones before it left open. `--cap-drop ALL` and `--user` overlap, and you want both, since each covers the day when the other is forgotten.
#
# Does the service still work?

# %%
with container.running(client=client, **line) as service:
    boxes = {picture.name: api_client.detect(service.url, picture) for picture in api_client.samples()}
print("the same boxes:", all(api_client.agreement(api_client.recorded()[name], boxes[name]) == 1 for name in boxes))
print("still open:", [name for name, works in grid["minimal image"].items() if works])

# %% [markdown]
# One attempt remains, and no run line takes it away: whoever takes over a server runs code with its rights. And the list is ours; an intruder has other ideas. A container shares the host's kernel, so a hole in the kernel is a hole in all of this.
#
# The last run line as a command:
#
# ```bash
# docker run -d --user 10001 --cap-drop ALL --security-opt no-new-privileges \
#   --read-only --tmpfs /tmp:size=64m --pids-limit 64 -p 127.0.0.1:8000:8000 dockerlab-api:minimal
# ```
#
# **Start with everything locked, and open what fails. The other way round nobody ever finishes.**

# %% [markdown]
# ## 9. Secrets in images
#
# A build needs a token, to fetch a private package for instance. Four ways to hand it over; each image is built, and the token is no file that a container of it shows. **Guess first.** In how many of the four images can it be found?

# %%
secret = "tkn-0815-harbour"
leak_guess = guess_box("Images, of 4, that hold the token", default=1)
leak_guess

# %%
base = "FROM debian:bookworm-slim\n"
small.write({"token.txt": secret, "project/.env": f"REGISTRY_TOKEN={secret}\n", "project/Dockerfile": base + "COPY . /app\n"})
use = "sha256sum | cut -d' ' -f1 > /used.txt"  # stands for a download with the token
small.build("by-arg", f"{base}ARG TOKEN\nRUN printf %s $TOKEN | {use}\n", buildargs={"TOKEN": secret})
small.build("by-copy", f"{base}COPY token.txt /\nRUN cat /token.txt | {use}\nRUN rm /token.txt\n")
out = !docker build -q {image_labels} -t dockerlab-lesson09-small:by-context {small.folder}/project
small.write({"Dockerfile.by-mount": f"{base}RUN --mount=type=secret,id=token cat /run/secrets/token | {use}\n"})
out = !docker buildx build -q --secret id=token,src={small.folder}/token.txt {image_labels} \
  -f {small.folder}/Dockerfile.by-mount -t dockerlab-lesson09-small:by-mount {small.folder}
used = small.run("by-mount", ["cat", "/used.txt"])
print("the build with the mount had the token:", used == hashlib.sha256(secret.encode()).hexdigest())

# %% [markdown]
# `secret_scan.find` searches all that a reader of the image has: configuration, history, and every file of every layer.

# %%
places = {form: secret_scan.find(small.tag(form), secret, client) for form in ("by-arg", "by-copy", "by-context", "by-mount")}
pd.DataFrame({"the token is in": {form: ", ".join(each) or "nothing" for form, each in places.items()}})

# %%
beside(leak_guess, sum(bool(each) for each in places.values()))

# %% [markdown]
# The `ARG` needs no tool at all. It stands in what `docker history` prints:

# %%
out = !docker history --no-trunc --format json dockerlab-lesson09-small:by-arg
print(next(json.loads(each)["CreatedBy"] for each in out if secret in each)[:60])

# %% [markdown]
# `rm` hid the file and left its layer. `COPY .` took `.env` along, which nobody had thought of; a `.dockerignore` with `.env`, or better with `*` and exceptions, keeps it at home.
#
# **A secret mount is there for one `RUN` and is written nowhere. `ARG`, `ENV` and `COPY` are for things that everyone may know.**
#
# At run time `-e` has the same weakness: anyone who may ask the engine reads it, and so does an intruder in the container.

# %%
out = !docker inspect --format json dockerlab-lesson09-naive
print([each for each in json.loads(out[0])[0]["Config"]["Env"] if "TOKEN" in each])

# %% [markdown]
# Hand a running service its secret as a file: lesson 08 shows `secrets:` of Compose. And where a secret has leaked, change it; removing the image takes it from nobody who has a copy.

# %% [markdown]
# ## 10. A tag moves, a digest does not
#
# `FROM python:3.9` changes under you; everybody says so. The advice is a longer tag, such as `python:3.9.18-slim`. Is that one fixed? Your own registry shows it. It gets a base, and an image is built on it.

# %%
out = !docker run -d --name dockerlab-lesson09-registry {labels} -p 127.0.0.1::5000 registry:2
registry = container.published(client.containers.get("dockerlab-lesson09-registry"), 5000).removeprefix("http://")
polling.wait_until(lambda: answers(f"http://{registry}/v2/"), 20)


def publish(content):
    small.build("base", f"FROM debian:bookworm-slim\nRUN echo {content} > /version\n")
    said = !docker tag dockerlab-lesson09-small:base {registry}/base:3.9.18-slim
    said = !docker push --quiet {registry}/base:3.9.18-slim


publish("monday")
digest = client.images.get_registry_data(f"{registry}/base:3.9.18-slim").id
print("digest:", digest[:7], "and", len(digest) - 7, "hexadecimal digits")

# %% [markdown]
# On Tuesday its publisher builds it again, with a fix from Debian, under the same tag. You change nothing, and build again. **Guess first.** What is in your image?

# %%
tag_guess = guess_box("Built on Tuesday FROM base:3.9.18-slim", options=["monday", "tuesday"], default="monday")
tag_guess

# %%
publish("tuesday")
for name, origin in {"by-tag": f"{registry}/base:3.9.18-slim", "by-digest": f"{registry}/base@{digest}"}.items():
    small.write({f"Dockerfile.{name}": f"FROM {origin}\n"})
    out = !docker build --pull -q {image_labels} -f {small.folder}/Dockerfile.{name} \
      -t dockerlab-lesson09-small:{name} {small.folder}
built = {name: small.run(name, ["cat", "/version"]) for name in ("by-tag", "by-digest")}
beside(tag_guess, f"{built['by-tag']} (by digest: {built['by-digest']})")

# %% [markdown]
# A tag is a name that its owner may point elsewhere at any time; official images are rebuilt under the same patch tag whenever their base gets a fix. A digest is the content itself. Both can stand there, for people and for the engine: `FROM python:3.11-slim-bookworm@sha256:…`.
#
# **A digest gives the same build tomorrow; a tag gives you fixes. Pin the digest, and let a bot (Renovate, Dependabot) propose the next one, so that every change is seen and tested.** Never `python:3.9` at all: it gets no fixes any more.

# %% [markdown]
# ## 11. What is in it, and is it known to be broken?
#
# A **software bill of materials** (SBOM) lists what an image is made of. `syft` reads it out of the image. Python packages, Debian packages, licences:

# %% tags=["nbval-ignore-output"]
out = !NO_COLOR=1 {sbom.syft()} scan docker:dockerlab-api:minimal --quiet --output syft-table
print(*out[:6], "…", sep="\n")

# %%
names = {"naive": bench.tag("naive"), "multistage": "dockerlab-api:multistage", "minimal": "dockerlab-api:minimal"}
bills = sbom.several(names, client)
counts = pd.DataFrame({name: bill["kind"].value_counts() for name, bill in bills.items()}).T.fillna(0).astype(int)
print("naive has more than 5 times the packages of minimal:", len(bills["naive"]) > 5 * len(bills["minimal"]))

# %% tags=["nbval-ignore-output"]
counts.assign(all=counts.sum(axis=1))

# %% [markdown]
# Every row is something that can have a hole, that someone has to watch, and that an intruder may find useful. A list has gaps, too: syft recognises what a package manager or a manifest tells of.

# %% tags=["nbval-ignore-output"]
files = image.inspect("dockerlab-api:minimal", client).paths()
libraries = [path for path in files if ".so" in path and "site" not in path]
print(len(libraries), "shared libraries outside the Python packages;", (bills["minimal"]["kind"] == "deb").sum(), "Debian packages in the list")
print(base_images.standin_note(client, base_images.DISTROLESS))

# %% [markdown]
# The licences are in the same list; a company asks for them before it ships.

# %% tags=["nbval-ignore-output"]
bills["minimal"].loc[:, ["package", "version", "licences"]].head(8)

# %% [markdown]
# ### Scan
#
# A **scanner** matches this list against advisories. Many guides say `docker scan`:

# %%
out = !docker scan my-api:latest 2>&1
print(out[0])

# %% [markdown]
# The command is gone. Today it is Docker Scout (`docker scout cves IMAGE`), Trivy (`trivy image IMAGE`) or Grype (`grype IMAGE`). They need a database that they fetch. Which are here, and does one answer within a minute?

# %% tags=["nbval-ignore-output"]
result = vulnerabilities.first_report("dockerlab-api:multistage", seconds=60)
print(f"{result[0]}: {len(result[1])} findings" if result else "No scanner here has its database; read the example below.")
vulnerabilities.scanners()

# %% [markdown]
# What a scanner does can be shown without one. This image has packages of 2023; `vulnerabilities.advisories()` holds ten published advisories that come with the course, and is no substitute for a database.

# %%
small.build("old", """\
FROM python:3.11-slim-bookworm
RUN pip install --no-cache-dir --no-deps pillow==9.5.0 python-multipart==0.0.6 starlette==0.27.0 h11==0.14.0
""")
report = vulnerabilities.match(sbom.packages(small.tag("old"), client), vulnerabilities.advisories(), image="old packages")
found = vulnerabilities.findings(report)
python = found[found["fixed in"] != "no fix"]
python.set_index("id")

# %% [markdown]
# The course ships such a report in Trivy's JSON format, **as an example** (`assets/security/README.md` says how it was made). A real one is read the same way:

# %%
example = vulnerabilities.findings(vulnerabilities.FOLDER / "example-report.json")
print("an upgrade mends", (example["fixed in"] != "no fix").sum(), "of", len(example))
print("without a fix:", *example[example["fixed in"] == "no fix"][["severity", "package", "title"]].iloc[0], sep=" | ")

# %% [markdown]
# Read a report in this order. **Is there a fix?** Then upgrade and build again. **Is it reachable?** The one without a fix is marked critical, and the broken part (MiniZip) is not in Debian's package at all. Debian says so, scanners list it all the same. Write down why you accept it (Trivy: `.trivyignore`, or a VEX document). **What is left** is what you have to think about.

# %%
ours = vulnerabilities.findings(vulnerabilities.match(sbom.packages("dockerlab-api:multistage", client), vulnerabilities.advisories()))
print("of the", len(python), "with a fix, in our own image:", (ours["fixed in"] != "no fix").sum())

# %% [markdown]
# **Build again every week with fresh bases, scan in the pipeline, and fail the build for what has a fix.**
#
# ### Sign
#
# A digest says *what* it is, not *who* made it. A **signature** does. `cosign` signs the digest and puts the signature beside the image into the registry:
#
# ```bash
# # once; or sign with the identity of your CI job, without a key
# cosign generate-key-pair
# # in the pipeline, after the tests
# cosign sign --key cosign.key REGISTRY/detection-api@sha256:…
# # before deploying; a cluster can refuse what is not signed
# cosign verify --key cosign.pub REGISTRY/detection-api@sha256:…
# ```
#
# These lines are not run here: cosign writes to a public log and asks an identity provider, and a lesson should do neither in your name. Sign digests, never tags: you saw why.

# %% [markdown]
# ## Key points
#
# - Ask what an intruder could still do, and try it.
# - A number as `USER`, root owns the code, one folder for data. `--cap-drop ALL`, `no-new-privileges`, `--read-only --tmpfs /tmp`, `--pids-limit`; seccomp stays on.
# - The Docker socket and `--privileged` undo all of it.
# - `ARG`, `ENV` and `COPY` publish secrets; `--mount=type=secret` does not. A deleted file is still in its layer.
# - Pin digests, list what is inside, match it every week, sign what you ship.

# %%
Quiz.load("09").show()

# %% [markdown]
# ## The lab
#
# `labs/09_harden_a_service` hands you an image and a run line. Take away what an intruder can do; the service must still answer. Open `lab.ipynb` there, or edit its files and run `dockerlab check 09`.
#
# ## Clean up
#
# This removes the containers, images and the volume of this lesson, and the vault.

# %%
gone = small.run(base_images.SLIM, ["rm", "-f", "/host/harbour-master.txt"], volumes=[f"{vault}:/host"])
for tag in [tag for left in client.images.list(f"{registry}/base") for tag in left.tags if tag.startswith(registry)]:
    client.images.remove(tag)
small.clear()
bench.clear()
home.remove()
print("left of this lesson:", len(sum(bench.left(), [])), "| volumes:", len(client.volumes.list(filters={"name": "dockerlab-lesson09-"})))
