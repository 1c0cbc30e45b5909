"""What each base image is made of where it has to be made: packages, entry, ports, volumes, and how it differs."""

from __future__ import annotations

from dataclasses import dataclass, replace

BUILDPACK = (
    "autoconf automake bzip2 ca-certificates curl default-libmysqlclient-dev dpkg-dev file g++ gcc git gnupg imagemagick libbz2-dev libc6-dev "
    "libcurl4-openssl-dev libdb-dev libevent-dev libffi-dev libgdbm-dev libglib2.0-dev libgmp-dev libjpeg-dev libkrb5-dev liblzma-dev "
    "libmagickcore-dev libmagickwand-dev libmaxminddb-dev libncurses5-dev libncursesw5-dev libpng-dev libpq-dev libreadline-dev "
    "libsqlite3-dev libssl-dev libtool libwebp-dev libxml2-dev libxslt-dev libyaml-dev make mercurial openssh-client patch procps subversion "
    "tk-dev unzip uuid-dev wget xz-utils zlib1g-dev"
).split()
# What distroless leaves out and unpacking (variant "extract") brings in as somebody's dependency.
NOT_IN_DISTROLESS = (
    "bin/* sbin/* usr/sbin/* usr/bin/[!p]* usr/bin/p[!y]* usr/share/perl* usr/lib/*/perl* usr/share/bash* usr/share/debconf usr/lib/dpkg "
    "usr/share/dpkg usr/lib/apt usr/lib/systemd lib/systemd usr/lib/*/gconv usr/lib/locale "
    "usr/share/zoneinfo/right usr/share/zoneinfo/posix etc/pam* lib/*/security usr/share/pam* usr/share/common-licenses "
    "usr/lib/python3.11/lib2to3 usr/lib/python3.11/pydoc_data usr/lib/python3.11/turtle.py usr/lib/python3.11/idlelib "
    "lib/*/libapt* usr/lib/*/libapt* usr/lib/*/libdb-5* lib/*/libsystemd* usr/lib/*/libgnutls* usr/lib/*/libp11* usr/lib/*/libunistring* "
    "usr/lib/*/libstdc++.so.6.*.py usr/share/gdb usr/share/gcc lib/udev lib/init usr/share/python3 usr/share/menu"
).split()


@dataclass(frozen=True)
class Base:
    """One public image and how its stand-in is made.

    `variant` is mmdebstrap's: "minbase" installs packages, "extract" only unpacks them. Of an unpacked root, `keep` names the paths
    that stay (empty: all stay). `prepare` (before any package is configured) and `commands` (at the end) are shell lines with the root as
    working folder: paths are relative, and none may lead through an absolute link such as var/run. `files` are (file in substitutes/, place).
    """

    name: str
    packages: tuple[str, ...]
    variant: str = "minbase"
    python: bool = False
    differs: str = ""
    keep: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    changes: tuple[str, ...] = ('CMD ["bash"]',)


SLIM = "python:3.11-slim-bookworm"
FULL = "python:3.11-bookworm"
DEBIAN = "debian:bookworm-slim"
DISTROLESS = "gcr.io/distroless/python3-debian12:nonroot"
REGISTRY = "registry:2"
REDIS = "redis:7-bookworm"
POSTGRES = "postgres:15-bookworm"

_PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIBC = ("ld-linux*", "libc", "libm", "libdl", "libpthread", "libresolv", "libnss_dns", "libnss_files")


def _account(name: str, home: str, shell: str) -> tuple[str, ...]:
    """A user and group with the number 999, as in the official images; a package that finds them makes no others."""
    return (f"echo {name}:x:999: >> etc/group", f"echo {name}:x:999:999::{home}:{shell} >> etc/passwd")


