# %% [markdown]
# # Weigh what you ship: images for machine learning
#
# **You will do**: package one detection API in six ways and measure all of them; break OpenCV and mend it three ways; deliver a model in three ways; try Alpine, byte code and a GPU.
#
# **You will learn**: which bytes of an ML image do work, which rules about small images hold (and which do not), and how to choose where the model file lives.
#
# **You need**: lessons 00 and 05, about 60 minutes of your time, and 20 GB of free disk: two of the images hold all of CUDA. The machine works for three of these minutes once the six images are here, and for about ten the first time.

# %%
%matplotlib inline
import re
from pathlib import Path

import docker
import pandas as pd

from dockerlab.containers import container
from dockerlab.core import units
from dockerlab.course import cleanup
from dockerlab.detection import api_client, benchmark, variants
from dockerlab.engine import object_labels
from dockerlab.images import base_images, image
from dockerlab.images.build import build
from dockerlab.images.build_errors import BuildFailed
from dockerlab.notebook.charts.ladder import ladder_panels, package_bars, size_ladder
from dockerlab.notebook.charts.panels import Panel, small_multiples
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.listing import difference, listing
from dockerlab.notebook.quiz import Quiz
from dockerlab.notebook.session import start

client = start(timeout=1800)
cleanup.begin(client)
cleanup.remove_named(client, "dockerlab-lesson06")
context = variants.stage_context(Path("../build/lesson-06"))

# %% [markdown]
# ## 1. The size ladder
#
# This is the Dockerfile that most people write first for a model: the full Python image, everything copied, everything installed.

# %%
listing(context / "Dockerfile.naive")

# %% [markdown]
# **Guess first.** How large is that image on disk, in MB?

# %%
size_guess = guess_box("MB on disk of the naive image", default=1500)
size_guess

# %% [markdown]
# The next rungs change one thing each. `slim` takes the slim base and installs before it copies the code; `cpu` takes PyTorch built without CUDA; `staged` puts the same packages through two stages; `multistage` (lesson 05) exports the model and serves it with ONNX Runtime; `minimal` prunes what the server never loads, stores the weights in half precision, and stands on a base without a shell. The first step, from `naive` to `slim`:

# %%
difference(context / "Dockerfile.naive", context / "Dockerfile.slim")

# %% [markdown]
# And from `slim` to `cpu`, only what changes:

# %%
difference(context / "Dockerfile.slim", context / "Dockerfile.cpu", around=0)

# %% [markdown]
# Now build them. `ensure_rung` keeps an image that is here and made of the same files, and builds it without a cache where it is not. What a build took, and a rebuild after one edited line, is noted when it is measured.

# %%
variants.ensure_rung("naive", client)
naive = image.inspect("dockerlab-api:naive", client)
print("the naive image is larger than 5 GB:", naive.disk_bytes > 5e9)

# %% tags=["nbval-ignore-output"]
beside(size_guess, round(naive.disk_bytes / 1e6))

# %%
for name in variants.RUNGS:
    variants.ensure_rung(name, client)
print(f"dockerlab-api: {', '.join(variants.RUNGS)}")

# %% [markdown]
# **Guess again.** You change one line of the code and build. In `naive`, `COPY . .` stands above the installation. How many times longer does its rebuild take than that of `minimal`?

# %%
rebuild_guess = guess_box("Times longer, naive against minimal", default=10)
rebuild_guess

# %% [markdown]
# Each image is started now and asked for the boxes in the same three pictures. **A rung counts only if its boxes agree with those of the first.**

# %%
ladder = benchmark.ladder(list(variants.RUNGS), client, fresh=False, starts=1)
rungs = ladder.set_index("rung")
print("rungs whose boxes agree with naive:", int((ladder["agreement"] >= 0.99).sum()), "of", len(ladder))

# %% tags=["nbval-ignore-output"]
ladder_panels(ladder)

# %% tags=["nbval-ignore-output"]
beside(rebuild_guess, round(rungs["rebuild_seconds"]["naive"] / rungs["rebuild_seconds"]["minimal"]))

# %% [markdown]
# The same as a table:

# %% tags=["nbval-ignore-output"]
megabytes = (rungs[["disk_bytes", "download_bytes"]] / 1e6).round()
table = rungs.assign(disk_bytes=megabytes["disk_bytes"], download_bytes=megabytes["download_bytes"])
table.drop(columns=["title", "tag"]).rename_axis(None).rename(columns={
    "disk_bytes": "MB on disk", "download_bytes": "MB to download", "build_seconds": "build, s",
    "rebuild_seconds": "rebuild, s", "cold_start_seconds": "start, s",
    "latency_p50_ms": "median, ms", "latency_p95_ms": "95 %, ms"})

