#!/usr/bin/env python3
"""AgentStream with pipecat: its Exotel serializer speaks this protocol. Put your STT, LLM and TTS where `Echo` stands.

    pip install "pipecat-ai[websocket,silero]" uvicorn
    uvicorn pipecat_echo:app --port 9000

    bot = "ws://127.0.0.1:9000/media?sample-rate=16000"     # in a [[route]] of streamkit.toml

Two things to know. The serializer is told the stream's rate, which `start` names. It writes `streamSid`, which
StreamKit takes as it takes `stream_sid`; `streamkit check-bot` mentions it as advice.
"""

import json

from fastapi import FastAPI, WebSocket
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.exotel import ExotelFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport

app = FastAPI()


class Echo(FrameProcessor):
    """Gives back what it hears."""

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels)
        await self.push_frame(frame, direction)


@app.websocket("/media")
async def media(socket: WebSocket):
    await socket.accept()
    await socket.receive_text()  # `connected`
    start = json.loads(await socket.receive_text())["start"]
    rate = int(start["media_format"]["sample_rate"])
    serializer = ExotelFrameSerializer(
        stream_sid=start["stream_sid"],
        call_sid=start["call_sid"],
        params=ExotelFrameSerializer.InputParams(exotel_sample_rate=rate),
    )
    transport = FastAPIWebsocketTransport(
        websocket=socket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            add_wav_header=False,
            vad_analyzer=SileroVADAnalyzer(),
            serializer=serializer,
        ),
    )
    task = PipelineTask(
        Pipeline([transport.input(), Echo(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=rate, audio_out_sample_rate=rate),
    )

    @transport.event_handler("on_client_disconnected")
    async def gone(transport, client):
        await task.cancel()  # StreamKit has sent `stop` and closed

    await PipelineRunner(handle_sigint=False).run(task)
