#!/usr/bin/env python3
"""AgentStream with pipecat: its Exotel serializer speaks this protocol. Put your STT, LLM and TTS where `Echo` stands.

    pip install "pipecat-ai[websocket]==1.14.0" uvicorn   # or, as it is tested: pip install -r requirements.txt
    uvicorn pipecat_echo:app --port 9000

    bot = "ws://127.0.0.1:9000/media?sample-rate=16000"   # in a [[route]] of streamkit.toml

The serializer does no more than it is told: its rate and the pipeline's must be the stream's, which the URL names
(8000 where it names none) and `start` repeats. Then nothing is resampled here. An echo needs no voice activity
detection; a bot that is to be interrupted does, and pipecat's interruption becomes `clear`.
"""

from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import Frame, InputAudioRawFrame, InputDTMFFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.exotel import ExotelFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

app = FastAPI()


class Echo(FrameProcessor):
    """Gives back what it hears."""

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels)
        elif isinstance(frame, InputDTMFFrame):
            print(f"key {frame.button.value}", flush=True)
        await self.push_frame(frame, direction)


@app.websocket("/media")
async def media(socket: WebSocket):
    await socket.accept()
    platform, call = await parse_telephony_websocket(socket)  # reads `connected` and `start`
    if platform != "exotel":
        raise ValueError(f"this is not AgentStream: {platform}")
    rate = int(socket.query_params.get("sample-rate", "8000"))
    print(f"{call.stream_id} from {call.from_number} to {call.to_number} at {rate} Hz", flush=True)
    serializer = ExotelFrameSerializer(
        stream_sid=call.stream_id,
        call_sid=call.call_id,
        params=ExotelFrameSerializer.InputParams(exotel_sample_rate=rate),
    )
    transport = FastAPIWebsocketTransport(
        websocket=socket,
        params=FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=serializer),
    )
    worker = PipelineWorker(
        Pipeline([transport.input(), Echo(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=rate, audio_out_sample_rate=rate),
        idle_timeout_secs=None,  # nobody "speaks" in an echo: pipecat would end it after five minutes
    )

    @transport.event_handler("on_client_disconnected")
    async def gone(transport, client):
        await worker.cancel()  # StreamKit has sent `stop` and closed

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()
