# %% [markdown]
# # Ship only what runs: multi-stage builds
#
# **You will do**: build one detection API in a single stage, after a popular recipe and in real stages; break the recipe and mend it; export a model in a stage that never ships; watch two stages work at the same time; let a broken server slip past its tests, and close that gap.
#
# **You will learn**: `FROM … AS`, `COPY --from`, `--target`, `--output`; which stages are built, in which order, and what reaches the image.
#
# **You need**: lessons 03 and 04, about 50 minutes of your time, and 4 GB of free disk. The machine works for a minute and a half of it; up to ten minutes the first time, when PyTorch has to be fetched.

# %%
%matplotlib inline
import hashlib
import time

import pandas as pd

from dockerlab.containers import container
from dockerlab.course.workbench import Bench
from dockerlab.detection import api_client, variants, wheel_index
from dockerlab.images import base_images, image
from dockerlab.images.build import build
from dockerlab.images.build_errors import BuildFailed
from dockerlab.lessons.lesson05_multi_stage import stages
from dockerlab.lessons.lesson05_multi_stage.charts import share_saved, stage_lanes, stage_weights
from dockerlab.notebook.charts import detections
from dockerlab.notebook.charts.layers import layer_stack
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.listing import difference, listing
from dockerlab.notebook.quiz import Quiz
from dockerlab.notebook.session import start
from dockerlab.notebook.widgets import BuildTimeline, LayerExplorer, close_all

pd.set_option("display.max_colwidth", None)
client = start(timeout=900)
for base in (base_images.SLIM, base_images.FULL, base_images.DISTROLESS):
    base_images.ensure(base, client)
bench = Bench("05", client)
context = variants.stage_context(bench.folder)  # the detection API and its model, to edit and build
print("leftovers of an earlier run:", len(sum(bench.left(), [])))

# %% [markdown]
# ## 1. The problem: everything stays
#
# Most people begin like this: one stage, on the full Python image, because a package might need a compiler.

# %%
bench.build("single", """\
FROM python:3.11-bookworm
WORKDIR /app
COPY requirements-onnx.txt .
RUN pip install -r requirements-onnx.txt
COPY app app
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]
""")
single = image.inspect(bench.tag("single"), client)
tools = bench.run("single", ["which", "gcc", "git", "make", "pip"]).split()
print("in the server's image:", ", ".join(path.rpartition("/")[2] for path in tools))

# %% [markdown]
# A bar is a layer, the first instruction on top.

# %% tags=["nbval-ignore-output"]
layer_stack(single)

# %% [markdown]
# Look inside with an **instrument**: choose a layer and see its files by size. Which package makes the layer of `pip install` so large? Then search for `gcc` in all layers.

# %% tags=["nbval-ignore-output"]
LayerExplorer(bench.tag("single"))

# %% [markdown]
# Section 3 installs the same packages where there is no compiler: none of them needed one. It ships all the same, with version control, headers and the installer.
#
# **What an instruction of the stage puts into the image stays in the image.**

# %% [markdown]
# ## 2. The popular recipe, measured
#
# The usual cure has two stages. The first, `builder`, installs with `pip install --user`, which writes below `/root/.local`; the second begins from a slim base and fetches that folder. You will find it in many tutorials, with the promise that the image gets **50 to 70 % smaller**.
#
# **Guess first.** How many per cent of the single stage go away?

# %%
saved_guess = guess_box("Per cent that goes away", default=50)
saved_guess

