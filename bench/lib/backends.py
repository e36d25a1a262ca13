"""The services behind the chains: nginx with files, or our own program for what needs answers."""

import http.client
import os
import pathlib

from lib.procs import Failed, files_max, free_port

HOST = "bench.localhost"
SMALL = b"a small answer of about sixty bytes, as many services give it..\n"
FILES = {"10k": 10 << 10, "100m": 100 << 20}

NGINX = """
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log;
worker_rlimit_nofile {files}; events {{ worker_connections 12288; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_max_body_size 0; client_body_temp_path {folder}/{name}.body;
  proxy_temp_path {folder}/{name}.temp; fastcgi_temp_path {folder}/{name}.f;
  uwsgi_temp_path {folder}/{name}.u; scgi_temp_path {folder}/{name}.s;
  map $http_upgrade $upgrade_or_nothing {{ default upgrade; '' ''; }}
  {body}
}}
"""
SERVICE = """server {{ listen 127.0.0.1:{port} backlog=4096; root {files};
  location = /small {{ return 200 "{small}\\n"; }} }}"""


def make_files(folder, sizes=None):
    """Files of random bytes, since a link that compresses must not look fast."""
    for name, size in (sizes or FILES).items():
        path = pathlib.Path(folder, name)
        if not path.exists() or path.stat().st_size != size:
            path.write_bytes(os.urandom(size))
            path.chmod(0o644)


def nginx(stage, name, body, role="chain"):
    config = stage.folder / f"{name}.conf"
    config.write_text(NGINX.format(folder=stage.folder, name=name, body=body, files=files_max()))
    return stage.start(name, ["nginx", "-e", stage.folder / f"{name}.err", "-c", config], role)


def files_backend(stage, tools):
    """nginx with the files of the run: sendfile and keep-alive."""
    port = free_port()
    small = SMALL.decode().rstrip("\n")
    body = SERVICE.format(port=port, files=tools.files, small=small)
    stage.listening(nginx(stage, "backend", body, "backend"), port)
    return port


def load_backend(stage, tools):
    """Our own service: uploads, server-sent events, WebSocket echo."""
    group = stage.start("backend", [tools.load, "backend"], "backend")
    return int(stage.said(group, r"listening (\d+)"))


BACKENDS = {"files": files_backend, "load": load_backend}


def ask(port, method, path, body=None, host=HOST, tls=None):
    """One request on a connection of its own: status and body."""
    if tls:
        connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=tls)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Host": host})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()
