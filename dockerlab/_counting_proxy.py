"""A forward proxy that counts what it hands out; runs inside a container, with the standard library alone.

GET /received on its own port answers the bytes received so far for each host.
"""

import asyncio
import json
import sys
from urllib.parse import urlsplit

RECEIVED: dict[str, int] = {}


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
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
            writer.close()
            return
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host, port = url.hostname or "", url.port or 80
        far_reader, far_writer = await asyncio.open_connection(host, port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:  # one request a connection, so that the next one is seen here too
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            kept = [each for each in headers.split(b"\r\n") if not each.lower().startswith((b"connection:", b"proxy-connection:"))]
            far_writer.write(f"{method} {path} HTTP/1.1\r\nConnection: close\r\n".encode() + b"\r\n".join(kept))
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