# %%
recipe = bench.build("recipe", """\
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
sizes = {name: image.inspect(bench.tag(name), client).disk_bytes for name in ("single", "recipe")}
saved = 100 * (1 - sizes["recipe"] / sizes["single"])
print("the promise is kept:", 50 <= saved <= 75)

# %%
difference(context / "Dockerfile.single", context / "Dockerfile.recipe")

# %% tags=["nbval-ignore-output"]
beside(saved_guess, round(saved))

# %% [markdown]
# Each `FROM` begins a **stage** with a file system of its own; `AS builder` names it. Nothing passes from one stage to the next but what `COPY --from` fetches.
#
# **An image holds the layers of its last stage. Every other stage is a workshop that is locked when the work is done.**

# %% [markdown]
# ## 3. Where the recipe bites
#
# A server should not run as root, so you add one line: `USER 10001`. **Guess first.** Does it still start?

# %%
starts_guess = guess_box("Does the recipe start as user 10001?", options=["yes", "no"], default="yes")
starts_guess

# %%
text = (context / "Dockerfile.recipe").read_text()
bench.build("recipe-user", text.replace("CMD", "USER 10001\nCMD"))
out = !docker run --rm {bench.labels} dockerlab-lesson05:recipe-user
refused = any("permission denied" in line.lower() or "not found" in line.lower() for line in out)
beside(starts_guess, "no" if refused else "yes")

# %% tags=["nbval-ignore-output"]
print(out[-1][:160])

# %% [markdown]
# The packages lie in root's home, and nobody but root may enter it:

# %%
print(bench.run("recipe-user", ["ls", "-ld", "/root"], user="0").split()[0], "/root")
print("user 10001 sees:", bench.run("recipe-user", ["ls", "/root/.local"]))

# %% [markdown]
# You could open `/root` to everyone, and everything that root ever keeps there with it. The right form gives the packages a place that was never private: a **virtual environment** at a fixed path. Its scripts name their interpreter by that path, so copy it to the same place.

# %%
bench.build("venv", """\
FROM python:3.11-slim-bookworm AS packages
RUN python -m venv --without-pip /opt/venv
COPY requirements-onnx.txt .
RUN pip --python /opt/venv/bin/python install --no-cache-dir -r requirements-onnx.txt

FROM python:3.11-slim-bookworm
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY app app
ENV PATH=/opt/venv/bin:$PATH
USER 10001
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]
""")
sizes["venv"] = image.inspect(bench.tag("venv"), client).disk_bytes
code = "import os, fastapi, sys; print('user', os.getuid(), 'imports fastapi from', sys.prefix)"
print(bench.run("venv", ["python", "-c", code]))

# %%
difference(context / "Dockerfile.recipe", context / "Dockerfile.venv")

# %% [markdown]
# **Install into a virtual environment such as `/opt/venv`, and copy that. Any user can read it, also one that a platform makes up.**

# %% [markdown]
# ## 4. The real use for machine learning
#
# To export a model you need PyTorch and Ultralytics. To serve it you need ONNX Runtime. So one stage exports, another installs what serves, and the last takes one file from the first and one folder from the second.

# %%
listing(context / "Dockerfile.multistage")

# %% [markdown]
# **Guess first.** All stages but the last together: how many per cent of their files ship?

# %%
share_guess = guess_box("Per cent of the stages' files that ship", default=20)
share_guess

# %%
torch = {"TORCH_INDEX": wheel_index.torch_index(client)}  # where this site has PyTorch's CPU wheels
options = {"dockerfile": "Dockerfile.multistage", "buildargs": torch, "client": client}
build(context, tag="dockerlab-api:multistage", **options)
multistage = image.inspect("dockerlab-api:multistage", client)
sizes["multistage"] = multistage.disk_bytes
parcels = stages.shipped((context / "Dockerfile.multistage").read_text(), multistage)
print("the last stage copies from:", sorted(parcels))

# %% [markdown]
# ### Look into a stage: `--target`
#
# Stages leave no image behind, so how do you look into one? `--target NAME` stops at that stage and gives you its file system as an image. Nothing is built twice; the steps come from the cache.

# %%
arguments = f'{bench.image_labels} --build-arg TORCH_INDEX={torch["TORCH_INDEX"]}'
for stage in ("export", "packages"):
    out = !docker build -q --target {stage} -t dockerlab-lesson05:{stage} \
        -f "{context}/Dockerfile.multistage" {arguments} "{context}"
    print(stage, "is an image:", out[-1].startswith("sha256:"))
again = build(context, target="export", tag=bench.tag("export"), **options)
print("steps that ran for the same from Python:", len(again.ran))

# %%
weights = {stage: stages.seen_bytes(bench.tag(stage), client) for stage in parcels}
code = "import importlib.util as u; print(bool(u.find_spec('torch')))"
print("PyTorch in the stage export:", bench.run("export", ["python", "-c", code]))
print("PyTorch in the image:       ", any("/torch/" in path for path in multistage.paths()))

# %% tags=["nbval-ignore-output"]
stage_weights(weights, parcels)

# %% tags=["nbval-ignore-output"]
beside(share_guess, round(100 * sum(parcels.values()) / sum(weights.values())))

# %% [markdown]
# ### Files instead of an image: `--output`
#
# `COPY --from` also fetches from a finished image, and `--output` writes the files of a stage to your disk. Together they take the model out of an image, without running anything in it.

# %%
bench.write({"Dockerfile.model": """\
FROM scratch
COPY --from=dockerlab-api:multistage /app/model/harbour-n.onnx /
"""})
out = !docker build -q -f "{context}/Dockerfile.model" --output "{context}/taken" "{context}"
taken = context / "taken" / "harbour-n.onnx"
inside = bench.run("dockerlab-api:multistage", ["sha256sum", "model/harbour-n.onnx"]).split()[0]
print("the same file as in the image:", hashlib.sha256(taken.read_bytes()).hexdigest() == inside)

# %% [markdown]
# ## 5. Does it still detect the same things?
#
# A smaller image counts only if its answers are the same. The reference is PyTorch itself, run in the stage that you just looked into.
#
# **Guess first.** The model was converted, and another runtime and another image library handle the pictures. What share of the boxes agrees (same label, overlap of at least 90 %, score within 0.02)?

# %%
agreement_guess = guess_box("Share of the boxes that agree, 0 to 1", default=0.9)
agreement_guess

# %%
pictures = api_client.samples()
by_torch = stages.torch_answers(bench.tag("export"), context / "app", pictures, client)
with container.running("dockerlab-api:multistage", client=client) as service:
    by_onnx = {picture.name: api_client.detect(service.url, picture) for picture in pictures}
agreement = {name: api_client.agreement(by_torch[name], by_onnx[name]) for name in by_onnx}
finds = {name: answer.summary() for name, answer in by_torch.items()}
pd.DataFrame({"PyTorch finds": finds, "agreement": agreement}).sort_index()

# %%
beside(agreement_guess, round(min(agreement.values()), 2))

# %%
detections.draw(pictures[0], by_onnx[pictures[0].name])

# %% [markdown]
# **A smaller image with other answers is another product: compare the answers before you compare the sizes.**

# %% [markdown]
# ## 6. What is built, and when
#
# A Dockerfile reads from top to bottom, but BuildKit does not work so. It draws a graph from the `FROM` and `COPY --from` lines and walks it backwards from the last stage.
#
# **Guess first.** You change the export script and the list of packages. Two stages have to work again. How long do you wait?

# %%
waits = ["one stage after the other", "about the slower of the two", "only the last one"]
wait_guess = guess_box("You wait for", options=waits, default=waits[0])
wait_guess

# %%
def change_both():
    for name in ("export.py", "requirements-onnx.txt"):
        file = context / name
        file.write_text(f"{file.read_text()}\n# changed at {time.time_ns()}\n")

change_both()
both = build(context, tag=bench.tag("both"), **options)
print("both stages were at work at the same time:", stages.together(both, "export", "packages") > 1)

# %% tags=["nbval-ignore-output"]
stage_lanes(both)

# %%
(begun_a, ended_a), (begun_b, ended_b) = (stages.span(both, stage) for stage in ("export", "packages"))
longest, total = max(ended_a - begun_a, ended_b - begun_b), ended_a - begun_a + ended_b - begun_b
waited = max(ended_a, ended_b) - min(begun_a, begun_b)
beside(wait_guess, waits[1] if waited - longest < total - waited else waits[0])

# %% [markdown]
# (On a machine whose cores are all busy, each of the two gets slower. They still share the time.)
#
# Watch it happen: both files change once more, and the instrument draws the build while it runs. When it has ended, choose the step of `pip` to read its log. Run the cell again for another build.

# %% tags=["nbval-ignore-output"]
change_both()
BuildTimeline(context, dockerfile="Dockerfile.multistage", tag=bench.tag("live"), buildargs=torch)

# %% [markdown]
# The other half of the same rule: what the last stage does not need is not built. Here a stage cannot even succeed. Does the build?

# %%
broken = """\
FROM python:3.11-slim-bookworm AS never
RUN false
FROM python:3.11-slim-bookworm
RUN echo done > /done.txt
"""
unused_guess = guess_box("A stage that fails, and nobody needs: the build", ["succeeds", "fails"], "fails")
unused_guess

# %%
report = bench.build("unused", broken)
print("steps of the stage 'never' that ran:", sum("RUN false" in step for step in report.ran))
try:
    bench.build("unused-classic", broken, backend="classic")
    classic = "succeeds"
except BuildFailed:
    classic = "fails"
beside(unused_guess, f"succeeds (the old, classic builder: {classic})")

# %% [markdown]
# **Stages that do not need each other are built at the same time; a stage that nothing asks for is not built at all.** Remember the second half for the next section.

# %% [markdown]
# ## 7. A stage that tests, and the gap in it
#
# Tests belong where the software will live: in the image, with its libraries. So a stage begins `FROM ship`, adds pytest, and runs the API's own tests. Its tools stay in it. `ship` is named once more at the end, so that a plain `docker build` gives you the image and not the test stage.
#
# `bring_tests` lays the tests into the context. The `.dockerignore` there leaves `tests` out, so it also writes a `Dockerfile.tested.dockerignore`, which holds for this one Dockerfile instead.

# %%
variants.stage_context(context)
stages.bring_tests(context, ["Dockerfile.tested", "Dockerfile.gated"])
text = (context / "Dockerfile.multistage").read_text()
head, _, last = text.rpartition("FROM python:3.11-slim-bookworm\n")
tested = f"""{head}FROM python:3.11-slim-bookworm AS ship
{last}
FROM ship AS test
USER 0
RUN pip --python /opt/venv/bin/python install --no-cache-dir pytest==8.4.2 httpx==0.28.1 onnx==1.23.2
COPY tests tests
RUN python -m pytest -q -p no:cacheprovider tests/test_contract.py

