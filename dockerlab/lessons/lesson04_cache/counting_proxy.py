"""A forward proxy that counts what it hands out; runs inside a container, with the standard library alone.

GET /received on its own port answers the bytes received so far for each host. It serves those only who know its password, and goes on
by the site's own proxy where HTTP_PROXY or HTTPS_PROXY name one and NO_PROXY does not exempt the host.
"""

import asyncio
import base64
import json
import os
import sys
import urllib.request
from urllib.parse import unquote, urlsplit

RECEIVED: dict[str, int] = {}


def authorization(login: str) -> bytes:
    """The value of a Proxy-Authorization header for user:password as it stands in a URL (RFC 7617)."""
    return b"Basic " + base64.b64encode(unquote(login).encode())


def allowed(headers: bytes) -> bool:
    """Whether a request brings the password that this proxy was given."""
    wanted = authorization(os.environ["METER_LOGIN"])
    return any(
        name.strip().lower() == b"proxy-authorization" and value.strip() == wanted
        for name, _, value in (line.partition(b":") for line in headers.split(b"\r\n"))
    )


def upstream(scheme: str, host: str) -> str:
    """The site's proxy for this host, "" where there is none."""
    return (
        ""
        if urllib.request.proxy_bypass_environment(host)  # type: ignore[attr-defined]  # not in typeshed
        else urllib.request.getproxies_environment().get(scheme, "")
    )


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = "") -> None:
    """Copy until the reader ends; counted under `host` where one is given."""
    try:
        while data := await reader.read(1 << 16):
            if host:
                RECEIVED[host] = RECEIVED.get(host, 0) + len(data)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: a tunnel, a plain request that is passed on, or the question for the counts."""
    try:
        line, _, headers = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        method, target, _ = line.decode().split()
        if target == "/received":
            body = json.dumps(RECEIVED).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            await writer.drain()
            writer.close()
            return
        if not allowed(headers):
            refusal = (
                "HTTP/1.1 407 Proxy Authentication Required",
                'Proxy-Authenticate: Basic realm="meter"',
                "Connection: close",
                "",
                "",
            )
            writer.write("\r\n".join(refusal).encode())
            await writer.drain()
            writer.close()
            return
        tunnel = method == "CONNECT"
        url = urlsplit(f"//{target}" if tunnel else target)
        host, port = url.hostname or "", url.port or 80
        proxy = urlsplit(upstream("https" if tunnel else "http", host))
        far_reader, far_writer = await asyncio.open_connection(
            proxy.hostname or host, (proxy.port or 3128) if proxy.hostname else port
        )
        login = (
            b"Proxy-Authorization: " + authorization(proxy.netloc.rpartition("@")[0]) + b"\r\n"
            if proxy.username
            else b""
        )
        if not tunnel:  # one request a connection, so that the next one is seen here too
            path = target if proxy.hostname else (url.path or "/") + (f"?{url.query}" if url.query else "")
            kept = [
                each
                for each in headers.split(b"\r\n")
                if not each.lower().startswith(
                    (b"connection:", b"proxy-connection:", b"proxy-authorization:")
                )
            ]
            far_writer.write(
                f"{method} {path} HTTP/1.1\r\nConnection: close\r\n".encode() + login + b"\r\n".join(kept)
            )
        elif proxy.hostname:  # whose own answer goes back
            far_writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode() + login + b"\r\n")
        else:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer, host))
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        print(type(error).__name__, error, file=sys.stderr, flush=True)
        writer.close()


async def main() -> None:
    """Serve for ever."""
    async with await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]), limit=1 << 20) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
