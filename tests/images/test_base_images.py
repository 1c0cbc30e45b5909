"""Stand-ins behave as the images whose names they bear; each source of bases brings them, or says soon why it cannot."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import socket
import tarfile
import threading
import time
import tomllib
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import docker
import pytest
import requests

from dockerlab import cli
from dockerlab.containers.container import Running, address, remove, running
from dockerlab.core.errors import CourseError
from dockerlab.core.polling import wait_until
from dockerlab.core.settings import Site, load_site
from dockerlab.detection import variants
from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.images.base_images import BaseMissing, site_layer
from tests.support.daemons import second_daemon

pytestmark = pytest.mark.engine
MANIFEST = {
    "Accept": ", ".join(
        f"application/vnd.{kind}+json"
        for kind in ("docker.distribution.manifest.v2", "oci.image.manifest.v1", "oci.image.index.v1")
    )
}


def inside(service: Running, *command: str) -> str:
    """What a command prints in the container; it must end with 0."""
    code, output = service.container.exec_run(list(command))
    assert code == 0, output.decode(errors="replace")
    return output.decode(errors="replace").strip()


class TestRegistry:
    """registry:2: push, pull, catalogue, tags, and deletion where a variable allows it."""

    @pytest.fixture(autouse=True)
    def base(self, client: docker.DockerClient) -> None:
        base_images.ensure(base_images.REGISTRY, client)

    def test_push_list_pull_and_delete_by_digest(self, client: docker.DockerClient, tiny_image: str) -> None:
        with running(
            base_images.REGISTRY,
            port=5000,
            ready="/v2/",
            environment={"REGISTRY_STORAGE_DELETE_ENABLED": "true"},
            client=client,
        ) as service:
            repository = f"{service.url.removeprefix('http://')}/harbour/tiny"
            image = client.images.get(tiny_image)
            image.tag(repository, "1.0")
            try:
                pushed = client.images.push(repository, tag="1.0")
                assert "error" not in pushed.lower(), pushed
                assert requests.get(f"{service.url}/v2/_catalog", timeout=5).json() == {
                    "repositories": ["harbour/tiny"]
                }
                assert requests.get(f"{service.url}/v2/harbour/tiny/tags/list", timeout=5).json()["tags"] == [
                    "1.0"
                ]
                client.images.remove(f"{repository}:1.0")
                assert client.images.pull(repository, tag="1.0").attrs["RootFS"] == image.attrs["RootFS"]

                manifest = f"{service.url}/v2/harbour/tiny/manifests"
                digest = requests.head(f"{manifest}/1.0", headers=MANIFEST, timeout=5).headers[
                    "Docker-Content-Digest"
                ]
                assert client.images.get(f"{repository}@{digest}").id
                assert requests.delete(f"{manifest}/{digest}", timeout=5).status_code == 202
                assert requests.head(f"{manifest}/1.0", headers=MANIFEST, timeout=5).status_code == 404
                assert "blobs marked" in inside(
                    service, "registry", "garbage-collect", "/etc/docker/registry/config.yml"
                )
            finally:
                client.images.remove(f"{repository}:1.0")

    def test_deletion_is_off_unless_asked_for(self, client: docker.DockerClient) -> None:
        with running(base_images.REGISTRY, port=5000, ready="/v2/", client=client) as service:
            answer = requests.delete(f"{service.url}/v2/any/manifests/sha256:{'0' * 64}", timeout=5)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")

    def test_variables_override_the_configuration_file(self, client: docker.DockerClient) -> None:
        with running(
            base_images.REGISTRY,
            port=5005,
            ready="/v2/",
            environment={"REGISTRY_HTTP_ADDR": ":5005"},
            client=client,
        ) as service:
            assert "listening on [::]:5005" in service.logs(20)

    def test_port_volume_and_command_are_the_official_ones(self, client: docker.DockerClient) -> None:
        config = client.images.get(base_images.REGISTRY).attrs["Config"]
        assert config["Entrypoint"] == ["/entrypoint.sh"]
        assert config["Cmd"] == ["/etc/docker/registry/config.yml"]
        assert list(config["ExposedPorts"]) == ["5000/tcp"]
        assert list(config["Volumes"]) == ["/var/lib/registry"]


class TestRedis:
    """redis:7-bookworm: open to other containers, run by the user redis, its data in the volume /data."""

    @pytest.fixture(autouse=True)
    def base(self, client: docker.DockerClient) -> None:
        base_images.ensure(base_images.REDIS, client)

    @contextlib.contextmanager
    def redis(self, client: docker.DockerClient, **options: object) -> Iterator[Running]:
        with running(base_images.REDIS, port=6379, ready=None, client=client, **options) as service:
            assert wait_until(
                lambda: service.container.exec_run(["redis-cli", "ping"]).output == b"PONG\n", 120
            ), service.logs()
            yield service

    def test_answers_from_outside_without_protected_mode(self, client: docker.DockerClient) -> None:
        with self.redis(client) as service:
            host, port = service.url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                assert connection.recv(100) == b"+PONG\r\n"

    def test_runs_as_redis_and_owns_its_folder(self, client: docker.DockerClient) -> None:
        with self.redis(client) as service:
            assert inside(
                service, "sh", "-c", "grep -o 'Uid:.[0-9]*' /proc/1/status; stat -c %U:%u:%g /data"
            ).split() == ["Uid:", "999", "redis:999:999"]

    def test_options_alone_mean_the_server(self, client: docker.DockerClient) -> None:
        with self.redis(client, command=["--maxmemory", "64mb", "--appendonly", "yes"]) as service:
            assert inside(service, "redis-cli", "config", "get", "maxmemory").split()[1] == str(64 << 20)
            assert "appendonlydir" in inside(service, "ls", "/data")

    def test_a_configuration_file_has_the_last_word(
        self, client: docker.DockerClient, tmp_path: Path
    ) -> None:
        (tmp_path / "redis.conf").write_text("protected-mode yes\nmaxclients 77\n")
        volumes = {str(tmp_path): {"bind": "/usr/local/etc/redis", "mode": "ro"}}
        tmp_path.chmod(0o755)
        with self.redis(
            client,
            command=["redis-server", "/usr/local/etc/redis/redis.conf", "--databases", "3"],
            volumes=volumes,
        ) as service:
            told = inside(
                service,
                "sh",
                "-c",
                "for key in protected-mode maxclients databases; do redis-cli config get $key; done",
            ).split()
            assert told[1::2] == ["yes", "77", "3"]

    def test_another_user_may_run_it(self, client: docker.DockerClient) -> None:
        with self.redis(client, user="1000:1000", tmpfs={"/data": "uid=1000,gid=1000"}) as service:
            assert inside(service, "redis-cli", "set", "a", "b") == "OK"

    def test_data_outlive_the_container(self, client: docker.DockerClient) -> None:
        volume = client.volumes.create(
            f"dockerlab-test-{uuid.uuid4().hex[:8]}", labels=object_labels.labels(kind="test")
        )
        try:
            options = {"volumes": {volume.name: {"bind": "/data"}}}
            with self.redis(client, **options) as service:
                inside(service, "redis-cli", "set", "ship", "found")
                service.container.stop(timeout=5)  # SIGTERM makes it write its snapshot
            with self.redis(client, **options) as service:
                assert inside(service, "redis-cli", "get", "ship") == "found"
        finally:
            volume.remove()

    def test_port_volume_and_command_are_the_official_ones(self, client: docker.DockerClient) -> None:
        config = client.images.get(base_images.REDIS).attrs["Config"]
        assert (config["Entrypoint"], config["Cmd"], config["WorkingDir"]) == (
            ["docker-entrypoint.sh"],
            ["redis-server"],
            "/data",
        )
        assert (list(config["ExposedPorts"]), list(config["Volumes"])) == (["6379/tcp"], ["/data"])


class TestPostgres:
    """postgres:15-bookworm: the POSTGRES_* variables, first-start files, the volume, the port, the signal."""

    @pytest.fixture(autouse=True)
    def base(self, client: docker.DockerClient) -> None:
        base_images.ensure(base_images.POSTGRES, client)

    @contextlib.contextmanager
    def postgres(self, client: docker.DockerClient, *command: str, **options: object) -> Iterator[Running]:
        """Ready only when it answers by TCP: while it runs its first-start files it listens on its socket alone."""
        environment = options.pop("environment", {"POSTGRES_PASSWORD": "harbour"})
        with running(
            base_images.POSTGRES,
            command=list(command) or None,
            port=5432,
            ready=None,
            environment=environment,
            client=client,
            **options,
        ) as service:
            assert wait_until(
                lambda: (
                    service.container.exec_run(["pg_isready", "-h", "127.0.0.1", "-U", "postgres"]).exit_code
                    == 0
                ),
                240,
            ), service.logs(30)
            yield service

    def init_files(self, folder: Path) -> dict[str, dict[str, str]]:
        return {str(folder): {"bind": "/docker-entrypoint-initdb.d", "mode": "ro"}}

    def sql(self, service: Running, query: str, *options: str) -> str:
        return inside(
            service, "psql", "-v", "ON_ERROR_STOP=1", "-qtA", "-U", "postgres", *options, "-c", query
        )

    def ends(
        self, client: docker.DockerClient, environment: dict[str, str], *command: str, **options: object
    ) -> tuple[int, str]:
        """Exit code and output of a container that is expected to end by itself."""
        container = client.containers.create(
            base_images.POSTGRES,
            list(command),
            environment=environment,
            labels=object_labels.labels(kind="test"),
            **options,
        )
        try:
            container.start()
            return container.wait(timeout=20)["StatusCode"], container.logs().decode()
        finally:
            remove(container)

    def test_refuses_to_start_without_a_password(self, client: docker.DockerClient) -> None:
        code, said = self.ends(client, {})
        assert code == 1
        assert "no password" in said and "POSTGRES_PASSWORD" in said and "trust" in said

    def test_refuses_a_value_and_its_file_together(self, client: docker.DockerClient) -> None:
        code, said = self.ends(client, {"POSTGRES_PASSWORD": "a", "POSTGRES_PASSWORD_FILE": "/run/secrets/b"})
        assert (code, "both set" in said) == (1, True)

    def test_only_asking_needs_no_database(self, client: docker.DockerClient) -> None:
        assert self.ends(client, {}, "postgres", "--version")[1].startswith("postgres (PostgreSQL) 15.")

    def test_user_database_and_password_over_the_network(self, client: docker.DockerClient) -> None:
        environment = {
            "POSTGRES_PASSWORD": 'it\'s $1 "quoted"',
            "POSTGRES_USER": "harbour-master",
            "POSTGRES_DB": "detections 2",
        }
        with self.postgres(client, environment=environment) as service:
            at = address(service.container)
            query = "select current_user, rolsuper from pg_roles where rolname = current_user"
            line = ["psql", "-h", at, "-U", "harbour-master", "-d", "detections 2", "-w", "-tAc", query]
            code, output = service.container.exec_run(
                line, environment={"PGPASSWORD": environment["POSTGRES_PASSWORD"]}
            )
            assert (code, output.decode().strip()) == (0, "harbour-master|t"), output
            code, output = service.container.exec_run(line, environment={"PGPASSWORD": "wrong"})
            assert code != 0 and b"password authentication failed" in output
            socket.create_connection(tuple(service.url.removeprefix("http://").split(":")), timeout=5).close()

    def test_the_database_is_named_after_the_user(self, client: docker.DockerClient) -> None:
        with self.postgres(client, environment={"POSTGRES_PASSWORD": "x", "POSTGRES_USER": "ada"}) as service:
            assert inside(service, "psql", "-U", "ada", "-tAc", "select current_database()") == "ada"

    def test_values_come_from_files(self, client: docker.DockerClient, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        for name in ("password", "user", "db"):
            (tmp_path / name).write_text(f"secret-{name}\n")
        environment = {
            f"POSTGRES_{name.upper()}_FILE": f"/run/secrets/{name}" for name in ("password", "user", "db")
        }
        with self.postgres(
            client, environment=environment, volumes={str(tmp_path): {"bind": "/run/secrets", "mode": "ro"}}
        ) as service:
            line = ["sh", "-c", "psql -h $(hostname -i) -U secret-user -d secret-db -tAc 'select 1'"]
            assert (
                service.container.exec_run(line, environment={"PGPASSWORD": "secret-password"}).output
                == b"1\n"
            )

    def test_first_start_files_run_once_and_in_order(
        self, client: docker.DockerClient, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o755)
        (tmp_path / "1_table.sql").write_text("create table log (line int); insert into log values (1);")
        (tmp_path / "2_row.sh").write_text(
            'psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "insert into log values (2)"\n'
        )
        (tmp_path / "3_run.sh").write_text(
            "#!/bin/sh\npsql -U postgres -d port -c 'insert into log values (3)'\n"
        )
        (tmp_path / "3_run.sh").chmod(0o755)
        (tmp_path / "4_row.sql.gz").write_bytes(gzip.compress(b"insert into log values (4);"))
        (tmp_path / "README").write_text("not for the server")
        with self.postgres(
            client,
            environment={"POSTGRES_PASSWORD": "x", "POSTGRES_DB": "port"},
            volumes=self.init_files(tmp_path),
        ) as service:
            assert self.sql(service, "select string_agg(line::text, ' ') from log", "-d", "port") == "1 2 3 4"
            service.container.restart(timeout=10)
            assert wait_until(
                lambda: (
                    service.container.exec_run(["pg_isready", "-h", "127.0.0.1", "-U", "postgres"]).exit_code
                    == 0
                ),
                240,
            )
            assert self.sql(service, "select count(*) from log", "-d", "port") == "4"
            assert "nothing is initialised" in service.logs(40)

    def test_a_failing_first_start_file_stops_it(self, client: docker.DockerClient, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        (tmp_path / "wrong.sql").write_text("selekt 1;")
        code, said = self.ends(client, {"POSTGRES_PASSWORD": "x"}, volumes=self.init_files(tmp_path))
        assert code != 0
        assert "syntax error" in said and "ready for start up" not in said

    def test_initdb_arguments_method_and_data_folder(self, client: docker.DockerClient) -> None:
        environment = {
            "POSTGRES_INITDB_ARGS": "--data-checksums --locale-provider=icu --icu-locale 'sv-SE'", "POSTGRES_HOST_AUTH_METHOD": "trust",
            "PGDATA": "/var/lib/postgresql/data/deeper",
        }  # fmt: skip
        with self.postgres(client, "-c", "max_connections=17", environment=environment) as service:
            query = "select current_setting('data_checksums'), current_setting('max_connections'), current_setting('data_directory')"
            assert (
                inside(service, "sh", "-c", f'psql -w -h $(hostname -i) -U postgres -tAc "{query}"')
                == "on|17|/var/lib/postgresql/data/deeper"
            )
            assert self.sql(service, "select daticulocale from pg_database where datname = 'postgres'") in (
                "sv-SE",
                "sv",
            )
            assert "without a password" in service.container.logs().decode()

    def test_runs_as_postgres_on_every_interface_and_stops_at_once(self, client: docker.DockerClient) -> None:
        with self.postgres(client) as service:
            assert inside(
                service, "sh", "-c", "grep -o 'Uid:.[0-9]*' /proc/1/status; stat -c %U:%a $PGDATA"
            ).split() == ["Uid:", "999", "postgres:700"]
            assert self.sql(service, "show listen_addresses") == "*"
            started = time.monotonic()
            service.container.stop(timeout=10)
            assert time.monotonic() - started < 8
            assert service.container.wait()["StatusCode"] == 0
            assert "received fast shutdown request" in service.logs(20)

    def test_another_user_may_run_it(self, client: docker.DockerClient) -> None:
        with self.postgres(
            client, user="1234:1234", tmpfs={"/var/lib/postgresql/data": "uid=1234,gid=1234,mode=0700"}
        ) as service:
            assert self.sql(service, "select 1") == "1"

    def test_data_outlive_the_container(self, client: docker.DockerClient) -> None:
        volume = client.volumes.create(
            f"dockerlab-test-{uuid.uuid4().hex[:8]}", labels=object_labels.labels(kind="test")
        )
        try:
            options = {"volumes": {volume.name: {"bind": "/var/lib/postgresql/data"}}}
            with self.postgres(client, **options) as service:
                self.sql(service, "create table kept as select 42 as answer")
            with self.postgres(client, environment={}, **options) as service:
                assert self.sql(service, "select answer from kept") == "42"
        finally:
            volume.remove()

    def test_port_volume_signal_and_command_are_the_official_ones(self, client: docker.DockerClient) -> None:
        config = client.images.get(base_images.POSTGRES).attrs["Config"]
        assert (config["Entrypoint"], config["Cmd"], config["StopSignal"]) == (
            ["docker-entrypoint.sh"],
            ["postgres"],
            "SIGINT",
        )
        assert (list(config["ExposedPorts"]), list(config["Volumes"])) == (
            ["5432/tcp"],
            ["/var/lib/postgresql/data"],
        )


def test_debian_slim_can_be_built_upon(client: docker.DockerClient) -> None:
    base_images.ensure(base_images.DEBIAN, client)
    run = {"remove": True, "labels": object_labels.labels(kind="test")}
    assert b"VERSION_CODENAME=bookworm" in client.containers.run(
        base_images.DEBIAN, ["cat", "/etc/os-release"], **run
    )
    install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends tree >/dev/null 2>&1 && tree --version"
    assert b"tree v2" in client.containers.run(base_images.DEBIAN, ["sh", "-c", install], **run)
    assert client.images.get(base_images.DEBIAN).attrs["Config"]["Cmd"] == ["bash"]


def test_apt_leaves_in_a_layer_what_it_leaves_in_the_official_images(client: docker.DockerClient) -> None:
    base = replace(base_images.BASES[base_images.DEBIAN], name=f"dockerlab-test-apt:{uuid.uuid4().hex[:8]}")
    base_images.debian.make(base, client, load_site())
    look = (
        "apt-get update -qq && apt-get install -y -qq jq >/dev/null 2>&1; find /var/cache/apt -type f; "
        "find /var/lib/apt/lists -type f -name '*_Packages*'; apt-config dump APT::Install-Recommends"
    )
    try:
        left = (
            client.containers.run(
                base.name, ["sh", "-c", look], remove=True, labels=object_labels.labels(kind="test")
            )
            .decode()
            .split()
        )
    finally:
        client.images.remove(base.name, force=True)
    assert not [path for path in left if path.endswith((".bin", ".deb"))]
    lists = [path for path in left if "_Packages" in path]
    assert lists and all(path.endswith(".lz4") for path in lists)
    assert '"false";' not in left


def test_every_standin_says_so_and_is_counted_as_a_base(client: docker.DockerClient) -> None:
    here = [name for name in base_images.BASES if base_images.present(client, name)]
    for name in here:
        image = client.images.get(name)
        if base_images.STANDIN_LABEL in image.labels:
            assert image.labels[object_labels.COURSE_LABEL] == "1"
            assert "stand-in" in base_images.standin_note(client, name)
            assert image.labels[object_labels.KIND_LABEL] == "base"
    assert all(base.differs for base in base_images.BASES.values())


class TestSources:
    """pull, mirror, bundle, debian: each brings a base, or says why not within seconds."""

    @pytest.fixture
    def names(self, client: docker.DockerClient, tiny_image: str) -> Iterator[list[str]]:
        """Two names that stand for bases; gone from the engine afterwards, whoever put them there."""
        names = [f"dockerlab-test-base:{number}-{uuid.uuid4().hex[:6]}" for number in (1, 2)]
        yield names
        self.forget(client, *names)

    @pytest.fixture(autouse=True)
    def fresh_probe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(base_images, "_reached", {})

    def forget(self, client: docker.DockerClient, *names: str) -> None:
        for name in names:
            with contextlib.suppress(docker.errors.ImageNotFound):
                client.images.remove(name)

    def push(self, client: docker.DockerClient, image: str, name: str) -> None:
        repository, tag = name.rsplit(":", 1)
        client.images.get(image).tag(repository, tag)
        assert "error" not in client.images.push(repository, tag=tag).lower()
        client.images.remove(name)

    def test_pull(self, client: docker.DockerClient, registry: str, tiny_image: str) -> None:
        name = f"{registry}/harbour/base:1"
        self.push(client, tiny_image, name)
        try:
            assert base_images.ensure(name, client, Site(), "pull").source == "pull"
            assert base_images.ensure(name, client, Site(), "pull").source == "here"
        finally:
            self.forget(client, name)
        with pytest.raises(BaseMissing, match="pull: .*(not found|unknown)"):
            base_images.ensure(f"{registry}/harbour/base:2", client, Site(), "pull")

    def test_mirror_gives_the_public_name(
        self, client: docker.DockerClient, registry: str, tiny_image: str, names: list[str]
    ) -> None:
        self.push(client, tiny_image, f"{registry}/library/{names[0]}")
        site = Site(registry_mirror=f"http://{registry}")
        assert base_images.ensure(names[0], client, site, "mirror").source == "mirror"
        assert not [tag for tag in client.images.get(names[0]).tags if registry in tag]
        with pytest.raises(BaseMissing, match=names[1]):
            base_images.ensure(names[1], client, site, "mirror")

    def test_a_mirror_keeps_names_of_other_registries(
        self, client: docker.DockerClient, registry: str, tiny_image: str
    ) -> None:
        name = f"gcr.io/dockerlab-test/base:{uuid.uuid4().hex[:6]}"
        self.push(client, tiny_image, f"{registry}/{name}")
        try:
            assert base_images.ensure(name, client, Site(registry_mirror=registry), "auto").source == "mirror"
        finally:
            self.forget(client, name)

    @pytest.mark.parametrize(("suffix", "at_once"), [("tar", 1), ("tar.zst", 2)])
    def test_bundle_brings_all_that_were_saved(
        self, client: docker.DockerClient, tiny_image: str, names: list[str], tmp_path: Path, suffix: str, at_once: int, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        for name in names:
            client.images.get(tiny_image).tag(*name.split(":"))
            monkeypatch.setitem(
                base_images.BASES, name, replace(base_images.BASES[base_images.DISTROLESS], name=name)
            )
        file = tmp_path / "made" / f"bases.{suffix}"
        assert base_images.save(file, client, names) == file.stat().st_size > 100_000
        assert [each.name for each in file.parent.iterdir()] == [file.name]
        self.forget(client, *names)
        monkeypatch.setattr(base_images, "ThreadPoolExecutor", lambda threads: ThreadPoolExecutor(at_once))
        states = base_images.ensure_all(
            client, Site(bases_bundle=str(file)), "bundle", names, say=lambda line: None
        )
        assert [state.source for state in states] == ["bundle", "bundle"]
        with pytest.raises(BaseMissing, match="does not hold it"):
            base_images.ensure("dockerlab-test-base:other", client, Site(bases_bundle=str(file)), "bundle")

    def test_a_docker_save_file_is_a_bundle(
        self, client: docker.DockerClient, tiny_image: str, names: list[str], tmp_path: Path, monkeypatch
    ) -> None:
        client.images.get(tiny_image).tag(*names[0].split(":"))
        monkeypatch.setitem(
            base_images.BASES, names[0], replace(base_images.BASES[base_images.DISTROLESS], name=names[0])
        )
        file = tmp_path / "saved.tar"
        file.write_bytes(b"".join(client.images.get(names[0]).save(named=names[0])))
        self.forget(client, names[0])
        assert base_images.ensure(names[0], client, Site(bases_bundle=str(file)), "bundle").source == "bundle"

    def test_a_bundle_with_another_image_is_refused_whole(
        self, client: docker.DockerClient, tiny_image: str, names: list[str], tmp_path: Path
    ) -> None:
        for name in names:
            client.images.get(tiny_image).tag(*name.split(":"))
        file = tmp_path / "bases.tar.zst"
        base_images.save(file, client, names)
        before = client.images.get(tiny_image).tags
        with pytest.raises(
            BaseMissing,
            match=f"holds {min(names)}, {max(names)}, which is no base of the course, so nothing of it was loaded",
        ):
            base_images.ensure(
                base_images.BASES[base_images.DISTROLESS].name + "-none",
                client,
                Site(bases_bundle=str(file)),
                "bundle",
            )
        assert client.images.get(tiny_image).tags == before

    def test_a_bundle_must_be_the_file_that_was_meant(
        self, client, tiny_image: str, names: list[str], tmp_path: Path, monkeypatch
    ) -> None:
        client.images.get(tiny_image).tag(*names[0].split(":"))
        monkeypatch.setitem(
            base_images.BASES, names[0], replace(base_images.BASES[base_images.DISTROLESS], name=names[0])
        )
        file = tmp_path / "bases.tar"
        base_images.save(file, client, names[:1])
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        self.forget(client, names[0])
        with pytest.raises(BaseMissing, match=f"its SHA-256 is {digest}"):
            base_images.ensure(
                names[0], client, Site(bases_bundle=str(file), bases_bundle_sha256=digest[::-1]), "bundle"
            )
        assert not base_images.present(client, names[0])
        assert (
            base_images.ensure(
                names[0], client, Site(bases_bundle=str(file), bases_bundle_sha256=digest.upper()), "bundle"
            ).source
            == "bundle"
        )

    @pytest.mark.parametrize(
        ("member", "document", "stranger"),
        [
            ("manifest.json", [{"RepoTags": ["evil:1"]}], "evil:1"),
            ("repositories", {"evil": {"1": "x"}}, "evil:1"),
            ("./manifest.json", [{"RepoTags": ["evil:1"]}], "evil:1"),
            (
                "index.json",
                {"manifests": [{"annotations": {"io.containerd.image.name": "docker.io/library/evil:1"}}]},
                "evil:1",
            ),
            (
                "index.json",
                {
                    "manifests": [
                        {
                            "annotations": {
                                "org.opencontainers.image.ref.name": "ghcr.io/evil/python:3.11-slim-bookworm"
                            }
                        }
                    ]
                },
                "ghcr.io/evil",
            ),
            (
                "manifest.json",
                [
                    {
                        "RepoTags": [
                            "docker.io/library/python:3.11-slim-bookworm",
                            "registry:2",
                            "docker.io/registry:2",
                        ]
                    }
                ],
                "",
            ),
            ("manifest.json", [{"RepoTags": None}], ""),
            ("index.json", {"manifests": None}, ""),
            ("manifest.json", {"a": 1}, "no file of saved images"),
        ],
    )
    def test_names_are_looked_for_where_the_engine_reads_them(
        self, member: str, document: object, stranger: str
    ) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            entry, data = tarfile.TarInfo(member), json.dumps(document).encode()
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        file.seek(0)
        if stranger:
            with pytest.raises(CourseError, match=stranger):
                base_images.check_bundle(file, "bases.tar")
        else:
            base_images.check_bundle(file, "bases.tar")

    def test_nothing_is_written_where_a_base_is_missing(
        self, client: docker.DockerClient, tmp_path: Path
    ) -> None:
        with pytest.raises(Exception, match="not saved"):
            base_images.save(tmp_path / "bases.tar", client, ["dockerlab-test-base:never"])
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_or_broken_bundle_is_named(self, client: docker.DockerClient, tmp_path: Path) -> None:
        (tmp_path / "broken.tar").write_text("not a tar")
        for file in ("absent.tar", "broken.tar"):
            with pytest.raises(BaseMissing, match="bundle: "):
                base_images.ensure(
                    "dockerlab-test-base:never", client, Site(bases_bundle=str(tmp_path / file)), "bundle"
                )

    def test_a_registry_that_never_answers_costs_seconds_once(self, client: docker.DockerClient) -> None:
        with black_hole() as address:
            seconds = []
            for number in (1, 2, 3):
                started = time.monotonic()
                with pytest.raises(BaseMissing, match=f"{address} did not answer"):
                    base_images.ensure(f"{address}/harbour/base:{number}", client, Site(), "pull")
                seconds.append(time.monotonic() - started)
        assert seconds[0] < base_images.PROBE_SECONDS + 2
        assert max(seconds[1:]) < 1

    def test_without_a_network_one_sentence_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            base_images.debian,
            "debian_sources",
            lambda site: ["deb http://debian.invalid/debian bookworm main"],
        )
        with second_daemon(tmp_path) as daemon:
            started = time.monotonic()
            with pytest.raises(BaseMissing) as caught:
                base_images.ensure(base_images.REGISTRY, daemon.client, Site(), "auto")
        assert time.monotonic() - started < 30
        assert (
            caught.value.what
            == f"The base image {base_images.REGISTRY} is not on the engine, and this machine reaches no network that has it."
        )
        assert "bases_bundle" in caught.value.fix

    def test_debian_and_a_file_for_the_class(
        self, client: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
    ) -> None:
        """One engine makes a base and saves it by the command; another, without a network, loads the file."""
        file = tmp_path / "class" / "bases.tar.zst"
        with second_daemon(tmp_path / "1", containerd=False) as teacher:
            monkeypatch.setenv("DOCKER_HOST", teacher.url)
            assert cli.main(["bases", base_images.REGISTRY, "--source", "debian", "--save", str(file)]) == 0
        said = capsys.readouterr().out
        assert f"{base_images.REGISTRY}: debian, " in said and "set bases_bundle" in said
        monkeypatch.setenv("DOCKERLAB_BASES_BUNDLE", str(file))
        with second_daemon(tmp_path / "2") as learner:
            monkeypatch.setenv("DOCKER_HOST", learner.url)
            assert cli.main(["bases", base_images.REGISTRY]) == 0
            labels = learner.client.images.get(base_images.REGISTRY).labels
        assert f"{base_images.REGISTRY}: bundle, " in capsys.readouterr().out
        assert (labels["dockerlab.course"], labels["dockerlab.kind"]) == ("1", "base")
        assert labels[base_images.STANDIN_LABEL] == base_images.BASES[base_images.REGISTRY].differs


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """A port that takes connections and says nothing, as a firewall makes a registry look."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            for connection in taken:
                connection.close()


