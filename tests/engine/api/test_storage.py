"""Containers and files of `/core/v2/storage`, over a real socket, database and directory."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ...conftest import NewDatabase
from .served import Client, Reply, Served, serving

NOBODYS = "2f367eb5-adc6-4413-b603-533e2a8f0804"
BOUNDARY = "----flexml"


class World:
    """A served API with the provider's token, and one for each account."""

    def __init__(self, served: Served) -> None:
        self.served = served
        _, self.provider = served.token("provider")
        _, self.me = served.token("me", of="flexml_user_123")
        _, self.other = served.token("other", of="other")
        self.account = served.me.get("/accounts").body["items"][0]["account_sid"]
        self.others = served.other.get("/accounts").body["items"][0]["account_sid"]

    def container(self, **values: object) -> dict[str, Any]:
        reply = self.me.ask("POST", "/storage/containers", {"name": "mine", **values})
        assert reply.status == 200, reply.body
        return reply.body

    def upload(self, octets: bytes, **query: object) -> Reply:
        return self.me.ask("POST", "/storage/files", octets, headers={"Content-Type": "audio/wav"}, **query)

    def files(self) -> list[Path]:
        return [path for path in self.served.storage.folder.glob("*/**/*") if path.is_file()]

    def content(self, file: dict[str, Any]) -> bytes:
        sid = file["file_sid"]
        return (self.served.storage.folder / sid[:2] / sid[2:4] / f"{sid}.{file['format']}").read_bytes()