# %% [markdown]
# And as an instrument: switch to *rebuild*, then choose the button of the rung that comes out last to read its Dockerfile.

# %% tags=["nbval-ignore-output"]
from dockerlab.notebook.widgets import LadderChart

LadderChart(ladder)

# %%
disk, rebuild = rungs["disk_bytes"], rungs["rebuild_seconds"]
print("a slim base alone saves less than a quarter:", disk["slim"] > 0.75 * disk["naive"])
print("CPU torch saves more than half of the rest:", disk["cpu"] < disk["slim"] / 2)
print("two stages with the same packages save less than a tenth:", disk["staged"] > 0.9 * disk["cpu"])
print("another runtime saves more than two thirds of the rest:", disk["multistage"] < disk["staged"] / 3)
print("minimal is at least 25 times smaller than naive:", disk["minimal"] * 25 < disk["naive"])
print("its rebuild is at least 10 times faster:", rebuild["minimal"] * 10 < rebuild["naive"])

# %% [markdown]
# Two lines of that are news to many. A slim base saves hundreds of megabytes, and here that is little. And multi-stage by itself saves almost nothing: what is large is not a compiler that stays behind but PyTorch, which came along. The next stage paid off because it needed other packages.
#
# **First decide what has to run; stages and bases come after that.**

# %% [markdown]
# ## 2. Which packages make the bytes?
#
# **Guess first.** What share of the naive image's Python packages is there for a GPU, in per cent?

# %%
gpu_guess = guess_box("Per cent of the packages' bytes that only a GPU uses", default=30)
gpu_guess

# %%
packages = benchmark.packages(naive)
gpu = packages[packages["group"] == "gpu"]
share = gpu["MB"].sum() / packages["MB"].sum()
print("more than half is for GPUs:", share > 0.5, "| more than five packages:", len(gpu) > 5)

# %% tags=["nbval-ignore-output"]
total = packages["MB"].sum()
package_bars(packages, f"{share:.0%} of the {total:,.0f} MB of Python packages are libraries for NVIDIA GPUs")

# %% tags=["nbval-ignore-output"]
beside(gpu_guess, round(100 * share))

# %% [markdown]
# Nobody asked for them: on Linux, plain `pip install torch` takes the build with CUDA, and that build depends on NVIDIA's libraries. `torch` itself is larger too, since it carries its kernels for every GPU generation:

# %% tags=["nbval-ignore-output"]
inside = {name: benchmark.packages(image.inspect(f"dockerlab-api:{name}", client))
          for name in ("naive", "cpu", "multistage")}
weights = pd.DataFrame({f"MB in {name}": each.set_index("package")["MB"] for name, each in inside.items()})
weights.loc[["torch", "torchvision", "onnxruntime", "numpy"]].fillna(0).rename_axis(None)

# %% [markdown]
# What do they do in a container without a GPU? Ask PyTorch in the naive image.

# %%
question = """
import torch
print('built for CUDA:', torch.version.cuda is not None, '| can use it:', torch.cuda.is_available())
"""
asked = client.containers.run("dockerlab-api:naive", ["python", "-c", question],
                              remove=True, stderr=False, labels=object_labels.labels())
print(asked.decode().strip())

# %% [markdown]
# **Without a GPU, take the CPU build: `pip install torch --index-url https://download.pytorch.org/whl/cpu`.** Keep the CUDA build for images that run where a GPU is.

# %% [markdown]
# ## 3. Containers with a GPU
#
# A GPU reaches a container through three things: the driver on the host, the **NVIDIA Container Toolkit** on the host (it mounts the driver's libraries and devices into the container), and CUDA libraries in the image. `--gpus all` asks for it. Does your engine have one to give?

# %% tags=["nbval-ignore-output"]
!docker run --rm --gpus all --label dockerlab.course=1 python:3.11-slim-bookworm nvidia-smi --list-gpus

# %% [markdown]
# The same with docker-py. Whether it works can be told beforehand: the toolkit registers a runtime called `nvidia`, or devices by the **Container Device Interface** (CDI).

# %%
facts = client.info()
devices = facts.get("DiscoveredDevices") or []
registered = "nvidia" in facts["Runtimes"] or any("nvidia" in str(each) for each in devices)
request = docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])
try:
    listed = client.containers.run(base_images.SLIM, ["nvidia-smi", "--list-gpus"], device_requests=[request],
                                   remove=True, labels=object_labels.labels())
    answer = listed.decode().strip()
