"""The programs that a run uses: where they are, their versions, and how to get those missing."""

import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ROOT / "target/peers/bin"

HOW_TO_GET = {
    "nginx": "apt-get install nginx",
    "haproxy": "apt-get install haproxy",
    "wrk": "apt-get install wrk",
    "strace": "apt-get install strace",
    "taskset": "apt-get install util-linux",
    "ssh": "apt-get install openssh-client",
    "sshd": "apt-get install openssh-server",
    "rathole": "bench/peers.sh rathole",
    "bore": "bench/peers.sh bore",
    "frps": "bench/peers.sh frp",
    "frpc": "bench/peers.sh frp",
    "chisel": "bench/peers.sh chisel",
    "wstunnel": "bench/peers.sh wstunnel",
    "piko": "bench/peers.sh piko",
}


class Tools:
    """Paths of what this run uses, and the options that every scenario sees."""

    def __init__(self, mesh, load, files, ingress_args=(), agent_args=()):
        self.mesh, self.load, self.files = mesh, load, files
        self.ingress_args, self.agent_args = list(ingress_args), list(agent_args)

    @staticmethod
    def find(program):
        own = PEERS / program
        # sshd insists on being called by its whole path, and sbin is not in everybody's PATH.
        path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        return str(own) if own.exists() else shutil.which(program, path=path)

    @classmethod
    def missing(cls, programs):
        return [name for name in programs if not cls.find(name)]


def version(path, *words):
    """What a program says of its version, as one short line."""
    try:
        said = subprocess.run([path, *words], capture_output=True, text=True, timeout=10)
    except OSError:
        return "unknown"
    lines = (said.stdout + said.stderr).strip().splitlines()
    # rathole says first when and with what it was built.
    lines = [line for line in lines if re.search(r"\d+\.\d+", line)] or lines
    return lines[-1 if "rathole" in str(path) else 0].strip()[:100] if lines else "unknown"


VERSION_WORDS = {
    "nginx": ["-v"], "haproxy": ["-v"], "wrk": ["-v"], "rathole": ["--version"],
    "bore": ["--version"], "frps": ["--version"], "chisel": ["--version"], "piko": ["--version"],
    "wstunnel": ["--version"], "ssh": ["-V"],
}


def versions(tools):
    found = {name: version(path, *words) for name, words in VERSION_WORDS.items()
             if (path := tools.find(name))}
    found["mesh"] = version(tools.mesh, "--version")
    return found


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    return {
        "cpu": cpu[1].strip() if cpu else "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory[1]) // 1024,
        "kernel": pathlib.Path("/proc/sys/kernel/osrelease").read_text().strip(),
        "congestion_control": pathlib.Path(
            "/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "load_average": pathlib.Path("/proc/loadavg").read_text().split()[0],
    }


# Results are written while the next ones are measured, and make no other build.
RESULTS = "docs/performance"


def commit(root=ROOT):
    """The commit, and whether anything but results differs from it."""
    def git(*words):
        said = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
        return said.stdout.strip()

    name = git("describe", "--always")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".",
                  f":(exclude){RESULTS}", f":(exclude){RESULTS}.md")
    return (f"{name}-dirty" if changed else name) or "unknown"
