"""All peers by name."""

from lib import peers, tunnels
from lib.peers import Peer

ALL = [
    Peer("direct", peers.direct, [], "the backend alone"),
    Peer("nginx", peers.nginx_chain, ["nginx"], "two nginx, upstream keep-alive, unbuffered"),
    Peer("nginx-buffered", peers.nginx_buffered, ["nginx"], "the same with proxy_buffering on",
         default=False, streams=False),
    Peer("nginx-tls", peers.nginx_tls, ["nginx"], "two nginx with TLS between them",
         default=False),
    Peer("haproxy", peers.haproxy_chain, ["haproxy"], "two haproxy, one thread each"),
    Peer("mesh", peers.mesh, [], "ingress and agent, ws://"),
    Peer("mesh-wss", peers.mesh_wss, [], "ingress and agent, wss:// between them",
         default=False),
    Peer("mesh-tls", peers.mesh_tls, [],
         "ingress and agent, wss:// between them and https:// from the caller", default=False),
    Peer("bare", peers.bare, [], "a tunnel that only carries: its system calls and no more",
         only=("get-1", "get-50", "get-512", "get-new", "calls")),
    Peer("rathole", tunnels.rathole, ["rathole"], "TCP, one connection for each caller's"),
    Peer("bore", tunnels.bore, ["bore"], "TCP, one connection for each caller's"),
    Peer("frp", tunnels.frp, ["frps", "frpc"], "HTTP by host"),
    Peer("frp-tcp", tunnels.frp_tcp, ["frps", "frpc"], "TCP", default=False),
    Peer("chisel", tunnels.chisel, ["chisel"], "TCP over SSH over WebSocket"),
    Peer("wstunnel", tunnels.wstunnel, ["wstunnel"],
         "TCP, one WebSocket connection for each caller's"),
    Peer("piko", tunnels.piko, ["piko"], "HTTP by host over WebSocket"),
]
BY_NAME = {peer.name: peer for peer in ALL}
# What a run without its own word about peers measures; missing ones are named and left out.
DEFAULT = [peer.name for peer in ALL if peer.default]
TUNNELS = ["rathole", "bore", "frp", "frp-tcp", "chisel", "wstunnel", "piko"]
