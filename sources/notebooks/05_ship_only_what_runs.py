# %% [markdown]
# # Ship only what runs: multi-stage builds
#
# **You will do**: build the same detection API in one stage and in several, break a popular recipe and mend it, export a model in a stage that never ships, and run a stage as a test.
#
# **You will learn**: `FROM … AS`, `COPY --from`, `--target`, which stages run in parallel, and what makes an image large.
#
# **You need**: lesson 00, about 3 minutes with warm caches (8 the first time), 3 GB of free disk.

# %%
%matplotlib inline
from pathlib import Path

import pandas as pd

from dockerlab import container, detect, engine, image, index, measure
from dockerlab.build import build
from dockerlab.quiz import Quiz, beside, guess_box

client = engine.connect()
context = measure.stage_context(Path("../build/lesson-05"))

# %% [markdown]
# ## 1. The problem: everything stays
#
# This Dockerfile is the form that most people write first: one stage on the full Python image, with its compilers and headers.

# %%
(context / "Dockerfile.single").write_text("""\
FROM python:3.11-bookworm
WORKDIR /app
COPY requirements-onnx.txt .
RUN pip install -r requirements-onnx.txt
COPY app app
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]
""")
single = build(context, dockerfile="Dockerfile.single", tag="dockerlab-lesson05:single", client=client)
image.inspect("dockerlab-lesson05:single", client)

# %% [markdown]
# Now the two-stage form that you will find in many tutorials: install with `pip install --user` in a first stage, copy `/root/.local` into a slim second one. The usual promise is that the image gets 50–70 % smaller.
#
# **Guess first.** What share of the disk size goes away, in per cent?

# %%
guess = guess_box("Per cent of the single-stage image that goes away", default=60)
guess

# %%
(context / "Dockerfile.user").write_text("""\
FROM python:3.11-bookworm AS builder
WORKDIR /app
COPY requirements-onnx.txt .
RUN pip install --user --no-cache-dir -r requirements-onnx.txt

FROM python:3.11-slim-bookworm
WORKDIR /app
COPY --from=builder /root/.local /root/.local
COPY app app
ENV PATH=/root/.local/bin:$PATH
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]
""")
build(context, dockerfile="Dockerfile.user", tag="dockerlab-lesson05:user", client=client)
sizes = {name: image.inspect(f"dockerlab-lesson05:{name}", client) for name in ("single", "user")}
saved = 100 * (1 - sizes["user"].disk_bytes / sizes["single"].disk_bytes)

# %% tags=["nbval-ignore-output"]
beside(guess, round(saved))

# %% [markdown]
# The compilers, headers and version-control tools of the full base stayed behind in the stage `builder`. **An image holds the layers of its last stage only; what a `COPY --from` does not fetch is not shipped.**

# %% [markdown]
# ## 2. Where the recipe bites
#
# A server should not run as root, so you add a user. **Guess first**: will the container still start?

# %%
starts = guess_box("Does it start as user 10001?", options=["yes", "no"], default="yes")
starts

# %%
recipe = (context / "Dockerfile.user").read_text().replace("CMD", "USER 10001\nCMD")
(context / "Dockerfile.user-nonroot").write_text(recipe)
build(context, dockerfile="Dockerfile.user-nonroot", tag="dockerlab-lesson05:user-nonroot", client=client)
broken = client.containers.create("dockerlab-lesson05:user-nonroot", labels=engine.labels())
try:
    broken.start()
    outcome = "exit code " + str(broken.wait(timeout=60)["StatusCode"])
except Exception as error:
    outcome = "permission denied" if "permission denied" in str(error).lower() else "did not start"
finally:
    broken.remove(force=True)
print(outcome)

# %%
beside(starts, "no" if outcome != "exit code 0" else "yes")

# %% [markdown]
# `/root` belongs to root and nobody else may enter it, so user 10001 finds neither the server nor its packages. Loosening the permissions of `/root` would mend it and open root's home to everyone.
#
# **Install into a virtual environment at one fixed path, such as `/opt/venv`, and copy that.** Any user can read it, and its scripts know their own path.

