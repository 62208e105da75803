"""Films: every k-th frame with its time, and frames written back as a film. PyAV is imported only when it is used."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from umbel.errors import UmbelError

_CODECS = ("libx264", "mpeg4")  # the first that this build of PyAV has
_USUAL_RATE = Fraction(25)
_MOST = 0.9  # of the time that a file says it lasts; sound may be longer than pictures


@dataclass(frozen=True)
class Moment:
    """Which frame of a film.

    Attributes:
        number: From 0, of all frames of the film.
        pts: Its time from the first frame, in units of the film.
        seconds: The same in seconds.
    """

    number: int
    pts: int
    seconds: float


class Film:
    """The frames of a film, one after the other; the whole film is never in memory.

    Args:
        path: A file of any format that FFmpeg reads.
        every: 1 takes all frames, k every k-th, beginning with the first.

    Attributes:
        count: About how many frames will come; 0 where the file does not say.
        rate: Frames a second of those that will come.
        time_base: Seconds that one unit of `pts` takes.
        damage: What ended the film before its end; "" where nothing did.

    Raises:
        UmbelError: PyAV is not installed, there is no such film, or it has no pictures.
    """

    def __init__(self, path: Path, every: int = 1) -> None:
        if every < 1:
            raise UmbelError(f"--every is {every}; give 1 for all frames, or k for every k-th")
        self.path = path.expanduser()
        self.every = every
        self.damage = ""
        with self._opened() as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or _USUAL_RATE
            self._seconds = (container.duration or 0) / 1e6
            self.rate = Fraction(rate) / every
            self.count = -(-(stream.frames or round(self._seconds * float(rate))) // every)
            self.time_base = Fraction(stream.time_base or 1 / rate)

    def __iter__(self) -> Iterator[tuple[Moment, Image.Image]]:
        """Number, time and pixels of each frame, upright and in RGB."""
        self.damage = ""
        moment = None
        with self._opened() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            first = None
            for number, frame in enumerate(self._decoded(container.decode(stream))):
                pts = frame.pts
                if pts is None:  # a file without times
                    pts = round(number / (self.rate * self.every * self.time_base))
                first = pts if first is None else first
                moment = Moment(number, pts - first, float((pts - first) * self.time_base))
                if number % self.every == 0:
                    picture = frame.to_image()
                    yield moment, picture.rotate(frame.rotation, expand=True) if frame.rotation else picture
        if moment is not None and not self.damage and moment.seconds + 1 < _MOST * self._seconds:
            self.damage = f"{self.path}: its frames end at {moment.seconds:.1f} s of {self._seconds:.1f} s"

    def _decoded(self, frames: Iterator[Any]) -> Iterator[Any]:
        """The frames up to the first that cannot be read."""
        number, errors = 0, import_module("av").FFmpegError
        while True:
            try:
                frame = next(frames)
            except StopIteration:
                return
            except errors as error:
                self.damage = f"{self.path}: it cannot be read beyond frame {number} ({_reason(error)})"
                return
            yield frame
            number += 1

    def _opened(self) -> Any:
        require_av()
        if not self.path.is_file():
            raise UmbelError(f"{self.path}: no such film")
        av = import_module("av")
        try:
            container = av.open(str(self.path))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise UmbelError(f"{self.path}: cannot be read as a film ({_reason(error)})") from None
        if not container.streams.video:
            container.close()
            raise UmbelError(f"{self.path}: there are no pictures in it, only sound")
        return container


class FilmWriter:
    """A film that is written frame by frame, each shown at its own time. Use as a context manager.

    Args:
        path: Of the file (MP4).
        like: The film whose times the frames have.
    """

    def __init__(self, path: Path, like: Film) -> None:
        require_av()
        self._av = import_module("av")
        self._path = path
        self._like = like
        self._container: Any = None
        self._stream: Any = None
        self._size: tuple[int, int] | None = None

    def __enter__(self) -> "FilmWriter":
        self._container = self._av.open(str(self._path), "w", format="mp4")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._stream is None:
            return  # a film without frames has nothing that a container could be closed with
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()

    def add(self, moment: Moment, picture: Image.Image) -> None:
        """Append a frame, at the size of the first; odd sides are continued by a pixel, as the format wants it."""
        self._size = self._size or picture.size
        picture = picture if picture.size == self._size else picture.resize(self._size)
        width, height = picture.width + picture.width % 2, picture.height + picture.height % 2
        if self._stream is None:
            self._stream = self._begun(width, height)
        pixels = np.pad(np.asarray(picture), [(0, height - picture.height), (0, width - picture.width), (0, 0)], "edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.time_base = moment.pts, self._like.time_base
        self._container.mux(self._stream.encode(frame))

    def _begun(self, width: int, height: int) -> Any:
        codec = next(name for name in _CODECS if name in self._av.codecs_available)
        stream = self._container.add_stream(codec, rate=self._like.rate.limit_denominator(65535))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = self._like.time_base
        return stream


def require_av() -> None:
    """Stop when PyAV is not installed.

    Raises:
        UmbelError: Names the command that installs it.
    """
    if find_spec("av") is None:
        raise UmbelError('films are read by PyAV; run: pip install "umbel[video]"')


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:100] or type(error).__name__
