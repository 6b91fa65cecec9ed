"""Files that grow: readers wait for what they need and no more, writers keep to what they may."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest
from flexml.engine.errors import PromptError
from flexml.engine.growing_file import GrowingSource, PcmFile, PcmRing
from flexml.engine.workers import Exchange


class Told:
    """The pipe of a worker: hears `messages`, which first let `happen` what they tell of, and notes what is told."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages, self.told = list(messages), list[dict[str, Any]]()

    def hear(self) -> dict[str, Any] | None:
        return self.messages.pop(0) if self.messages else None

    def tell(self, **message: object) -> None:
        self.told.append(message)


def source(path: Path, *messages: dict[str, Any]) -> tuple[GrowingSource, Told]:
    told = Told(*messages)
    return GrowingSource(path, cast("Exchange", told)), told


def test_a_read_waits_for_one_octet_and_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(range(100)))
    file, told = source(path, {"octets": 10}, {"octets": 11}, {"octets": 100, "complete": True})
    waits: list[int] = []
    file.on_wait = lambda: waits.append(file.tell())
    assert file.read(64) == bytes(range(10))
    assert file.read(64) == bytes([10])
    assert waits == [10]
    assert len(told.messages) == 1
    assert file.read(64) == bytes(range(11, 75))
    assert file.read(64) == bytes(range(75, 100))
    assert file.read(64) == b""
    assert not file.seekable()
    file.close()


def test_a_download_that_is_given_up_ends_the_reader(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(100))
    file, _ = source(tmp_path / "a", {"octets": 10})
    file.read(10)
    with pytest.raises(PromptError, match="given up"):
        file.read(1)
    file.close()


def atom(kind: bytes, size: int) -> bytes:
    return size.to_bytes(4, "big") + kind + bytes(size - 8)


MP4 = [
    # atoms, whether demuxers may look at the end, which there is to wait for then
    ((b"ftyp", b"moov", b"mdat"), False),
    ((b"ftyp", b"free", b"moov", b"mdat"), False),
    ((b"ftyp", b"mdat", b"moov"), True),
    ((b"ftyp", b"free", b"mdat", b"moov"), True),
    ((b"RIFF", b"mdat"), False),
]


@pytest.mark.parametrize(("atoms", "seekable"), MP4)
def test_only_mp4_with_its_directory_last_may_be_looked_at_from_its_end(
    tmp_path: Path, atoms: tuple[bytes, ...], seekable: bool
) -> None:
    octets = b"".join(atom(kind, 16) for kind in atoms)
    (tmp_path / "a").write_bytes(octets)
    file, told = source(tmp_path / "a", *({"octets": n} for n in range(8, 70, 8)), {"octets": 999, "complete": True})
    assert file.seekable() is seekable
    assert file.tell() == 0
    if seekable:
        assert told.messages, "it did not have to wait for all of it"
        assert file.seek(0, os.SEEK_END) == len(octets)
        assert not told.messages
    file.close()


def test_a_file_of_samples_has_its_greatest_size_at_once_and_its_true_size_at_the_end(tmp_path: Path) -> None:
    told = Told()
    sink = PcmFile(tmp_path / "a", cast("Exchange", told), rate_hz=8000, max_s=2)
    assert (tmp_path / "a").stat().st_size == 32_000
    for _ in range(3):
        sink.write(bytes(range(256)) * 4)
    assert told.told == [{"progress": 1024}]
    sink.report()
    sink.report()
    assert told.told == [{"progress": 1024}, {"progress": 1536}]
    with pytest.raises(PromptError, match="longer than the 2 s allowed"):
        sink.write(bytes(32_000))
    sink.close()
    assert (tmp_path / "a").read_bytes() == bytes(range(256)) * 12 + bytes(32_000 - 3072)


def test_a_ring_holds_the_last_samples_and_waits_until_it_may_go_on(tmp_path: Path) -> None:
    told = Told({"until": 100}, {"until": 150}, {"until": 400})
    sink = PcmRing(tmp_path / "a", cast("Exchange", told), rate_hz=800, samples=128, until=10)
    octets = bytes(n % 251 for n in range(600))
    sink.write(octets)
    assert sink.size == 300
    assert told.told[:3] == [{"progress": 0, "ring": 128}, {"progress": 10}, {"progress": 100}]
    ring = (tmp_path / "a").read_bytes()
    assert all(ring[n % 128 * 2 : n % 128 * 2 + 2] == octets[n * 2 : n * 2 + 2] for n in range(300 - 128, 300))
    with pytest.raises(PromptError, match="nobody listens"):
        sink.write(bytes(300))
    sink.close()
