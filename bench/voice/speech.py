"""Speech for the measurement: espeak-ng speaks, sox makes it telephone audio (8 kHz, 16 bit, raw)."""

import pathlib
import subprocess

# Voice, pitch (espeak's scale), words a minute, what is said. Harvard sentences, two each.
SPEAKERS = [
    ("m1", "en-us", 35, 150, "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background."),
    ("m2", "en-gb+m3", 45, 165, "It is easy to tell the depth of a well. These days a chicken leg is a rare dish."),
    ("m3", "en-us+m7", 30, 175, "Rice is often served in round bowls. The juice of lemons makes fine punch."),
    ("m4", "en-gb-scotland+m1", 50, 155, "The box was thrown beside the parked truck. The hogs were fed chopped corn."),
    ("f1", "en-us+f2", 60, 150, "Four hours of steady work faced us. A large size in stockings is hard to sell."),
    ("f2", "en-gb+f4", 70, 165, "The boy was there when the sun rose. A rod is used to catch pink salmon."),
    ("f3", "en-us+f3", 55, 175, "The source of the huge river is the clear spring. Kick the ball straight and follow through."),
    ("f4", "en-gb-x-rp+f1", 65, 155, "Help the woman get back to her feet. A pot of tea helps to pass the evening."),
]


def make(folder: pathlib.Path) -> list[pathlib.Path]:
    """One file for each speaker: half a second of silence, the words, half a second."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, voice, pitch, speed, text in SPEAKERS:
        wav, raw = folder / f"{name}.wav", folder / f"{name}.raw"
        subprocess.run(["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(speed), "-w", wav, text], check=True)
        # -R: the same dither each time. Band of the telephone (ITU-T P.48 is near it), active level about -26 dBov.
        subprocess.run(
            ["sox", "-R", wav, "-r", "8000", "-c", "1", "-b", "16", "-e", "signed", raw]
            + "sinc 200-3400 norm -6 pad 0.5 0.5".split(),
            check=True,
        )
        made.append(raw)
    return made