except docker.errors.APIError as error:
    answer = f"refused: {error.explanation}"
print("the engine's list and its answer fit together:", registered == answer.startswith("GPU"))

# %% tags=["nbval-ignore-output"]
print(answer)

# %% [markdown]
# `could not select device driver "" with capabilities: [[gpu]]` is the engine's way to say: no toolkit here. On a machine with an NVIDIA driver, install the package `nvidia-container-toolkit`, run `nvidia-ctk runtime configure --runtime=docker`, restart the engine, and run this section again: it lists your GPUs. The image needs no driver, and must not bring one: the toolkit mounts that of the host.
#
# **The driver belongs to the host, CUDA to the image, and `--gpus` joins them; without the flag a container sees no GPU even where there is one.**

# %% [markdown]
# ## 4. Three rules for small images, weighed
#
# The usual list says: slim instead of full; combine `RUN` commands; remove apt's lists. First the base. The list promises "900 MB" against "150 MB".

# %% tags=["nbval-ignore-output"]
size_ladder(benchmark.sizes({"full base": base_images.FULL, "slim base": base_images.SLIM}, client))

# %%
both = benchmark.sizes({"full": base_images.FULL, "slim": base_images.SLIM}, client).set_index("rung")
disk, download = both["disk_bytes"], both["download_bytes"]
print("slim is at least four times smaller on disk:", disk["slim"] * 4 < disk["full"])
print("and to download:", download["slim"] * 4 < download["full"])

# %% [markdown]
# The full base holds compilers, headers and version control for building packages from source. Wheels need none of that.
#
# Now `RUN`. Four ways to install one small program, `jq`. **Guess first**: by how many MB does the second one, which deletes apt's lists in a `RUN` of its own, shrink the image?

# %%
lists_guess = guess_box("MB saved by deleting the lists in a later RUN", default=50)
lists_guess

# %%
small = Path("../build/lesson-06-small")
small.mkdir(parents=True, exist_ok=True)
update, delete = "apt-get update", "rm -rf /var/lib/apt/lists/*"
install = "apt-get install -y --no-install-recommends jq"
ways = {
    "three RUNs": f"RUN {update}\nRUN {install}\n",
    "three RUNs, deleted after": f"RUN {update}\nRUN {install}\nRUN {delete}\n",
    "one RUN, lists stay": f"RUN {update} && {install}\n",
    "one RUN, deleted in it": f"RUN {update} && {install} && {delete}\n",
}
for number, (way, text) in enumerate(ways.items()):
    (small / f"Dockerfile.run{number}").write_text(f"FROM {base_images.SLIM}\n{text}")
    build(small, dockerfile=f"Dockerfile.run{number}", tag=f"dockerlab-lesson06:run{number}",
          client=client)
apt = benchmark.sizes({way: f"dockerlab-lesson06:run{number}" for number, way in enumerate(ways)}, client)

# %% tags=["nbval-ignore-output"]
size_ladder(apt, "Only deleting in the same RUN makes the image smaller")

# %%
weight, load = (apt.set_index("rung")[column] for column in ("disk_bytes", "download_bytes"))
later = weight["three RUNs"] - weight["three RUNs, deleted after"]
best = "one RUN, deleted in it"
print("saved on disk by deleting later:", max(0, round(later / 1e6)), "MB")
print("combining alone leaves the lists in the image:", weight["one RUN, lists stay"] - weight[best] > 1e7)
print("deleting in the same RUN saves at least 10 MB on disk:", weight["three RUNs"] - weight[best] > 1e7)
print("and to download:", load["three RUNs"] - load[best] > 1e7)

# %%
beside(lists_guess, max(0, round(later / 1e6)))

# %% [markdown]
# The layer of the first `RUN` still holds the lists, and a later one can only hide them. `docker history` shows it: the layer that deletes weighs nothing and takes nothing away.

# %% tags=["nbval-ignore-output"]
# A notebook wants each brace twice; in a terminal it is {{.Size}}  {{.CreatedBy}}
!docker history --format "{{{{.Size}}}}  {{{{.CreatedBy}}}}" dockerlab-lesson06:run1 | head -3

# %% [markdown]
# The same from Python:

# %% tags=["nbval-ignore-output"]
pd.DataFrame(client.images.get("dockerlab-lesson06:run1").history())[["CreatedBy", "Size"]].head(3)

# %% [markdown]
# So fewer layers are no aim. There is another reason to keep `update` and `install` together, and lesson 04 shows it: a cached `update` goes stale. **Write and delete in the same `RUN`: what a layer never held, it does not ship.**