_PYTHON = Base(
    SLIM, ("python3.11", "python3.11-venv", "ca-certificates", "netbase", "tzdata"), python=True, differs="the interpreter is Debian's python3.11",
    changes=('CMD ["python3"]', "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "ENV LANG=C.UTF-8"),
)  # fmt: skip
_RECIPES = (
    _PYTHON,
    Base(
        DISTROLESS, ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "zlib1g", "libssl3", "ca-certificates", "tzdata"),
        variant="extract", differs="made of the same Debian packages, without its own build",
        commands=(
            f"rm -rf {' '.join(NOT_IN_DISTROLESS)}", "mkdir -p home/nonroot var/lib/dpkg var/tmp etc usr/bin",
            "chmod 1777 tmp var/tmp", "chown 65532:65532 home/nonroot", "ln -sf python3.11 usr/bin/python3", "ln -sf python3.11 usr/bin/python",
            "printf 'root:x:0:0:root:/root:/sbin/nologin\\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\\n' > etc/passwd",
            "printf 'root:x:0:\\nnonroot:x:65532:\\n' > etc/group", "printf 'hosts: files dns\\n' > etc/nsswitch.conf",
        ),
        changes=('ENTRYPOINT ["/usr/bin/python3.11"]', "USER 65532", "WORKDIR /home/nonroot", "ENV LANG=C.UTF-8", _PATH),
    ),
    replace(_PYTHON, name=FULL, packages=(*_PYTHON.packages, *BUILDPACK)),
    Base(DEBIAN, ("ca-certificates",), differs="ca-certificates is in it too", changes=('CMD ["bash"]', _PATH)),
    Base(
        REGISTRY, ("docker-registry", "libc6", "busybox", "ca-certificates"), variant="extract",
        differs="the registry is Debian's docker-registry, and busybox stands for Alpine",
        keep=("usr/bin/docker-registry", "bin/busybox", "usr/share/ca-certificates", "lib64", "lib/ld-linux*", *(f"lib/*/{name}.so*" for name in _LIBC)),
        files=(("registry.sh", "entrypoint.sh"), ("registry.yml", "etc/docker/registry/config.yml")),
        commands=(
            "mkdir -p root var/lib/registry", "mv usr/bin/docker-registry bin/registry", "chroot . /bin/busybox --install -s /bin",
            "printf 'root:x:0:0:root:/root:/bin/sh\\n' > etc/passwd", "printf 'root:x:0:\\n' > etc/group", "printf 'hosts: files dns\\n' > etc/nsswitch.conf",
        ),
        changes=('ENTRYPOINT ["/entrypoint.sh"]', 'CMD ["/etc/docker/registry/config.yml"]', "EXPOSE 5000", "VOLUME /var/lib/registry", _PATH),
    ),
    Base(
        REDIS, ("redis-server", "gosu"), differs="the server is Debian's redis-server 7.0",
        prepare=_account("redis", "/data", "/usr/sbin/nologin"),
        files=(("redis.sh", "usr/local/bin/docker-entrypoint.sh"),),
        commands=("rm -rf etc/redis var/lib/redis var/log/redis", "mkdir -p data", "chown 999:999 data"),
        changes=('ENTRYPOINT ["docker-entrypoint.sh"]', 'CMD ["redis-server"]', "EXPOSE 6379", "VOLUME /data", "WORKDIR /data", _PATH),
    ),
    Base(
        POSTGRES, ("postgresql-15", "locales", "gosu", "libnss-wrapper", "xz-utils", "zstd"), differs="the server is Debian's postgresql-15",
        prepare=(
            *_account("postgres", "/var/lib/postgresql", "/bin/bash"),
            "mkdir -p etc/postgresql-common", "echo create_main_cluster=false > etc/postgresql-common/createcluster.conf",
        ),
        files=(("postgres.sh", "usr/local/bin/docker-entrypoint.sh"),),
        commands=(
            "chroot . localedef -i en_US -c -f UTF-8 -A /etc/locale.alias en_US.UTF-8",
            "sed -i \"s/^#\\?listen_addresses = .*/listen_addresses = '*'/\" usr/share/postgresql/15/postgresql.conf.sample",
            "install -d -o 999 -g 999 -m 3777 run/postgresql", "install -d -o 999 -g 999 -m 1777 var/lib/postgresql/data",
            "mkdir -p docker-entrypoint-initdb.d", "rm -f etc/ssl/private/*.key etc/ssl/certs/ssl-cert-snakeoil.pem",
        ),
        changes=(
            'ENTRYPOINT ["docker-entrypoint.sh"]', 'CMD ["postgres"]', "EXPOSE 5432", "VOLUME /var/lib/postgresql/data", "STOPSIGNAL SIGINT",
            "ENV PGDATA=/var/lib/postgresql/data", "ENV PG_MAJOR=15", "ENV LANG=en_US.utf8", _PATH + ":/usr/lib/postgresql/15/bin",
        ),
    ),
)  # fmt: skip
BASES: dict[str, Base] = {base.name: base for base in _RECIPES}
# What every lesson up to the ladder needs. Those that later lessons need are brought by the lesson that needs them.
COURSE_BASES = (FULL, SLIM, DISTROLESS, REGISTRY, DEBIAN)
