"""Dependencies point one way. The table is here; what the modules import is read, not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("engine", "media", "codecs")
CLOCK_READERS = {"time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns"}

MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


class Import(NamedTuple):
    """One import: the absolute dotted name of a module (or of a thing in it), and where."""

    name: str
    line: int


def parse(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"), str(module))


def dotted(module: Path) -> str:
    """The name inside the checkout: `engine.sip.agent`; a package goes by the name of its directory."""
    return ".".join(module.with_suffix("").parts).removesuffix(".__init__")


def imports(module: Path) -> Iterator[Import]:
    """Everything imported, relative names made absolute. `from x import y` gives `x.y`."""
    package = module.parent.parts
    for node in ast.walk(parse(module)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from (Import(f"{prefix}.{alias.name}", node.lineno) for alias in node.names)


def within(name: str, *modules: str) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


def complaints(rule: str, forbidden: Iterator[tuple[Path, Import]]) -> str:
    found = [f"{module}:{line}: imports {name}; {rule}" for module, (name, line) in forbidden]
    return "\n".join(found)


# Importers, what they may not import, exceptions among either, and why.
FORBIDDEN = [
    (("media", "codecs"), ("engine", "flexml.engine"), (), "media and codecs do not know the engine"),
    (("codecs",), ("media",), (), "codecs know nothing of how audio moves"),
    (("media", "codecs"), ("asyncio",), (), "nothing may stand between a tick and its deadline"),
    (
        ("engine",),
        ("numpy",),
        (
            "engine.decode",
            "engine.mono",
            "engine.encode",
            "engine.trimming",
            "engine.speech.sound",
            "engine.speech.transcribe_sound",
        ),
        "control never touches samples; its worker processes do",
    ),
    (
        ("engine",),
        ("media",),
        ("media.protocol", "media.events", "media.channel", "media.load.messages"),
        "only messages and their channel are shared",
    ),
    (("engine",), ("codecs",), ("codecs.catalog",), "only names and numbers of codecs are shared"),
    (PACKAGES, ("flexml",), (), "inside the packages imports are relative"),
]


@pytest.mark.parametrize(("importers", "forbidden", "exceptions", "reason"), FORBIDDEN)
def test_packages_keep_apart(
    importers: tuple[str, ...], forbidden: tuple[str, ...], exceptions: tuple[str, ...], reason: str
) -> None:
    wrong = (
        (module, found)
        for module in MODULES
        if within(dotted(module), *importers) and not within(dotted(module), *exceptions)
        for found in imports(module)
        if within(found.name, *forbidden) and not within(found.name, *exceptions)
    )
    text = complaints(reason, wrong)
    assert not text, text


def importers(*names: str) -> set[str]:
    """The modules that import one of `names` or something in it."""
    return {dotted(module) for module in MODULES if any(within(found.name, *names) for found in imports(module))}


def test_only_its_own_modules_know_pjsua2_and_only_the_agent_knows_those() -> None:
    names = ("account", "acknowledgement", "binding", "call", "endpoint", "resolver")
    stack = {f"engine.sip.stack.{name}" for name in names}
    assert importers("pjsua2", "_pjsua2") == stack
    assert importers("engine.sip.stack") - stack == {"engine.sip.agent"}


# From the top down: a module imports from its own layer and those below it, and every module has a layer. The
# longest name that fits decides: `engine.flexml.verb` is a seam although `engine.flexml` sits high.
LAYERS = [
    # engine
    ("engine.cli",),
    (
        "engine.account_command",
        "engine.call_command",
        "engine.dial_command",
        "engine.load_command",
        "engine.timeline_command",
        "engine.token_command",
        "engine.trunk_command",
    ),
    ("engine.command_database",),
    ("engine.app", "engine.softphone", "engine.load"),
    ("engine.greeting", "engine.running", "engine.shortage"),
    ("engine.http_side",),
    ("engine.assembly",),
    ("engine.alone", "engine.api", "engine.trunk_gate", "engine.admission"),
    ("engine.inbound", "engine.lost_calls", "engine.outbound"),
    ("engine.changes",),
    ("engine.lives",),
    ("engine.course",),
    ("engine.flexml",),
    ("engine.registry",),
    ("engine.outgoing",),
    ("engine.call",),
    ("engine.call_prompts", "engine.outward"),
    ("engine.call_services", "engine.dialling"),
    ("engine.conversation",),
    ("engine.reach", "engine.directory", "engine.order"),
    ("engine.exchange",),
    ("engine.party",),
    ("engine.call_media",),
    ("engine.call_audio", "engine.call_dialog", "engine.call_notes", "engine.call_recordings", "engine.audio"),
    ("engine.leg", "engine.digits", "engine.supervisor"),
    ("engine.media_client",),
    (
        "engine.media_leg",
        "engine.messages",
        "engine.outcome",
        "engine.webhook",
        "engine.outbox",
        "engine.peers",
        "engine.speech",
        "engine.prompts",
        "engine.conversions",
        "engine.storage",
        "engine.timeline",
        "engine.retention",
        "engine.provisioning",
        "engine.config_entries",
        "engine.recordings",
        "engine.recording_encoding",
        "engine.recording_needs",
        "engine.recording_news",
        "engine.recording_plan",
        "engine.tokens",
        "engine.uploads",
        "engine.trunk_upkeep",
    ),
    ("engine.leg_listening", "engine.leg_plays"),
    ("engine.leg_line", "engine.leg_listener"),
    ("engine.sip.agent", "engine.sip.negotiation", "engine.sip.trunks"),
    ("engine.sip.stack",),
    ("engine.makings", "engine.recording_log"),
    ("engine.decoders", "engine.making", "engine.responses", "engine.convert"),
    ("engine.sip", "engine.audio_cache", "engine.download", "engine.decode", "engine.encode", "engine.db"),
    ("engine.trimming",),
    ("engine.config_file", "engine.shared_writes"),
    ("engine.sql",),
    ("engine.row_writing",),
    ("engine.latency", "engine.migrations", "engine.sqlite_thread"),
    ("engine.config_checks", "engine.config_tables"),
    ("engine.speech.transcribe_engines", "engine.speech.voices"),
    ("engine.speech.sentences",),
    ("engine.speech.reading",),
    ("engine.speech.pauses",),
    ("engine.config",),
    ("engine.announcement", "engine.config_rows"),
    ("engine.records",),
    (
        "engine.config_kinds",
        "engine.cookies",
        "engine.metrics",
        "engine.log",
        "engine.workers",
        "engine.growing_file",
        "engine.tables",
        "engine.password",
        "engine.numbering",
    ),
    (
        "engine.ports",
        "engine.stream",
        "engine.freshness",
        "engine.audio_formats",
        "engine.mono",
        "engine.flexml.verb",
        "engine.flexml.fetch",
    ),
    (
        "engine.countries",
        "engine.growth",
        "engine.moment",
        "engine.names",
        "engine.opening",
        "engine.unreached",
        "engine.sid",
        "engine.dial",
        "engine.media_jobs",
        "engine.wave_header",
        "engine.spool",
    ),
    ("engine.recording",),
    ("engine.errors",),
    ("engine.redact",),
    # media: what is not named is a stage
    ("media.worker", "media.load"),
    ("media.pipeline",),
    ("media.commands",),
    ("media.stages",),
    ("media",),
    ("media.rtp", "media.rtcp", "media.rows", "media.clock", "media.channel", "media.libsrtp"),
    ("media.events",),
    ("media.protocol",),
    # codecs
    ("codecs",),
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
NAMES = {dotted(module) for module in MODULES}


def rank(name: str) -> int | None:
    """The layer of the longest listed name that `name` is or lies within; None where there is none."""
    parts = name.split(".")
    return next((RANK[n] for n in (".".join(parts[:end]) for end in range(len(parts), 0, -1)) if n in RANK), None)


def target(name: str) -> str:
    """The module that the imported `name` is, or is in."""
    return name if name in NAMES else name.rpartition(".")[0]


def ours(module: Path) -> Iterator[Import]:
    """The imports from modules of this project, as module names."""
    return (Import(target(name), line) for name, line in imports(module) if target(name) in NAMES)


@pytest.mark.parametrize("module", [m for m in MODULES if m != Path("engine/__init__.py")], ids=str)
def test_a_module_imports_only_from_its_layer_and_below(module: Path) -> None:
    own = rank(dotted(module))
    assert own is not None, f"{module} has no layer: give it one in LAYERS"
    wrong = [
        f"{module}:{line}: imports {name}, which is a layer above it"
        for name, line in ours(module)
        if name.partition(".")[0] == module.parts[0] and (rank(name) or 0) < own
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {dotted(module): {name for name, _ in ours(module)} - {dotted(module)} for module in MODULES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" > ".join(error.args[1]))


def clock_reads(module: Path) -> Iterator[int]:
    """The lines that read a clock: `time.monotonic` and its kin, called or handed on, or imported by name."""
    for node in ast.walk(parse(module)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "time" and node.attr in CLOCK_READERS:
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield node.lineno


def test_clocks_are_read_in_one_module_and_handed_on_where_programs_begin() -> None:
    allowed = {Path("media/clock.py"), Path("engine/app.py"), Path("engine/command_database.py"), Path("engine/sid.py")}
    found = [f"{m}:{n}: reads a clock; take `now` instead" for m in MODULES if m not in allowed for n in clock_reads(m)]
    assert not found, "\n".join(found)


def test_codecs_is_no_package_of_its_own() -> None:
    """With an __init__.py, a checkout on the path would shadow the standard library's codecs: Python cannot start."""
    assert not (ROOT / "codecs" / "__init__.py").exists()