# %% [markdown]
# The fourth rule of that list is `.dockerignore`. The naive image copies all that lies in the folder. Here a virtual environment and a Git folder lie beside three lines of code:

# %%
work = small / "project"
project = {"app.py": 100, ".venv/lib/torch.so": 6_000_000, ".git/objects/pack": 2_000_000, "docs/plan.md": 50_000}
for name, size in project.items():
    (work / name).parent.mkdir(parents=True, exist_ok=True)
    (work / name).write_bytes(b"#" * size)
(work / "Dockerfile").write_text(f"FROM {base_images.SLIM}\nCOPY . /app\n")
(work / ".dockerignore").unlink(missing_ok=True)
without = build(work, tag="dockerlab-lesson06:all", client=client)
(work / ".dockerignore").write_text(".venv\n.git\n**/__pycache__\n**/*.pyc\ntests\ndocs\n*.md\n")
ignoring = build(work, tag="dockerlab-lesson06:ignoring", client=client)
layers = [image.inspect(f"dockerlab-lesson06:{tag}", client).layers[-1] for tag in ("all", "ignoring")]
pd.DataFrame({"kB sent to the builder": [round(each.context_bytes / 1e3, 1) for each in (without, ignoring)],
              "kB in the layer": [round(layer.disk_bytes / 1e3, 1) for layer in layers],
              "files": [len(layer.files) for layer in layers]}, index=["no .dockerignore", ".dockerignore"])

# %% [markdown]
# ## 5. OpenCV and the libraries that it expects
#
# `ultralytics` brings OpenCV, and so do many vision projects. On a slim base its import fails. Here are seven images as stages of one file; they share a cache of downloads, so that only the first is slow.

# %%
(small / "Dockerfile.opencv").write_text("""\
FROM python:3.11-slim-bookworm AS slim
RUN --mount=type=cache,target=/root/.cache/pip pip install numpy==2.4.6

FROM slim AS plain
RUN --mount=type=cache,target=/root/.cache/pip pip install opencv-python==5.0.0.93

FROM slim AS older
RUN --mount=type=cache,target=/root/.cache/pip pip install opencv-python==4.11.0.86

FROM plain AS libgl1
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 \\
    && rm -rf /var/lib/apt/lists/*

FROM plain AS libraries
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \\
    && rm -rf /var/lib/apt/lists/*

FROM slim AS headless
RUN --mount=type=cache,target=/root/.cache/pip pip install opencv-python-headless==5.0.0.93

FROM slim AS pillow
RUN --mount=type=cache,target=/root/.cache/pip pip install pillow==13.0.0
""")
for target in ("slim", "plain", "older", "libgl1", "libraries", "headless", "pillow"):
    build(small, dockerfile="Dockerfile.opencv", target=target, tag=f"dockerlab-lesson06:cv-{target}",
          client=client)

# %% [markdown]
# Each of them has the same task: read a picture.

# %%
picture = api_client.samples()[0].resolve()
OPENCV = "import cv2; print('reads', cv2.imread('/picture.jpg').shape)"
PILLOW = "from PIL import Image; print('reads', Image.open('/picture.jpg').size)"

def reads_a_picture(target, code=OPENCV):
    try:
        said = client.containers.run(f"dockerlab-lesson06:cv-{target}", ["python", "-c", code], remove=True,
                                     volumes=[f"{picture}:/picture.jpg:ro"], labels=object_labels.labels())
    except docker.errors.ContainerError as error:
        said = error.stderr
    return said.decode().strip().splitlines()[-1]

for target in ("older", "plain"):
    print(f"{target:6} {reads_a_picture(target)}")

# %% [markdown]
# OpenCV 4 stops at `libGL.so.1`, the line that you will find in many questions on the web; OpenCV 5 stops one library earlier. The cause is the same: a wheel carries its own modules, but this one is built for a desktop and expects the desktop's libraries. **Guess first**: `libgl1` is the Debian package with `libGL.so.1`, and it brings `libxcb` along. Is it enough?

# %%
enough = guess_box("Does the import work with libgl1 installed?", options=["yes", "no"], default="yes")
enough

# %%
with_libgl1 = reads_a_picture("libgl1")
print(with_libgl1)

# %%
beside(enough, "yes" if with_libgl1.startswith("reads") else "no")

# %% [markdown]
# `opencv-python` is built with a window system (Qt), so that `cv2.imshow` works. It needs GLib too. Recipes name a third package for this, `libgl1-mesa-glx`. Ask Debian 12 and Debian 13 for it:

