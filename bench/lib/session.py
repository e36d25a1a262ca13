"""Runs scenarios: starts every chain, checks it, measures all of them round by round, stops all."""

import contextlib
import hashlib
import os
import random

from lib import catalogue
from lib.backends import BACKENDS, ask
from lib.measure import Run
from lib.peers import NoLink, answering
from lib.procs import Failed, Stage

UPLOAD = os.urandom(3 << 20)


def cores(pin, one_core):
    """Which cores client, backend and chain use, for taskset."""
    if one_core:
        return {"client": "0", "backend": "0", "chain": "0"}
    count = os.cpu_count() or 1
    if not pin or count < 2:
        return {}
    if count < 4:
        return {"client": "0", "backend": "0", "chain": f"1-{count - 1}"}
    return {"client": "0", "backend": "1", "chain": f"2-{count - 1}"}


def check(chain, backend, scenario, paths):
    """Refuses a chain that does not deliver the bytes that were sent."""
    if scenario.backend == "files":
        for path in paths:
            seen = [hashlib.sha256(body).hexdigest() for status, body in (
                ask(backend, "GET", path), ask(chain.port, "GET", path, tls=chain.tls))
                if status == 200]
            if len(seen) != 2 or len(set(seen)) != 1:
                raise Failed(f"{path} came damaged through the chain")
    else:
        status, said = ask(chain.port, "POST", "/digest", UPLOAD)
        if status != 200 or said.decode() != hashlib.sha256(UPLOAD).hexdigest():
            raise Failed(f"an upload came damaged through the chain: {status} {said[:80]!r}")


class Session:
    """What all scenarios of one run share."""

    def __init__(self, tools, peers, rounds, seconds, pin, seed, say):
        self.tools, self.peers, self.rounds, self.seconds = tools, peers, rounds, seconds
        self.pin, self.random, self.say = pin, random.Random(seed), say

    def peers_for(self, scenario):
        def fits(peer):
            return (peer.name not in scenario.skip
                    and (not peer.only or scenario.name in peer.only)
                    and (not scenario.peers or peer.name in scenario.peers)
                    and (peer.streams or scenario.backend == "files"))
        return [catalogue.BY_NAME[name] for name in self.peers
                if fits(catalogue.BY_NAME[name])]

    def run(self, scenario):
        """The figures of each round by peer, and why peers failed."""
        results = {"title": scenario.title, "peers": {}, "failed": {}}
        with contextlib.ExitStack() as stack:
            chains = self.start(scenario, results, stack)
            for number in range(min(self.rounds, scenario.rounds or self.rounds)):
                order = [name for name in chains if name not in results["failed"]]
                self.random.shuffle(order)
                for name in order:
                    run, chain = chains[name]
                    try:
                        found = scenario.measure(run, chain)
                        results["peers"][name].append(found)
                        self.say(f"{scenario.name} {number + 1} {name}")
                    except Failed as failure:
                        results["failed"][name] = f"round {number + 1}: {failure}"
        return results

    def start(self, scenario, results, stack):
        """Each chain with a backend of its own, so that none warms another's."""
        chains = {}
        for peer in self.peers_for(scenario):
            stage = stack.enter_context(Stage(cores(self.pin, scenario.one_core)))
            try:
                backend = BACKENDS[scenario.backend](stage, self.tools)
                chain = peer.start(stage, self.tools, backend, scenario.link or NoLink())
                answering(chain)
                check(chain, backend, scenario, ("/small",) if peer.only else scenario.checked)
            except Failed as failure:
                results["failed"][peer.name] = str(failure)
                continue
            chains[peer.name] = (Run(stage, self.tools, self.seconds, backend), chain)
            results["peers"][peer.name] = []
        return chains
