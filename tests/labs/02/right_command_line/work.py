"""Everything on the command line; the client is not used."""

import io
import json
import subprocess
import tarfile


def docker(*words):
    return subprocess.run(["docker", *map(str, words)], check=True, capture_output=True).stdout


def config(image):
    return json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image))


def load(client, tar):
    return docker("load", "-i", tar).decode().split("Loaded image: ")[1].strip()


def kind(client, image):
    return "job" if config(image).get("Volumes") else "service"


def run_service(client, image, name, station):
    port = list(config(image)["ExposedPorts"])[0].split("/")[0]
    docker("run", "-d", "--restart", "unless-stopped", "--name", name, "-e", f"STATION={station}", "-p", f"127.0.0.1::{port}", image)


def run_job(client, image, boxes):
    return docker("run", "--rm", "-v", f"{boxes}:/data/boxes.csv:ro", image).decode()


def recover(client, container):
    path = [line[2:] for line in docker("diff", container).decode().splitlines() if line.endswith(".csv")][0]
    with tarfile.open(fileobj=io.BytesIO(docker("cp", f"{container}:{path}", "-"))) as archive:
        return archive.extractfile(archive.getmembers()[0]).read()


def publish(client, image, registry):
    name = f"{registry}/harbour/board:2.0"
    docker("tag", image, name)
    return docker("push", name).decode().split("digest: ")[1].split()[0]