@pytest.mark.slow
@pytest.mark.nightly  # `make test` makes the set itself; this only holds it to a time
def test_the_default_set_from_nothing_takes_less_than_four_minutes(tmp_path: Path) -> None:
    """Where the set-up of this very machine had to make them all, by this code, its time counts; else they are made once more."""
    if noted := variants.notes("bases", base_images.debian.recipe()):
        assert noted["build_seconds"] < 240
        return
    with second_daemon(tmp_path) as daemon:
        started = time.monotonic()
        states = base_images.ensure_all(daemon.client, source="debian", say=lambda line: None)
        assert time.monotonic() - started < 240
        assert [state.source for state in states] == ["debian"] * len(base_images.COURSE_BASES)


def test_uv_is_told_the_same_as_pip() -> None:
    told = tomllib.loads(
        site_layer.uv_toml(
            Site(index_url="http://10.0.0.1:8901/simple", ca_bundle="/etc/ssl/site.crt"), "10.0.0.1"
        )
    )
    assert told == {
        "system-certs": True,
        "allow-insecure-host": ["10.0.0.1"],
        "index": [{"url": "http://10.0.0.1:8901/simple", "default": True}],
    }


def test_pip_and_uv_both_find_packages_in_the_slim_base(client: docker.DockerClient) -> None:
    base_images.ensure(base_images.SLIM, client)
    command = "pip install --quiet uv && uv pip install --system --quiet itsdangerous && python -c 'import itsdangerous; print(\"found\")'"
    assert (
        client.containers.run(
            base_images.SLIM, ["sh", "-c", command], remove=True, labels=object_labels.labels(kind="test")
        )
        .decode()
        .strip()
        == "found"
    )
