"""The servers that tests need: named by the environment, else started from this machine's binaries, else installed.

Everything started here is private: its own folder, its own port on loopback, gone when the test run ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
POSTGRES = Path("/usr/lib/postgresql")
# Other people's programs that judge the DICOM objects we write: a package of Debian's by a program in it.
VALIDATORS = {"dcmtk": "dcmdump", "dicom3tools": "dciodvfy"}
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass
class Servers:
    """What a test run may use, as environment variables, and what it has to do without."""

    environment: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)


@contextmanager
def servers(*, install: bool) -> Iterator[Servers]:
    """Provide PostgreSQL, a broker and Chromium for the duration, as far as this machine allows."""
    with ExitStack() as stack:
        found = Servers()
        if install:
            install_missing()
        _provide(stack, found, "QASERVICE_TEST_POSTGRES_URL", "PostgreSQL", find_postgres, private_postgres)
        _provide(stack, found, "QASERVICE_TEST_BROKER_URL", "RabbitMQ", _rabbitmq, private_rabbitmq)
        chromium = find_chromium()
        if chromium is None:
            found.absent.append("Chromium is not here: browser tests are not run (apt-get install chromium)")
        else:
            found.environment["QASERVICE_CHROMIUM"] = str(chromium)
        yield found


def find_chromium() -> Path | None:
    """Return the Chromium named by QASERVICE_CHROMIUM, or the one on this machine."""
    named = os.environ.get("QASERVICE_CHROMIUM")
    if named:
        return Path(named)
    for name in CHROMIUM_NAMES:
        if path := shutil.which(name):
            return Path(path)
    return None


def install_missing() -> None:
    """Install the servers and validators that are neither named nor here, where this is Debian and we are root."""
    packages = []
    if not os.environ.get("QASERVICE_TEST_POSTGRES_URL") and find_postgres() is None:
        packages.append("postgresql")
    if not os.environ.get("QASERVICE_TEST_BROKER_URL") and _rabbitmq() is None:
        packages.append("rabbitmq-server")
    if find_chromium() is None:
        packages.append("chromium")
    packages += [package for package, program in VALIDATORS.items() if shutil.which(program) is None]
    if not packages:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"Not installed, as this is not Debian as root: {', '.join(packages)}", flush=True)
        return
    print(f"Installing what the tests need and this machine lacks: {', '.join(packages)} ...", flush=True)
    # No daemon of the packages' own: RUNLEVEL keeps invoke-rc.d from starting one.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", "-qq", *command], env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"apt-get {command[0]} failed: {done.stderr.strip()[-500:]}", flush=True)
            return


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def find_postgres() -> Path | None:
    """Return the folder of the newest PostgreSQL server's binaries on this machine."""
    if path := shutil.which("initdb"):
        return Path(path).parent
    versions = sorted(POSTGRES.glob("*/bin/initdb"), key=lambda found: float(found.parts[-3]))
    return versions[-1].parent if versions else None


@contextmanager
def private_postgres() -> Iterator[str]:
    """Run a PostgreSQL cluster of our own, without fsync as it holds nothing to keep, and yield its URL.

    initdb refuses root, so as root the cluster belongs to the account "postgres" that the package made.
    """
    with _postgres(
        Path(tempfile.gettempdir()), "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    ) as url:
        yield url


@contextmanager
def durable_postgres(around: Path) -> Iterator[str]:
    """Run the same with its data below ``around`` and PostgreSQL's own defaults, which sync every commit."""
    with _postgres(around, "-c fsync=on -c synchronous_commit=on -c full_page_writes=on") as url:
        yield url


@contextmanager
def _postgres(around: Path, durability: str) -> Iterator[str]:
    binaries = find_postgres()
    assert binaries is not None
    port = free_port()
    as_owner: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="qaservice-postgres-", dir=around))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    settings = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} {durability} "
        "-c max_connections=60"
    )
    data = folder / "data"
    owner = [*as_owner, "env", "-C", str(folder)]
    try:
        access = ["-U", "postgres", "-A", "trust"]
        _must(*owner, binaries / "initdb", "-D", data, *access, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        _must(*owner, binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", settings, "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _must(*owner, binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def private_rabbitmq() -> Iterator[str]:
    """Run a RabbitMQ node of our own and yield its amqp:// URL."""
    binary = _rabbitmq()
    assert binary is not None
    port, distribution_port, mapper_port = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="qaservice-rabbitmq-") as folder:
        home = Path(folder)
        (home / "enabled_plugins").write_text("[].")
        environment = {
            **os.environ,
            "HOME": folder,
            "RABBITMQ_NODENAME": f"qaservice-{os.getpid()}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "no-such-file"),
            "RABBITMQ_CONFIG_FILE": str(home / "no-such-file"),
            # Erlang's port mapper is a daemon that outlives its node: ours has its own port and is told to go.
            "ERL_EPMD_PORT": str(mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        log = (home / "output").open("wb")
        process = subprocess.Popen([binary], env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for_port(port, process=process, log=home / "output", seconds=90)
            yield f"amqp://guest:guest@127.0.0.1:{port}//"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            subprocess.run(["epmd", "-port", str(mapper_port), "-kill"], capture_output=True, check=False)
            log.close()


def _wait_for_port(port: int, *, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise RuntimeError(f"it ended at once: {log.read_text(errors='replace')[-500:]}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError(f"it did not answer within {seconds:.0f} seconds")


def _must(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(command[-1]).name}: {(done.stderr or done.stdout).strip()[-500:]}")


def _rabbitmq() -> Path | None:
    return RABBITMQ if RABBITMQ.exists() else None


def _provide(
    stack: ExitStack,
    found: Servers,
    variable: str,
    title: str,
    binaries: Callable[[], Path | None],
    start: Callable[[], object],
) -> None:
    if url := os.environ.get(variable):
        print(f"{title}: the one that {variable} names", flush=True)
        found.environment[variable] = url
        return
    if binaries() is None:
        found.absent.append(f"{title} is not here: its tests are not run (install it, or set {variable})")
        return
    began = time.monotonic()
    try:
        url = stack.enter_context(start())  # type: ignore[arg-type]  # a context manager of a URL
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        found.absent.append(f"{title} did not start, its tests are not run: {error}")
        return
    print(f"{title}: a private one, started in {time.monotonic() - began:.1f} s", flush=True)
    found.environment[variable] = url
