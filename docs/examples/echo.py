#!/usr/bin/env python3
"""An AgentStream bot in one page: it greets with a tone, then sends back what it hears.

    pip install websockets
    python3 echo.py                                      # ws://127.0.0.1:9000
    python3 echo.py --port 9443 --cert cert.pem --key key.pem

    streamkit check-bot ws://127.0.0.1:9000/media        # what would be better
    bot = "ws://127.0.0.1:9000/media"                    # in a [[route]] of streamkit.toml

Keys: * drops what has not been heard yet (`clear`), # ends the call.
"""

import argparse
import asyncio
import base64
import json
import math
import ssl
import struct

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def tone(rate, hz=440.0, seconds=0.5):
    """Signed 16-bit little-endian mono samples: what every payload holds."""
    samples = (int(6000 * math.sin(math.tau * hz * n / rate)) for n in range(int(rate * seconds)))
    return b"".join(struct.pack("<h", sample) for sample in samples)


class Call:
    def __init__(self, socket):
        self.socket = socket
        self.sid = None
        self.echo = bytearray()
        self.frames = 0
        self.marks = 0

    async def send(self, event, **members):
        await self.socket.send(json.dumps({"event": event, "stream_sid": self.sid, **members}))

    async def play(self, pcm):
        # 3200 bytes a message; StreamKit plays them in real time, however fast they come.
        for at in range(0, len(pcm), 3200):
            payload = base64.b64encode(pcm[at : at + 3200]).decode()
            await self.send("media", media={"payload": payload})

    async def mark(self):
        self.marks += 1
        await self.send("mark", mark={"name": f"mark-{self.marks}"})

    async def on_start(self, message):
        start = message["start"]
        self.sid = start["stream_sid"]
        self.rate = int(start["media_format"]["sample_rate"])  # 8000, 16000 or 24000: a string, as all values are
        print(f"{self.sid} from {start['from']} to {start['to']} at {self.rate} Hz {start['custom_parameters']}")
        await self.play(tone(self.rate))
        await self.mark()

    async def on_media(self, message):
        self.echo += base64.b64decode(message["media"]["payload"])
        # 100 ms at a time: fewer messages, and nothing is heard of a delay on the way.
        if len(self.echo) >= self.rate // 10 * 2:
            await self.play(bytes(self.echo))
            self.echo.clear()
            self.frames += 1
            if self.frames % 50 == 0:
                await self.mark()

    async def on_dtmf(self, message):
        digit = message["dtmf"]["digit"]
        print(f"{self.sid} key {digit}")
        if digit == "*":
            await self.send("clear")
        elif digit == "#":
            await self.socket.close()

    async def on_mark(self, message):
        print(f"{self.sid} heard up to {message['mark']['name']}")  # or dropped by `clear`

    async def on_stop(self, message):
        print(f"{self.sid} {message['stop']['reason']}")
        await self.socket.close()


async def call(socket):
    bot = Call(socket)
    try:
        async for text in socket:
            message = json.loads(text)
            # Unknown events are passed over: a newer StreamKit may send some.
            on_event = getattr(bot, f"on_{message.get('event')}", None)
            if on_event:
                await on_event(message)
    except ConnectionClosed:
        pass


async def main():
    options = argparse.ArgumentParser(description="An AgentStream echo bot.")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=9000)
    options.add_argument("--cert", help="certificate chain, PEM: speaks wss://")
    options.add_argument("--key", help="its key, PEM")
    options = options.parse_args()
    tls = None
    if options.cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.cert, options.key)
    # Messages of StreamKit are small; a second of audio at 24000 Hz is 64 kB.
    async with serve(call, options.host, options.port, ssl=tls, max_size=1 << 20) as server:
        port = server.sockets[0].getsockname()[1]  # --port 0 takes a free one
        print(f"listening on {'wss' if tls else 'ws'}://{options.host}:{port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
