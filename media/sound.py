"""Audio that can be played: files mapped into memory and made tones, shared by all legs that play them.

A file is headerless little-endian 16-bit mono PCM. It is mapped, never read: a tick touches the pages it
plays, and the kernel is told at the start to fetch them ahead. Whoever writes such a file must replace it
by renaming, not truncate it: a page that is no longer there kills the process that plays it. Only a file
that is announced to grow may be larger than what is in it at first and lose the rest at the end: of it
nothing is touched, not even ahead, but what is said to be available.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import tones

SAMPLE_OCTETS = 2


class SoundError(ValueError):
    """Something cannot be played; the text says what was found and what was expected."""


@dataclass(eq=False, slots=True)
class Sound:
    """Samples that any number of legs play. `users` counts them; `key` says where they came from."""

    key: tuple[object, ...]
    samples: NDArray[np.int16]
    users: int = 0

    def frames(self, start: NDArray[np.int64], count: int) -> NDArray[np.int16]:
        """Return the `count` samples from each of `start` on, int16[n, count]: all must be there."""
        if start.size == 1:
            return self.samples[None, int(start[0]) : int(start[0]) + count]
        octets = self.samples.itemsize
        views = np.ndarray(self.samples.size - count + 1, np.dtype((np.void, count * octets)), self.samples, 0, octets)
        return views[start].view(self.samples.dtype).reshape(start.size, count)


class Sounds:
    """The sounds in use, by path and inode: a file that was replaced under its name is another sound."""

    def __init__(self) -> None:
        self._sounds: dict[tuple[object, ...], Sound] = {}

    def __len__(self) -> int:
        return len(self._sounds)

    def file(self, path: str, *, growing: bool = False) -> Sound:
        """Return the sound of the file at `path` for one more user. SoundError if it cannot be played."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise SoundError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error
        try:
            status = os.fstat(descriptor)
            key = (path, status.st_dev, status.st_ino, status.st_size)
            sound = self._sounds.get(key)
            if sound is None:
                sound = self._sounds[key] = Sound(key, _mapped(descriptor, status.st_size, path, ahead=not growing))
        finally:
            os.close(descriptor)
        sound.users += 1
        return sound

    def extend(self, sound: Sound) -> None:
        """Map what has been appended to the file of `sound`; nothing happens where it is not there any more."""
        path, *identity, _ = sound.key
        try:
            descriptor = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            status = os.fstat(descriptor)
            size = status.st_size // SAMPLE_OCTETS * SAMPLE_OCTETS
            if identity == [status.st_dev, status.st_ino] and size > sound.samples.nbytes:
                sound.samples = _mapped(descriptor, size, str(path), ahead=False)
        except SoundError:
            return
        finally:
            os.close(descriptor)

    def tone(self, name: str) -> Sound:
        """Return the sound of the tone `name` for one more user. SoundError if there is none."""
        try:
            made = tones.samples(name)
        except KeyError as error:
            raise SoundError(str(error.args[0])) from error
        sound = self._sounds.setdefault((name,), Sound((name,), made))
        sound.users += 1
        return sound

    def release(self, sound: Sound) -> None:
        """Give `sound` back; with the last user its map goes."""
        sound.users -= 1
        if sound.users == 0:
            del self._sounds[sound.key]


def _mapped(descriptor: int, size: int, path: str, *, ahead: bool) -> NDArray[np.int16]:
    if size == 0 or size % SAMPLE_OCTETS:
        raise SoundError(f"{path}: expected whole 16-bit samples, at least one, found {size} octets")
    try:
        view = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        if ahead:
            view.madvise(mmap.MADV_WILLNEED)
    except (OSError, ValueError) as error:
        raise SoundError(f"{path}: cannot be mapped: {error}") from error
    # The array holds the map; both go with the last reference to the Sound.
    return np.frombuffer(view, dtype="<i2")