# %%
for suite in ("bookworm", "trixie"):
    (small / f"Dockerfile.{suite}").write_text(f"""\
FROM {base_images.SLIM}
RUN sed -i s/bookworm/{suite}/g $(find /etc/apt -name '*.list' -o -name '*.sources') && apt-get update
RUN apt-get install --simulate libgl1 libglib2.0-0
RUN apt-cache show libgl1-mesa-glx > /answer && apt-get install --simulate libgl1-mesa-glx
""")
    try:
        build(small, dockerfile=f"Dockerfile.{suite}", tag=f"dockerlab-lesson06:{suite}", client=client)
        print(suite, "can install it")
    except BuildFailed as failure:
        print(suite, "stops with", re.search(r"E: [^\n]*? candidate", str(failure))[0])

# %%
described = client.containers.run(
    "dockerlab-lesson06:bookworm", ["grep", "-E", "^(Description|Depends):", "/answer"],
    remove=True, labels=object_labels.labels())
print(described.decode().strip())

# %% [markdown]
# On Debian 12 the name is an empty package that asks for the real ones. Debian 13 has dropped it, and that is what `python:3.11-slim` without a suite means today: the recipe breaks on the day somebody rebuilds. The two names `libgl1 libglib2.0-0` work on both, as the third line of each Dockerfile shows.
#
# Is that the best cure? Two others need no apt at all: the wheel without windows, `opencv-python-headless`, and no OpenCV, if all you do is open a picture.

# %%
cures = {"apt": "libraries", "headless": "headless", "Pillow": "pillow"}
for cure, target in cures.items():
    print(f"{cure:10}{reads_a_picture(target, PILLOW if cure == 'Pillow' else OPENCV)}")

# %% [markdown]
# All three read it. **Guess first.** What does the apt cure weigh, OpenCV included?

# %%
cheapest = guess_box("MB that the apt cure adds to the image without OpenCV", default=100)
cheapest

# %%
images = {"NumPy only": "slim", "apt: libgl1 and libglib2.0-0": "libraries",
          "headless wheel": "headless", "Pillow instead": "pillow"}
opencv = benchmark.sizes({name: f"dockerlab-lesson06:cv-{target}" for name, target in images.items()}, client)
_, desktop, headless, pillow = opencv["disk_bytes"] - opencv["disk_bytes"][0]
print("headless adds less than half of the apt cure:", headless * 2 < desktop)
print("Pillow adds less than a fifth of headless:", pillow * 5 < headless)

# %% tags=["nbval-ignore-output"]
size_ladder(opencv, f"A desktop's libraries cost {(desktop - headless) / 1e6:,.0f} MB that a server never draws with")

# %% tags=["nbval-ignore-output"]
beside(cheapest, round(desktop / 1e6))

# %% [markdown]
# Where do the apt megabytes go? To a software renderer and the compiler inside it:

# %% tags=["nbval-ignore-output"]
libraries = image.inspect("dockerlab-lesson06:cv-libraries", client)
libraries.files(layer=len(libraries.layers) - 1, top=6)[["path", "MB"]]

# %% [markdown]
# **A server takes `opencv-python-headless`, or Pillow where reading a picture is all.** The ladder's `multistage` does the latter.

# %% [markdown]
# ## 6. Why not Alpine?
#
# Alpine's base weighs a few megabytes, and its C library is **musl** instead of glibc. A wheel with compiled code is made for one of them: `manylinux` names glibc, `musllinux` names musl. pip can be asked what it would install on either, without running there.

# %%
asking = """
for package in $STACK; do
  for platform in manylinux_2_28_x86_64 musllinux_1_2_x86_64; do
    pip install --dry-run --no-deps --target /tmp/x --only-binary=:all: --platform $platform $package 2>&1 \\
      | grep -E "^(Would install|ERROR: No)"
  done
done
"""
stack = ["numpy==2.4.6", "pillow==13.0.0", "onnxruntime==1.32.0", "opencv-python-headless==5.0.0.93"]
told = client.containers.run(base_images.SLIM, ["sh", "-c", asking], remove=True, labels=object_labels.labels(),
                             environment={"STACK": " ".join(stack)})
found = ["yes" if line.startswith("Would") else line.removeprefix("ERROR: ").split(" for ")[0]
         for line in told.decode().splitlines()]
pd.DataFrame({"wheel for glibc": found[::2], "wheel for musl (Alpine)": found[1::2]}, index=stack)

# %% [markdown]
# ONNX Runtime has no wheel for musl. Could pip build it from source instead?

