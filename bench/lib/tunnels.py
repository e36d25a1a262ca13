"""The other reverse tunnels, started as their documents show it, each with its own defaults."""

from lib.backends import HOST
from lib.peers import Chain
from lib.procs import free_port


def rathole(stage, tools, backend, link):
    control, port = free_port(), free_port()
    server, client = stage.folder / "rathole-server.toml", stage.folder / "rathole-client.toml"
    server.write_text(
        f'[server]\nbind_addr = "127.0.0.1:{control}"\ndefault_token = "bench"\n'
        f'[server.services.web]\nbind_addr = "127.0.0.1:{port}"\n')
    first = stage.start("server", [tools.find("rathole"), "--server", server])
    stage.listening(first, control)
    dialled = link.to(stage, tools, control)
    client.write_text(
        f'[client]\nremote_addr = "127.0.0.1:{dialled}"\ndefault_token = "bench"\n'
        f'[client.services.web]\nlocal_addr = "127.0.0.1:{backend}"\n')
    second = stage.start("client", [tools.find("rathole"), "--client", client])
    stage.listening(first, port)
    return Chain(port, [first, second])


# bore's control port cannot be chosen; the address can.
BORE_CONTROL = 7835


def bore(stage, tools, backend, link):
    server = stage.start("server", [
        tools.find("bore"), "server", "--bind-addr=127.0.0.1", "--bind-tunnels=127.0.0.1"])
    stage.listening(server, BORE_CONTROL)
    link.to(stage, tools, BORE_CONTROL, listen=f"127.0.0.2:{BORE_CONTROL}")
    to = "127.0.0.1" if type(link).__name__ == "NoLink" else "127.0.0.2"
    port = free_port()
    client = stage.start("client", [
        tools.find("bore"), "local", backend, f"--to={to}", f"--port={port}"])
    stage.listening(server, port)
    return Chain(port, [server, client])


def frp(stage, tools, backend, link, kind="http"):
    control, port = free_port(), free_port()
    server = stage.folder / "frps.toml"
    vhost = f"vhostHTTPPort = {port}\n" if kind == "http" else ""
    server.write_text(f'bindAddr = "127.0.0.1"\nproxyBindAddr = "127.0.0.1"\n'
                      f'bindPort = {control}\n{vhost}log.level = "error"\n')
    first = stage.start("server", [tools.find("frps"), "-c", server])
    stage.listening(first, control)
    dialled = link.to(stage, tools, control)

    def add_agent(hosts):
        names = ", ".join(f'"{host}"' for host in hosts)
        where = f"customDomains = [{names}]" if kind == "http" else f"remotePort = {port}"
        config = stage.folder / f"frpc-{len(stage.groups)}.toml"
        config.write_text(
            f'serverAddr = "127.0.0.1"\nserverPort = {dialled}\nlog.level = "error"\n'
            f'[[proxies]]\nname = "{hosts[0]}"\ntype = "{kind}"\n'
            f'localIP = "127.0.0.1"\nlocalPort = {backend}\n{where}\n')
        return stage.start("client", [tools.find("frpc"), "-c", config])
    second = add_agent([HOST])
    stage.listening(first, port)
    return Chain(port, [first, second], add_agent if kind == "http" else None)


def frp_tcp(stage, tools, backend, link):
    return frp(stage, tools, backend, link, kind="tcp")


def chisel(stage, tools, backend, link):
    control, port = free_port(), free_port()
    server = stage.start("server", [
        tools.find("chisel"), "server", "--reverse", "--host=127.0.0.1", f"--port={control}"])
    stage.listening(server, control)
    dialled = link.to(stage, tools, control)
    client = stage.start("client", [
        tools.find("chisel"), "client", f"http://127.0.0.1:{dialled}",
        f"R:127.0.0.1:{port}:127.0.0.1:{backend}"])
    stage.listening(server, port)
    return Chain(port, [server, client])


def wstunnel(stage, tools, backend, link):
    control, port = free_port(), free_port()
    program = [tools.find("wstunnel"), "--log-lvl=ERROR"]
    server = stage.start("server", [*program, "server", f"ws://127.0.0.1:{control}"])
    stage.listening(server, control)
    dialled = link.to(stage, tools, control)
    client = stage.start("client", [
        *program, "client", f"--remote-to-local=tcp://127.0.0.1:{port}:127.0.0.1:{backend}",
        f"ws://127.0.0.1:{dialled}"])
    stage.listening(server, port)
    return Chain(port, [server, client])


def piko(stage, tools, backend, link):
    port, tunnels, admin, gossip, agent_port = (free_port() for _ in range(5))
    server = stage.start("server", [
        tools.find("piko"), "server", f"--proxy.bind-addr=127.0.0.1:{port}",
        f"--upstream.bind-addr=127.0.0.1:{tunnels}", f"--admin.bind-addr=127.0.0.1:{admin}",
        f"--cluster.gossip.bind-addr=127.0.0.1:{gossip}", "--log.level=error",
        "--proxy.access-log=false", "--usage.disable"])
    stage.listening(server, tunnels)
    dialled = link.to(stage, tools, tunnels)
    # The first label of the host names the endpoint.
    agent = stage.start("agent", [
        tools.find("piko"), "agent", "http", HOST.split(".", maxsplit=1)[0], str(backend),
        f"--connect.url=http://127.0.0.1:{dialled}", f"--server.bind-addr=127.0.0.1:{agent_port}",
        "--log.level=error", "--access-log=false"])
    stage.listening(server, port)
    return Chain(port, [server, agent])
