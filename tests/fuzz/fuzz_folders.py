"""Folders for results that cannot be made, and those that must not be touched."""

import random
import shutil

from fuzz_case import DIGITS, Case, Place


def folder_case(place: Place, draw: random.Random) -> Case:
    """A command with an `--out` that is wrong, or strange."""
    kind, out, expected = draw.choice(
        [
            ("empty", "", "wrong"),
            ("too long", "x" * 5000, "wrong"),
            ("too many parts", "x/" * 2100 + "x", "wrong"),
            ("a file", "file", "wrong"),
            ("below a file", "file/run", "wrong"),
            ("a loop of links", "loop/run", "wrong"),
            ("a link to nothing", "dangling", "either"),
            ("a device", "/dev/null", "wrong"),
            ("below /proc", "/proc/umbel/run", "wrong"),
            ("somebody's folder", "theirs", "wrong"),
            ("unicode", "größe 😀", "right"),
            ("spaces and quotes", "a 'b' \"c\" $d", "right"),
            ("begins with a dash", "-out", "right"),
            ("deep", "a/b/c/d", "right"),
            ("a finished run", "finished", "wrong"),
        ]
    )
    (place.folder / "file").write_text("mine")
    (place.folder / "loop").symlink_to("loop")
    (place.folder / "dangling").symlink_to("nowhere/at/all")
    (place.folder / "theirs").mkdir()
    (place.folder / "theirs/train.csv").write_text("step,mine\n1,2\n")
    if kind == "a finished run":
        shutil.copytree(place.runs["plain"], place.folder / "finished")
    command = draw.choice(["train", "train", "run", "export"])
    if command == "export":
        arguments = ["export", str(place.runs["wide"]), "--point", "full", "--formats", "safetensors"]
    else:
        study = ["compare", "--descents", "equal", "--seeds", "1", "--tuning-trials", "0", "--probes", "0"]
        arguments = [command, *(study if command == "run" else []), *DIGITS]
    return Case([*arguments, f"--out={out}"], f"{command}, --out is {kind}", expected)