# %%
(context / "Dockerfile.venv").write_text("""\
FROM python:3.11-slim-bookworm AS packages
RUN python -m venv --without-pip /opt/venv
COPY requirements-onnx.txt .
RUN pip --python /opt/venv/bin/python install --no-cache-dir -r requirements-onnx.txt

FROM python:3.11-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY app app
USER 10001
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]
""")
build(context, dockerfile="Dockerfile.venv", tag="dockerlab-lesson05:venv", client=client)
who = client.containers.run(
    "dockerlab-lesson05:venv", ["python", "-c", "import os, onnxruntime; print(os.getuid(), onnxruntime.__name__)"],
    remove=True, labels=engine.labels(),
)
print(who.decode().strip())

# %% [markdown]
# ## 3. The real use for machine learning
#
# To train or export a model you need PyTorch and Ultralytics. To serve it you need a runtime: here ONNX Runtime. So one stage exports, another installs the runtime, and the last takes one file from the first and one folder from the second.

# %%
lines = (context / "Dockerfile.multistage").read_text().splitlines()
print("\n".join(f"{number:3} {line}" for number, line in enumerate(lines, 1)))

# %%
torch_index = index.torch_index(client)
report = build(context, dockerfile="Dockerfile.multistage", tag="dockerlab-api:multistage",
               buildargs={"TORCH_INDEX": torch_index}, client=client)
stages = build(context, dockerfile="Dockerfile.multistage", target="export", tag="dockerlab-lesson05:export",
               buildargs={"TORCH_INDEX": torch_index}, client=client)
shipped, left_behind = image.inspect("dockerlab-api:multistage", client), image.inspect("dockerlab-lesson05:export", client)

# %% [markdown]
# `target="export"` (on the command line `--target export`) stops at a named stage and tags it, so that you can look into it. Nothing was built twice: its steps came from the cache.

# %% tags=["nbval-ignore-output"]
table = pd.DataFrame({
    "image": ["single stage, full base", "the popular recipe", "export stage (stays behind)", "multi-stage (ships)"],
    "MB on disk": [round(r.disk_bytes / 1e6) for r in (sizes["single"], sizes["user"], left_behind, shipped)],
    "MB to download": [round(r.download_bytes / 1e6) for r in (sizes["single"], sizes["user"], left_behind, shipped)],
})
table

# %%
print("smaller than the single stage:", shipped.disk_bytes < sizes["single"].disk_bytes)
print("PyTorch is in the export stage only:",
      any("/torch/" in file for file in left_behind.paths()) and not any("/torch/" in file for file in shipped.paths()))

# %% [markdown]
# The single-stage image of section 1 could not even export the model; the multi-stage image did, and holds nothing of PyTorch.

# %% [markdown]
# ## 4. Does it still detect the same things?
#
# A smaller image counts only if its answers are the same. The reference is PyTorch itself: the same picture, detected inside the export stage.

# %%
agreement_guess = guess_box("Share of boxes that agree, 0 to 1", default=0.9)
agreement_guess

# %%
picture = measure.samples()[0]
with container.running("dockerlab-api:multistage", client=client) as service:
    answer = detect.detect(service.url, picture)
reference = client.containers.run(
    "dockerlab-lesson05:export", ["python", "-c", """
import json, sys
from ultralytics import YOLO
result = YOLO("harbour-n.pt").predict("/picture.jpg", imgsz=320, rect=False, nms=False, verbose=False)[0]
print(json.dumps([[result.names[int(b.cls)], float(b.conf), *map(float, b.xyxy[0])] for b in result.boxes]))
"""], volumes={str(picture.resolve()): {"bind": "/picture.jpg", "mode": "ro"}}, remove=True, labels=engine.labels(), stderr=False,
)

# %%
import json

