"""The chains that are compared: how each is started, and where its first program listens.

Each chain goes from a caller's port to the backend's. Where there is a tunnel, the end at the
service dials, and a scenario may put a slow or long link between the two ends.
"""

import dataclasses
import ssl
from typing import Callable

from lib.backends import HOST, ask, nginx
from lib.procs import Failed, files_max, free_port, until


@dataclasses.dataclass
class Link:
    """What lies between the two ends of a tunnel, played by `load relay`."""
    bytes_per_second: int = 0
    round_trip_ms: float = 0

    def to(self, stage, tools, port, listen="127.0.0.1:0"):
        """Starts the link, and returns the port to dial instead."""
        group = stage.start("link", [
            tools.load, "relay", f"--listen={listen}", f"--to=127.0.0.1:{port}",
            f"--rate={self.bytes_per_second}", f"--delay-ms={self.round_trip_ms / 2}"], "backend")
        return int(stage.said(group, r"listening (\d+)"))


class NoLink:
    """The ends are on one machine, as everything else."""

    @staticmethod
    def to(_stage, _tools, port, listen=None):
        del listen
        return port


@dataclasses.dataclass
class Chain:
    """A running chain: its first port, and the processes that count as its cost."""
    port: int
    groups: list
    # Starts another agent that registers these hosts; None where a peer cannot.
    add_agent: Callable | None = None
    tls: ssl.SSLContext | None = None
    headers: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Peer:
    name: str
    start: Callable
    needs: list
    # What it is, for the report.
    about: str
    default: bool = True
    streams: bool = True
    # Carries `/small` alone, so it is measured in these scenarios only; all where empty.
    only: tuple = ()


def direct(stage, tools, backend, link):
    return Chain(link.to(stage, tools, backend), [])


PROXY = """upstream next {{ server 127.0.0.1:{next}; keepalive 512; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port} backlog=4096 {ssl}; {certificate}
  location / {{ proxy_pass {scheme}://next; proxy_http_version 1.1;
  proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $upgrade_or_nothing; proxy_read_timeout 600s;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_request_buffering off;
  proxy_buffering {buffering}; }} }}"""


def nginx_chain(stage, tools, backend, link, buffering="off", tls=False):
    hop2, hop1 = free_port(), free_port()
    certificate = ""
    if tls:
        make_certificate(stage, tools)
        certificate = (f"ssl_certificate {stage.folder}/cert.pem; "
                       f"ssl_certificate_key {stage.folder}/key.pem;")
    plain = {"ssl": "", "certificate": "", "scheme": "http", "buffering": buffering}
    second = PROXY.format(port=hop2, next=backend,
                          **plain | {"ssl": "ssl" if tls else "", "certificate": certificate})
    groups = [nginx(stage, "hop2", second)]
    stage.listening(groups[0], hop2)
    dialled = link.to(stage, tools, hop2)
    first = PROXY.format(port=hop1, next=dialled,
                         **plain | {"scheme": "https" if tls else "http"})
    groups.insert(0, nginx(stage, "hop1", first))
    stage.listening(groups[0], hop1)
    return Chain(hop1, groups)


def nginx_buffered(stage, tools, backend, link):
    return nginx_chain(stage, tools, backend, link, buffering="on")


def nginx_tls(stage, tools, backend, link):
    return nginx_chain(stage, tools, backend, link, tls=True)


HAPROXY = """
global
  maxconn {most}
  nbthread 1
defaults
  mode http
  option http-keep-alive
  http-reuse always
  option forwardfor
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout tunnel 600s
listen hop
  bind 127.0.0.1:{port} backlog 4096
  server next 127.0.0.1:{next}
"""


def bare(stage, tools, backend, link):
    ingress = stage.start("ingress", [tools.load, "bare"])
    port = int(stage.said(ingress, r"callers (\d+)"))
    dialled = link.to(stage, tools, int(stage.said(ingress, r"agents (\d+)")))
    agent = stage.start("agent", [tools.load, "bare", f"--tunnel=127.0.0.1:{dialled}",
                                  f"--service=127.0.0.1:{backend}"])
    return Chain(port, [ingress, agent])


def haproxy_chain(stage, tools, backend, link):
    def hop(name, port, following):
        config = stage.folder / f"{name}.haproxy"
        config.write_text(HAPROXY.format(
            port=port, next=following, most=min(16000, files_max() // 2 - 100)))
        group = stage.start(name, [tools.find("haproxy"), "-db", "-f", config])
        stage.listening(group, port)
        return group
    hop2, hop1 = free_port(), free_port()
    second = hop("hop2", hop2, backend)
    return Chain(hop1, [hop("hop1", hop1, link.to(stage, tools, hop2)), second])


def start_ingress(stage, tools, *words):
    """The process and its ports for callers and for agents."""
    ingress = stage.start("ingress", [
        tools.mesh, "server", "--bind=127.0.0.1", "--alb-port=0", "--health-port=0",
        "--websocket-port=0", "--log-level=error", "--max-connections-per-address=20000",
        *words, *tools.ingress_args])
    port = int(stage.said(ingress, r"listening traffic \S*:(\d+)"))
    return ingress, port, int(stage.said(ingress, r"listening tunnels \S*:(\d+)"))


def start_agent(stage, tools, backend, endpoint, hosts, *words):
    return stage.start("agent", [
        tools.mesh, "client", f"--ingress-endpoint={endpoint}", "--host=" + ",".join(hosts),
        f"--local-endpoint=http://127.0.0.1:{backend}", "--health-check-path=/small",
        "--log-level=error", *words, *tools.agent_args])


def mesh(stage, tools, backend, link, tls_ports=None):
    words, agent_words, dial, tls = [], [], "ws://127.0.0.1", None
    if tls_ports:
        make_certificate(stage, tools)
        words = [f"--tls-cert={stage.folder}/cert.pem", f"--tls-key={stage.folder}/key.pem",
                 f"--tls-ports={tls_ports}"]
        agent_words = [f"--ca-file={stage.folder}/ca.pem"]
        dial = "wss://localhost"
    if tls_ports == "both":
        tls = ssl.create_default_context(cafile=f"{stage.folder}/ca.pem")
    ingress, port, tunnels = start_ingress(stage, tools, *words)
    dialled = link.to(stage, tools, tunnels)

    def add_agent(hosts):
        return start_agent(stage, tools, backend, f"{dial}:{dialled}", hosts, *agent_words)
    return Chain(port, [ingress, add_agent([HOST])], add_agent, tls)


def mesh_wss(stage, tools, backend, link):
    return mesh(stage, tools, backend, link, tls_ports="websocket")


def mesh_tls(stage, tools, backend, link):
    return mesh(stage, tools, backend, link, tls_ports="both")


def make_certificate(stage, tools):
    """ca.pem, cert.pem and key.pem for localhost, in the stage's folder."""
    if not (stage.folder / "cert.pem").exists():
        stage.run([tools.load, "certificate", stage.folder], 10)


def answering(chain, path="/small"):
    """Waits until requests come through to the backend."""
    def look():
        for group in chain.groups:
            group.check()
        try:
            return ask(chain.port, "GET", path, tls=chain.tls)[0] == 200
        except Failed:
            return False
    until(look, "no answer came through the chain")