@pytest.fixture(scope="module")
def world(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(new_database(tmp_path_factory.mktemp("storage"))) as served:
        yield World(served)


def form(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, dict[str, str]]:
    """A body and its header, of names, file names and contents."""
    octets = b""
    for name, file_name, content in parts:
        called = "" if file_name is None else f'; filename="{file_name}"'
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{called}\r\n\r\n'
        octets += head.encode() + content + b"\r\n"
    return octets + f"--{BOUNDARY}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


# ---- containers ---------------------------------------------------------------------------------------------------


def test_a_container_is_made_changed_and_deleted(world: World) -> None:
    made = world.container(quota_bytes=1000)
    path = f"/storage/containers/{made['container_sid']}"
    assert made == {
        "account_sid": world.account,
        "available_bytes": 1000,
        "container_sid": made["container_sid"],
        "date_created": "2027-01-15T08:00:00.000Z",
        "date_modified": "2027-01-15T08:00:00.000Z",
        "file_count": 0,
        "is_default": False,
        "name": "mine",
        "partner_sid": "00000000-0000-0000-0000-000000000000",
        "quota_bytes": 1000,
        "used_bytes": 0,
    }
    world.upload(bytes(300), container_sid=made["container_sid"])
    shown = world.me.get(path).body
    assert (shown["used_bytes"], shown["available_bytes"], shown["file_count"]) == (300, 700, 1)
    changed = world.me.ask("PATCH", path, {"quota_bytes": 200}).body
    assert (changed["quota_bytes"], changed["available_bytes"], changed["name"]) == (200, 0, "mine")
    replaced = world.me.ask("PUT", path, {"name": "yours"}).body
    assert (replaced["quota_bytes"], replaced["available_bytes"], replaced["name"]) == (None, None, "yours")
    refused = world.me.ask("DELETE", path)
    assert (refused.status, refused.body["errors"][0]["message"]) == (409, "the container has 1 files")
    (file,) = world.me.get("/storage/files", filter=f"container_sid eq {made['container_sid']}").body["items"]
    assert world.me.ask("DELETE", f"/storage/files/{file['file_sid']}").status == 204
    assert world.me.ask("DELETE", path).status == 204
    assert world.me.get(path).status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"quota_bytes": -1}, "quota_bytes"),
        ({"quota_bytes": "many"}, "quota_bytes"),
        ({"used_bytes": 3}, "used_bytes"),
        ({"account_sid": NOBODYS}, "account_sid"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_container_that_cannot_be_is_422_and_names_the_field(world: World, body: object, field: str) -> None:
    reply = world.me.ask("POST", "/storage/containers", body)
    assert (reply.status, reply.body["errors"][0]["field"]) == (422, field)


def test_containers_are_listed_filtered_and_sorted(world: World) -> None:
    small, large = world.container(name="s", quota_bytes=10), world.container(name="l", quota_bytes=20)
    found = world.me.get(
        "/storage/containers", filter="quota_bytes le 20 and used_bytes eq 0 and available_bytes ge 10",
        order="available_bytes desc", include_fields="container_sid",
    )  # fmt: skip
    assert found.body["items"] == [{"container_sid": one["container_sid"]} for one in (large, small)]
    assert world.me.get("/storage/containers", filter="is_default eq true").status == 200


def test_the_provider_says_whose_a_container_is(world: World) -> None:
    reply = world.provider.ask("POST", "/storage/containers", {"name": "x"})
    assert (reply.status, reply.body["errors"][0]["field"]) == (422, "account_sid")
    made = world.provider.ask("POST", "/storage/containers", {"account_sid": world.others}).body
    path = f"/storage/containers/{made['container_sid']}"
    assert [client.get(path).status for client in (world.provider, world.other, world.me)] == [200, 200, 404]


# ---- files --------------------------------------------------------------------------------------------------------


def test_a_form_brings_a_file_and_what_is_kept_with_it(world: World) -> None:
    octets, headers = form(
        ("string_key_1", None, "grüße".encode()),
        ("integer_key_2", None, b"-7"),
        ("lifecycle_ttl", None, b"60"),
        ("file", "C:\\\\Music\\\\a.mp3", b"\r\nmp3\r\n--"),
    )
    reply = world.me.ask("POST", "/storage/files", octets, headers=headers)
    assert reply.status == 200, reply.body
    file = reply.body
    default = world.me.get("/storage/containers", filter="is_default eq true").body["items"][0]["container_sid"]
    assert file == {
        "account_sid": world.account,
        "bytes": 9,
        "container_sid": default,
        "date_created": "2027-01-15T08:00:00.000Z",
        "date_expires": "2027-01-15T08:01:00.000Z",
        "date_modified": "2027-01-15T08:00:00.000Z",
        "duration": None,
        "file_sid": file["file_sid"],
        "format": "mp3",
        "integer_key_1": None,
        "integer_key_2": -7,
        "lifecycle_action": "delete",
        "lifecycle_ttl": 60,
        "mime_type": "audio/mpeg",
        "name": "a.mp3",
        "partner_sid": "00000000-0000-0000-0000-000000000000",
        "string_key_1": "grüße",
        "string_key_2": None,
        "url": f"https://flexml.example/f/{file['file_sid']}",
    }
    assert world.content(file) == b"\r\nmp3\r\n--"
    assert world.me.get(f"/storage/files/{file['file_sid'].replace('-', '')}").body == file


@pytest.mark.parametrize(
    ("content_type", "name", "mime", "file_format"),
    [
        ("audio/x-wav", "", "audio/x-wav", "wav"),
        ("application/octet-stream", "a.ulaw", "audio/basic", "ul"),
        ("nonsense", "a.html", "text/html", "bin"),
        ("text/html; charset=utf-8", "a.wav", "text/html", "wav"),
        ("", "", "application/octet-stream", "bin"),
    ],
)
def test_a_body_is_a_file_of_its_media_type_or_its_name(
    world: World, content_type: str, name: str, mime: str, file_format: str
) -> None:
    file = world.me.ask("POST", "/storage/files", b"x", headers={"Content-Type": content_type}, name=name).body
    assert (file["mime_type"], file["format"], file["name"], file["bytes"]) == (mime, file_format, name, 1)


def test_a_file_with_a_name_of_its_own_is_of_the_format_that_its_file_name_says(world: World) -> None:
    body, headers = form(("name", None, b"Welcome"), ("file", "welcome.mp3", b"mp3"))
    file = world.me.ask("POST", "/storage/files", body, headers=headers).body
    assert (file["name"], file["format"], file["mime_type"]) == ("Welcome", "mp3", "audio/mpeg")


def test_a_file_is_changed_and_deleted(world: World) -> None:
    file = world.upload(b"octets", name="a.wav", string_key_1="1", string_key_2="2").body
    path = f"/storage/files/{file['file_sid']}"
    world.served.now += 100
    changed = world.me.ask("PATCH", path, {"name": "b", "string_key_1": None, "lifecycle_ttl": 200}).body
    assert changed == {**file, "name": "b", "string_key_1": None, "lifecycle_ttl": 200,
                       "date_expires": changed["date_expires"]}  # fmt: skip
    replaced = world.me.ask("PUT", path, {"integer_key_1": 5}).body
    assert replaced == {**file, "name": "", "string_key_1": None, "string_key_2": None, "integer_key_1": 5}
    assert world.content(file) == b"octets"
    assert world.me.ask("PATCH", path, {}).body == replaced
    for body, field in (
        ({"bytes": 1}, "bytes"),
        ({"lifecycle_action": "archive"}, "lifecycle_action"),
        ({"lifecycle_ttl": -1}, "lifecycle_ttl"),
        ({"container_sid": NOBODYS}, "container_sid"),
    ):
        reply = world.me.ask("PATCH", path, body)
        assert (reply.status, reply.body["errors"][0]["field"]) == (422, field)
    assert world.me.ask("DELETE", path).status == 204
    assert world.me.ask("DELETE", path).status == 404
    assert not any(file["file_sid"] in path.name for path in world.files())


def test_files_are_filtered_and_paged(world: World) -> None:
    container = world.container()["container_sid"]
    for number in range(5):
        world.upload(bytes(number), container_sid=container, name=f"{number}.wav", integer_key_1=number)
    mine = f"container_sid eq {container}"
    pages = world.me.all_pages("/storage/files", filter=f"{mine} and integer_key_1 ge 1", order="bytes desc", limit=2)
    assert [[file["name"] for file in page] for page in pages] == [["4.wav", "3.wav"], ["2.wav", "1.wav"]]
    found = world.me.get("/storage/files", filter=f"{mine} and name like '3%'", include_fields="bytes,url").body
    assert (found["total"], found["items"][0]["bytes"]) == (1, 3)


def test_a_quota_is_413_and_says_what_is_free(world: World) -> None:
    container = world.container(quota_bytes=100)["container_sid"]
    assert world.upload(bytes(60), container_sid=container).status == 200
    before = world.files()
    octets, headers = form(("container_sid", None, container.encode()), ("file", "a.wav", bytes(41)))
    for reply in (
        world.upload(bytes(41), container_sid=container),
        world.me.ask("POST", "/storage/files", octets, headers=headers),
    ):
        assert reply.status == 413
        assert reply.body["errors"] == [
            {"field": "file", "message": "the container has 40 bytes free", "reference_sid": None}
        ]
    assert world.files() == before
    assert world.upload(bytes(40), container_sid=container).status == 200


@pytest.mark.parametrize(
    ("parts", "status", "field"),
    [
        ([("name", None, b"x")], 422, "file"),
        ([("file", "a.wav", b"x"), ("name", None, b"x")], 422, "name"),
        ([("integer_key_1", None, b"x"), ("file", "a.wav", b"x")], 422, "integer_key_1"),
        ([("container_sid", None, NOBODYS.encode()), ("file", "a.wav", b"x")], 422, "container_sid"),
        ([("nonsense", None, b"x"), ("file", "a.wav", b"x")], 422, "nonsense"),
        ([("name", None, b"x" * 5000), ("file", "a.wav", b"x")], 400, None),
        ([("name", None, b"\xff"), ("file", "a.wav", b"x")], 400, None),
    ],
)
def test_a_form_that_cannot_be_is_refused_and_leaves_nothing(
    world: World, parts: list[tuple[str, str | None, bytes]], status: int, field: str | None
) -> None:
    before = world.files()
    octets, headers = form(*parts)
    reply = world.me.ask("POST", "/storage/files", octets, headers=headers)
    assert (reply.status, reply.body["errors"][0]["field"]) == (status, field)
    assert world.files() == before


def test_an_upload_that_breaks_off_leaves_nothing(world: World) -> None:
    before = world.files()
    head = (
        f"POST /core/v2/storage/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.me.written}\r\n"
        "Content-Type: audio/wav\r\nContent-Length: 9000000\r\n\r\n"
    )
    with socket.create_connection(world.served.address, 5) as connection:
        connection.sendall(head.encode() + bytes(3_000_000))
        until(lambda: len(world.files()) == len(before) + 1)
    until(lambda: world.files() == before)
    assert world.me.get("/storage/files", filter="bytes gt 2000000").body["total"] == 0


def until(true: Any) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_no_account_sees_changes_or_fills_what_is_anothers(world: World) -> None:
    file = world.upload(b"x", name="mine.wav").body
    container = file["container_sid"]

    def answers(client: Client) -> list[int]:
        asked: list[tuple[str, str, object]] = [
            ("GET", f"/storage/files/{file['file_sid']}", None),
            ("PATCH", f"/storage/files/{file['file_sid']}", {"name": "x"}),
            ("DELETE", f"/storage/files/{file['file_sid']}", None),
            ("GET", f"/storage/containers/{container}", None),
            ("PATCH", f"/storage/containers/{container}", {"name": "x"}),
            ("DELETE", f"/storage/containers/{container}", None),
            ("POST", f"/storage/files?container_sid={container}", b"x"),
            ("POST", f"/storage/files?account_sid={world.account}", b"x"),
        ]
        return [client.ask(*one).status for one in asked]

    assert answers(world.other) == [404] * 6 + [422] * 2
    assert answers(world.served.with_token("nonsense")) == [401] * 8
    assert world.me.get(f"/storage/files/{file['file_sid']}").body == file
    owners = {one["account_sid"] for one in world.other.get("/storage/files", limit=1000).body["items"]}
    assert world.account not in owners
    everybody = {one["account_sid"] for one in world.provider.get("/storage/containers", limit=1000).body["items"]}
    assert {world.account, world.others} <= everybody