# %%
download = "pip download --no-deps --no-binary onnxruntime onnxruntime==1.32.0 2>&1 | tail -1"
source = client.containers.run(base_images.SLIM, ["sh", "-c", download], remove=True, labels=object_labels.labels())
print(source.decode().strip())

# %% [markdown]
# It publishes no source package either: on Alpine `pip install onnxruntime` ends with this line. Packages that do publish one are compiled during your build, for minutes, with a compiler that you have to install. **For the Python ML stack take a small glibc base: slim, or distroless. Alpine saves megabytes of base and costs you the wheels.**

# %% [markdown]
# ## 7. Byte code: small or quick?
#
# Python compiles a module to byte code (`.pyc`) at its first import and writes it beside the source, if it may. pip does it at installation. Some recipes leave it out to save space (`pip install --no-compile`; `uv pip install` leaves it out unless told `--compile-bytecode`), and the Python base images come without that of the standard library. Here are the packages of `multistage` in three forms.

# %%
(small / "Dockerfile.bytecode").write_text("""\
FROM dockerlab-api:multistage AS shipped

FROM shipped AS removed
USER 0
RUN find /opt/venv -name __pycache__ -prune -exec rm -rf {} +

FROM python:3.11-slim-bookworm AS none
ENV PATH=/opt/venv/bin:$PATH
COPY --from=removed /opt/venv /opt/venv
USER 10001

FROM python:3.11-slim-bookworm AS packages
ENV PATH=/opt/venv/bin:$PATH
COPY --from=shipped /opt/venv /opt/venv
USER 10001

FROM packages AS everything
USER 0
RUN python -c "import compileall, sysconfig; compileall.compile_dir(sysconfig.get_path('stdlib'), quiet=1)"
USER 10001
""")
forms = ("none", "packages", "everything")
for target in forms:
    build(small, dockerfile="Dockerfile.bytecode", target=target, tag=f"dockerlab-lesson06:pyc-{target}",
          client=client)

# %% [markdown]
# **Guess first.** Without any byte code, how many times longer do the server's imports take?

# %%
slower = guess_box("Times longer that the imports take without any byte code", default=1.2)
slower

# %% [markdown]
# The containers are read-only and not root, as in production. What is measured is processor time, which a busy neighbour does not change; of four starts, the quickest counts.

# %%
imports = """
import time; start = time.process_time()
import fastapi, uvicorn, onnxruntime, PIL.Image
print(time.process_time() - start)
"""

def import_seconds(form):
    options = {"read_only": True, "remove": True, "labels": object_labels.labels()}
    tag = f"dockerlab-lesson06:pyc-{form}"
    return min(float(client.containers.run(tag, ["python", "-c", imports], **options)) for _ in range(4))

seconds = pd.Series({form: import_seconds(form) for form in forms})
times = seconds["none"] / seconds["everything"]
print("without byte code the imports take at least 1.5 times as long:", times > 1.5)

# %% tags=["nbval-ignore-output"]
pyc = benchmark.sizes({form: f"dockerlab-lesson06:pyc-{form}" for form in forms}, client)
pyc = pyc.rename(columns={"rung": "byte code of"}).assign(seconds=seconds.values)
more = (pyc["disk_bytes"].iloc[2] - pyc["disk_bytes"].iloc[0]) / 1e6
panels = [Panel("disk_bytes", "image on disk", "MB", 1e6), Panel("seconds", "processor time of the imports", "s")]
small_multiples(pyc, panels, f"{more:.0f} MB of byte code make every start {times:.1f} times quicker", "byte code of")

# %% tags=["nbval-ignore-output"]
beside(slower, round(times, 1))

# %% [markdown]
# User 10001 in a read-only container (`--read-only` on the command line) can never write what Python compiled, so it pays at **every** start. A writable container pays at the first start of each new container, which is the same once containers are replaced instead of restarted.
#
# **Ship byte code. To save space, ship it without the sources, as `minimal` does, and not the other way round.**

# %% [markdown]
# ## 8. Three ways to deliver the model
#
# The model is a file, and the image does not have to hold it. Three ways are in use:
#
# - **bake**: `COPY` puts it into a layer of the image;
# - **download**: the container fetches it from a server when it starts;
# - **mount**: the host has it in a folder, and `-v` shows that folder to the container.
#
# Whichever you choose, you hand a model on, or serve it, under its licence. This one is under AGPL-3.0, since it was trained with Ultralytics: who serves it over a network owes its users the source of the service. `assets/model/README.md` says more.
#
# For the experiment, `models/` holds the harbour model, and there is a second version of it: the same weights with German class names, so that an answer tells which version made it.