boxes = json.loads(reference.decode().strip().splitlines()[-1])
torch_answer = detect.Answer("harbour-n.pt", "ultralytics", 640, 480, tuple(detect.Detection(*box) for box in boxes))
share = detect.agreement(torch_answer, answer)
beside(agreement_guess, round(share, 2))

# %% [markdown]
# ## 5. Stages run in parallel
#
# The stages `export` and `packages` do not need each other. BuildKit starts both at once and waits only where a `COPY --from` asks for a result. To see it, both are built here without a cache on a small example.

# %%
(context / "Dockerfile.parallel").write_text("""\
FROM python:3.11-slim-bookworm AS left
RUN sleep 2 && echo left > /left

FROM python:3.11-slim-bookworm AS right
RUN sleep 2 && echo right > /right

FROM python:3.11-slim-bookworm
COPY --from=left /left /
COPY --from=right /right /
""")
parallel_guess = guess_box("Seconds for two sleeps of 2 s", default=4.0)
parallel_guess

# %%
parallel = build(context, dockerfile="Dockerfile.parallel", tag="dockerlab-lesson05:parallel", no_cache=True, client=client)
sleeps = [step for step in parallel.steps if "sleep 2" in step.name]
together = max(step.started + step.seconds for step in sleeps) - min(step.started for step in sleeps)
print("faster than one after the other:", together < 3.8)

# %% tags=["nbval-ignore-output"]
from dockerlab.charts.timeline import build_timeline

build_timeline(parallel)

# %% tags=["nbval-ignore-output"]
beside(parallel_guess, round(together, 1))

# %% [markdown]
# **A stage that nothing asks for is not built at all, and stages that do not need each other are built at the same time.**

# %% [markdown]
# ## 6. A stage as a test
#
# A stage may hold tests. It starts from the last stage, so it tests what ships, and its tools stay out of it. Build it with `--target test`: a failing test fails the build.

# %%
tests = (context / "Dockerfile.venv").read_text().replace("FROM python:3.11-slim-bookworm\n", "FROM python:3.11-slim-bookworm AS ship\n", 1)
tests += """
FROM ship AS test
RUN python -c "import app.main" && python -c "import onnxruntime, numpy; assert 'CPUExecutionProvider' in onnxruntime.get_available_providers()"
"""
(context / "Dockerfile.test").write_text(tests)
tested = build(context, dockerfile="Dockerfile.test", target="test", tag="dockerlab-lesson05:test", client=client)
print("the test stage was built:", tested.image_id.startswith("sha256:"))

# %% [markdown]
# Now the same with a test that fails.

# %%
from dockerlab.build import BuildFailed

(context / "Dockerfile.test-bad").write_text(tests + 'RUN python -c "assert 1 + 1 == 3, \'this test fails on purpose\'"\n')
try:
    build(context, dockerfile="Dockerfile.test-bad", target="test", client=client)
except BuildFailed as failure:
    print("the build failed:", "this test fails on purpose" in str(failure))

# %% [markdown]
# ## Key points
#
# - Only the last stage ships. Compilers, PyTorch and export tools belong in earlier ones.
# - Copy a virtual environment at a fixed path, not `/root/.local`.
# - `--target` builds up to a named stage: look into it, or run it as a test.
# - Independent stages are built in parallel; unused ones are not built.
# - Compare the answers of a smaller image before you call it better.

# %%
Quiz.load("05").show()

# %% [markdown]
# ## Clean up
#
# This removes the images of this lesson. `dockerlab-api:multistage` stays for the next ones, and the build cache keeps rebuilding quick.

# %%
for name in ("single", "user", "user-nonroot", "venv", "export", "parallel", "test"):
    client.images.remove(f"dockerlab-lesson05:{name}", force=True)
left = [tag for item in client.images.list(filters={"label": "dockerlab.course=1"}) for tag in item.tags if tag.startswith("dockerlab-lesson05")]
print("images of this lesson left:", len(left))