FROM ship
"""
report = bench.build("tested", tested, target="test", buildargs=torch)
print("the tests passed, so there is an image:", report.image_id.startswith("sha256:"))

# %%
difference(context / "Dockerfile.multistage", context / "Dockerfile.tested", around=1)

# %% [markdown]
# A `RUN` that fails ends the build, and pytest fails when a test does. The step is cached like any other: tests run again only when the code, the packages or the tests changed.
#
# Now somebody breaks the server: an empty upload is answered with 500 instead of 400. A test knows about that. **Guess first.** What does a plain `docker build` say, the one that your release uses?

# %%
says = ["fails in the tests", "succeeds"]
gap_guess = guess_box("Plain docker build of the broken server", options=says, default=says[0])
gap_guess

# %%
pictures_py = context / "app" / "pictures.py"
right, wrong = 'Refused(400, "The file is empty.")', 'Refused(500, "The file is empty.")'
pictures_py.write_text(pictures_py.read_text().replace(right, wrong))
out = !docker build -q -f "{context}/Dockerfile.tested" -t dockerlab-lesson05:release \
    {arguments} "{context}"; echo $?
beside(gap_guess, says[1] if out[-1] == "0" else says[0])

# %% [markdown]
# The release holds the broken server. The last stage does not need the stage `test`, so nobody built it. You can ask for it:

# %%
out = !docker build --progress=plain --target test -f "{context}/Dockerfile.tested" \
    {arguments} "{context}" 2>&1; echo $?
print("exit code", out[-1])
print(next(line[line.index("FAILED"):] for line in out if "FAILED tests" in line).split(" - ")[0])

# %% [markdown]
# That works where a pipeline never forgets its first command. Better to make forgetting impossible: let the last stage *need* the tests. `test` leaves an empty file when it passes, and the last stage fetches it.

# %%
gated = tested.replace("test_contract.py\n", "test_contract.py && touch /tests-passed\n")
gated += "COPY --from=test /tests-passed /\n"
try:
    bench.build("gated", gated, buildargs=torch)
    print("the broken server was released")
except BuildFailed as failure:
    failed = next(word for word in str(failure).split() if word.startswith("tests/test_contract.py::"))
    print("no release, because of:", failed)

# %%
variants.stage_context(context)  # mends the server
stages.bring_tests(context, ["Dockerfile.gated"])
bench.build("gated", gated, buildargs=torch)
layers = {name: bench.inspect(name)["RootFS"]["Layers"] for name in ("dockerlab-api:multistage", "gated")}
print("layers that the gate adds:", len(layers["gated"]) - len(layers["dockerlab-api:multistage"]))
paths = image.inspect(bench.tag("gated"), client).paths()
print("pytest in the image:", any("/pytest/" in path for path in paths))

# %% [markdown]
# **A test stage protects a release only if the release asks for it: by `--target test` first, or by a `COPY --from=test`.**

# %% [markdown]
# ## 8. The promise, beaten
#
# One form is left: the same stages, but the last begins from a base without shell, pip and package manager, the packages are pruned of what a server never loads, and the weights are stored in half precision. Lesson 06 takes it apart; here is what it weighs.

# %%
variants.build_rung("minimal", context, client)
sizes["minimal"] = image.inspect("dockerlab-api:minimal", client).disk_bytes
with container.running("dockerlab-api:minimal", client=client, **variants.LOCKED_DOWN) as service:
    answers = {picture.name: api_client.detect(service.url, picture) for picture in pictures}
agree = all(api_client.agreement(by_torch[name], answers[name]) == 1 for name in answers)
print("the same boxes as PyTorch:", agree)
print("more than the promised 70 %:", 1 - sizes["minimal"] / sizes["single"] > 0.7)

# %% tags=["nbval-ignore-output"]
names = ["the recipe\n(/root/.local)", "virtual environment\n(any user)",
         "multi-stage\n(with the model)", "pruned, minimal base\n(with the model)"]
share_saved(sizes, (50, 70), names)

# %% [markdown]
# The single stage holds no model and could not make one. The two lower forms exported it on the way, and ship it.
#
# ## Key points
#
# - Only the last stage ships, and of the others only what `COPY --from` fetches.
# - Copy a virtual environment from a fixed path, never `/root/.local`.
# - `--target` stops at a stage, `--output` writes files instead of an image.
# - Independent stages are built at once; stages that nothing needs are not built. Tests in a stage run only if something asks for them.
# - Compare answers before sizes.

# %%
Quiz.load("05").show()

# %% [markdown]
# ## The lab
#
# `labs/05_shrink_the_image` hands you an image that ships PyTorch, compilers and tests. Bring it below a budget, with the same detections: open `lab.ipynb` there, or edit its `Dockerfile` and run `dockerlab check 05`.
#
# ## Clean up
#
# This removes the containers and images of this lesson. `dockerlab-api:multistage` and `dockerlab-api:minimal` stay for the next ones, and so does the build cache, which keeps rebuilding quick.

# %%
close_all()
bench.clear()
print("left of this lesson:", len(sum(bench.left(), [])))