# %%
from dockerlab.lessons.lesson06_ml_images import model_server, onnx_metadata

project = Path("../build/lesson-06-delivery")
models = project / "models"
models.mkdir(parents=True, exist_ok=True)
version1 = onnx_metadata.from_image(client, "dockerlab-api:multistage", "/app/model/harbour-n.onnx")
german = {"ship": "Schiff", "container": "Container", "crane": "Kran", "truck": "Laster"}
version2 = onnx_metadata.renamed(version1, german)
(models / "harbour.onnx").write_bytes(version1)
for content in (version1, version2):
    print("classes:", *onnx_metadata.class_names(content).values())

# %% [markdown]
# One Dockerfile, three targets. `server` is the API without a model; the other two begin with it.

# %%
(project / "Dockerfile").write_text("""\
FROM python:3.11-slim-bookworm AS server
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 MODEL_NAME=harbour.onnx
WORKDIR /app
COPY --from=dockerlab-api:multistage /opt/venv /opt/venv
COPY --from=dockerlab-api:multistage /app/app app
USER 10001
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]

FROM server AS baked
COPY models/harbour.onnx model/

FROM server AS downloads
COPY fetch.py .
CMD ["python", "fetch.py"]
""")
(project / "fetch.py").write_text("""\
import os
import time
import urllib.request

name, begun = os.environ["MODEL_NAME"], time.monotonic()
target = f"/tmp/{name}"
urllib.request.urlretrieve(f"{os.environ['MODEL_SERVER']}/{name}", target)
print(f"fetched in {time.monotonic() - begun:.2f} s", flush=True)
os.environ["MODEL_PATH"] = target
os.execvp("uvicorn", ["uvicorn", "app.main:app", "--host", "0.0.0.0"])
""")
for target in ("server", "baked", "downloads"):
    build(project, target=target, tag=f"dockerlab-lesson06:{target}", client=client)

# %% [markdown]
# `os.execvp` replaces the Python process by the server, so that the server becomes process 1 and hears SIGTERM. You will find `CMD python download_model.py && uvicorn …` in many tutorials. Run that too and stop it, with three seconds of patience:

# %%
def exit_code_after_stop(command):
    name = "dockerlab-lesson06-stop"
    baked = "dockerlab-lesson06:baked"
    with container.running(baked, command=command, name=name, client=client) as service:
        service.container.stop(timeout=3)
        return service.container.wait()["StatusCode"]

shell = "python -c 'print(1)' && uvicorn app.main:app --host 0.0.0.0"
print("shell with &&:", exit_code_after_stop(["sh", "-c", shell]))
print("the server itself:", exit_code_after_stop(None))

# %% [markdown]
# 137 is 128 + 9: the shell stayed process 1, passed nothing on, and the engine killed it when patience ran out.
#
# Now the three ways side by side. The model server is a container on a network of its own that sends at 50 Mbit/s, like a good mobile line. **Guess first.** A new version of the model arrives. Which way needs a new image?

# %%
ways = ["baked", "downloaded", "mounted"]
rebuilds = guess_box("A new model needs a new image when it is", options=ways, default="downloaded")
rebuilds

# %%
def options(way, server):
    """The image of each way, and what `docker run` needs to be told."""
    if way == "mounted":
        return "dockerlab-lesson06:server", {"volumes": [f"{models.resolve()}:/app/model:ro"]}
    if way == "downloaded":
        told = {"network": server.network.name, "environment": {"MODEL_SERVER": server.url}}
        return "dockerlab-lesson06:downloads", told
    return "dockerlab-lesson06:baked", {}

# %% [markdown]
# `deliver` puts a file into `models/`, builds where that is needed, starts a new container and asks it for the boxes.

# %%
def deliver(way, content, server):
    """Seconds of build, start and download, and the class names of the answer."""
    (models / "harbour.onnx").write_bytes(content)
    tag, extra = options(way, server)
    built = build(project, target="baked", tag=tag, client=client).seconds if way == "baked" else 0.0
    with container.running(tag, client=client, **extra) as service:
        fetched = re.search(r"fetched in (\S+) s", service.logs(50))
        labels = {each.label for each in api_client.detect(service.url, picture).detections}
        return [built, service.start_seconds, float(fetched[1]) if fetched else 0.0], labels

# %%
took, served = {}, {}
with model_server.serving(models, client, "dockerlab-lesson06-models", mbit=50) as server:
    for number, content in ((1, version1), (2, version2)):
        for way in ways:
            took[way, number], served[way, number] = deliver(way, content, server)
answers = pd.Series({key: ", ".join(sorted(labels)) for key, labels in served.items()}).unstack()
answers.set_axis(["version 1", "version 2"], axis=1)

# %% [markdown]
# Each way served each version. What did it cost?

# %%
deliveries = pd.DataFrame(took, index=["build", "start", "fetch"]).T.groupby(level=0).min().loc[ways]
reports = {way: image.inspect(options(way, server)[0], client) for way in ways}
deliveries["disk"] = [reports[way].disk_bytes for way in ways]
deliveries["download"] = [reports[way].download_bytes for way in ways]
larger = deliveries["disk"]["baked"] - deliveries["disk"]["mounted"]
built = [way for way in ways if deliveries["build"][way] > 0]
print("the baked image is larger by the model:", round(larger / len(version1), 2), "model files")
print("ways whose new model took a build:", *built)
print("the download alone took more than a second, at every start:", deliveries["fetch"]["downloaded"] > 1)

# %% tags=["nbval-ignore-output"]
panels = [Panel("disk", "image on disk", "MB", 1e6), Panel("download", "image to download", "MB", 1e6),
          Panel("start", "start until /health says 200", "s"), Panel("change", "new model file: build and start", "s")]
shown = deliveries.assign(change=deliveries["build"] + deliveries["start"]).rename_axis("way").reset_index()
fetch = deliveries["fetch"]["downloaded"]
small_multiples(shown, panels, f"Baking adds {len(version1) / 1e6:.0f} MB to the image, "
                f"downloading {fetch:.1f} s to every start", "way")

# %%
beside(rebuilds, ", ".join(built))

# %% [markdown]
# The build of the baked image is short here, and the image is where it runs. In production it is pushed, and every machine pulls a layer as large as the model.
#
# This model is small, and what downloading costs grows with it. Every replica pays that at every start when nothing keeps the file.

# %% tags=["nbval-ignore-output"]
print(f"{fetch:.1f} s for {units.mb(len(version1))}")
print(f"a model of 500 MB at this speed: about {fetch * 500e6 / len(version1):.0f} s at every start")

# %% [markdown]
# | | bake | download | mount |
# |---|---|---|---|
# | starts without network or host folder | **yes** | no (yes, with a cache) | no |
# | one image for many models | no | **yes** | **yes** |
# | version of code and model tied together | **yes** | by name and checksum | no |
# | a new model needs | build, push, pull | a restart | a restart |
# | can fail at start | no | server down, file damaged | folder missing |
#
# On the command line, mounting reads `docker run -v ./models:/app/model:ro …`, and the lesson's image answers with it:

# %%
!docker run --detach --name dockerlab-lesson06-mounted --label dockerlab.course=1 \
    --publish 127.0.0.1::8000 --volume "$(realpath {models})":/app/model:ro dockerlab-lesson06:server > /dev/null
mounted = client.containers.get("dockerlab-lesson06-mounted")
print("the mount is read-only:", [not each["RW"] for each in mounted.attrs["Mounts"]])
mounted.remove(force=True)

# %% [markdown]
# **Bake what must start anywhere, mount what the host's people change, download what comes in many versions, and then verify and keep it.** The lab asks for all three.

# %% [markdown]
# ## Key points
#
# - Decide first what has to run: the runtime decides about gigabytes, the base about megabytes, stages about what is left behind.
# - Plain `pip install torch` brings CUDA. Without a GPU take the CPU index; to serve only, take ONNX Runtime.
# - Deleting in a later `RUN` frees nothing; combining alone frees nothing; deleting in the same `RUN` does.
# - `libgl1` + `libglib2.0-0`, the headless wheel, or no OpenCV: the last two need no apt.
# - No musl wheel of ONNX Runtime: not Alpine. No byte code: slower at every start.
# - A GPU needs the driver and the toolkit on the host, CUDA in the image, and `--gpus`.
# - The model file: bake, download or mount. Each has a situation in which it is the right one.

# %%
Quiz.load("06").show()

# %% [markdown]
# ## The lab
#
# `labs/06_deliver_the_model`: three customers, three deliveries. Open its notebook, or run `dockerlab check 06` in a terminal.
#
# ## Clean up
#
# This removes the images of this lesson. The six rungs stay, because building them takes long; `dockerlab clean` removes them.

# %%
cleanup.remove_named(client, "dockerlab-lesson06")
containers = client.containers.list(all=True, filters={"name": "dockerlab-lesson06"})
print("images and containers of this lesson left:", len(client.images.list(name="dockerlab-lesson06") + containers))
