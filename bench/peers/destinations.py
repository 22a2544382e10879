#!/usr/bin/env python3
"""Relay to many destinations with 20 ms of delay, one in ten dead, against relay to one without (TARGETS.md E2).

Usage: destinations.py [--messages N] [--reps N] [--peers BENCH_PEERS_FOLDER]. EBBGATE_BUILD names the build folder. Each destination is
an address of its own in 127.0.0.0/8 behind ebbgate-delay; dead ones have no listener. The rate is that of the live messages, from the
first connection of the generator to the last message at the sink. With --peers Postfix takes the same (a tenth of the messages, 500
delivery processes). CPU milliseconds a live message: of the server, and of the rig (generator, relays, sink), which has the same cores.
Runs alternate; medians are printed.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import tempfile
import time

import bench as peers_bench

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("EBBGATE_BUILD", ROOT / "build-release"))
SMTP, SINK, DEAD = 2611, 2625, 2627
FAR = [2631, 2632]  # One relay for each: a connection costs it two files, and a process may have 20,000 here and there.
POSTFIX_DELIVERIES = 500


def program(name):
    return str(BUILD / "src/program" / {"ebbgated": "daemon", "ebbgatectl": "ctl", "ebbgate-source": "source",
                                       "ebbgate-sink": "sink", "ebbgate-delay": "delay"}[name] / name)


def routes(domains, far, dead_every):
    """Domain, address and port of each destination."""
    for number in range(domains):
        is_dead = dead_every and number % dead_every == dead_every - 1
        yield (f"d{number}.sink.test", f"127.{20 + number // 60_000}.{number // 240 % 250}.{1 + number % 240}",
               DEAD if is_dead else FAR[number % len(FAR)] if far else SINK)


def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(*command):
    """A program that says a line when it is ready."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout.readline(), command
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()  # The sink's result, a figure for each address, fills a pipe that nobody reads.


class Ebbgate:
    port = SMTP

    def __init__(self, stack, wanted, delivery):
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ebbgate-destinations-")))
        (self.folder / "ebbgate.json").write_text(json.dumps({
            "hostname": "relay.test", "shards": 2, "data_dir": "data", "log_dir": "log", "policy": "policy.json",
            "listeners": [{"name": "smtp", "kind": "smtp", "listen": f"127.0.0.1:{SMTP}"}],
            "admin": {"socket": "admin.sock"}, "limits": {"max_connections_per_ip": 100000}}))
        (self.folder / "policy.json").write_text(json.dumps({
            "routes": [{"match": domain, "relay": f"{address}:{port}"} for domain, address, port in wanted],
            "delivery": {"retry": {"first": "1h", "max": "4h"}, **delivery},
            "tenants": [{"name": "bench", "domains": ["source.test"], "authorized_senders": ["@source.test"],
                         "check_header_from": False, "relay_hosts": ["127.0.0.0/8"]}]}))
        self.process = stack.enter_context(running(program("ebbgated"), "--config", str(self.folder / "ebbgate.json")))

    def is_done(self, live):
        shown = subprocess.run([program("ebbgatectl"), "--socket", str(self.folder / "admin.sock"), "status", "--json"],
                               capture_output=True, text=True, check=True)
        return json.loads(shown.stdout)["mail"]["delivered"] >= live

    def cpu(self):
        return cpu_of(self.process.pid)

    def peak_mib(self):
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text()).group(1)) // 1024


class Postfix:
    def __init__(self, stack, peers, wanted):
        os.environ["BP_PF_OUT"] = str(POSTFIX_DELIVERIES)
        self.bench = peers_bench.load_bench(peers)
        self.peer = self.bench.Postfix()
        self.port = self.peer.port
        main_cf = self.bench.fill
        with_routes = "transport_maps = texthash:/etc/postfix/transport\nsmtp_connect_timeout = 5s\n"
        self.bench.fill = lambda name, words: main_cf(name, words) + (with_routes if name.endswith("main.cf.in") else "")
        self.bench.wr(self.peer.root + "/etc/postfix/transport",
                      "".join(f"{domain} smtp:[{address}]:{port}\n" for domain, address, port in wanted), 0o644)
        stack.callback(self.peer.stop)
        self.peer.start("relay")
        self.before = self.peer.cg.cpu()

    def is_done(self, live):
        queue = self.peer.root + "/var/spool/postfix/"
        return not any(files for name in ("incoming", "active", "maildrop") for _, _, files in os.walk(queue + name))

    def cpu(self):
        return self.peer.cg.cpu() - self.before

    def peak_mib(self):
        return self.peer.cg.mem()[0] // 2**20


def run(domains, messages, far, dead_every, delivery=None, peers=None):
    """Live messages a second and CPU milliseconds a live message, of the server and of what measures it."""
    live = messages if not dead_every else sum(1 for n in range(messages) if n % domains % dead_every != dead_every - 1)
    wanted = list(routes(domains, far, dead_every))
    with contextlib.ExitStack() as stack:
        rig = [stack.enter_context(running(program("ebbgate-sink"), "--listen", f"0.0.0.0:{SINK}", "--seconds", "300"))]
        rig += [stack.enter_context(running(program("ebbgate-delay"), "--relay", f"0.0.0.0:{port}=same:{SINK}", "--delay", "10ms",
                                            "--seconds", "300")) for port in (FAR if far else ())]
        server = Postfix(stack, peers, wanted) if peers else Ebbgate(stack, wanted, delivery or {})
        began = time.monotonic()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        source = subprocess.run([program("ebbgate-source"), "--target", f"127.0.0.1:{server.port}", "--messages", str(messages),
                                 "--sessions", "50", "--per-connection", "20", "--size", "4096", "--domains",
                                 str(domains), "--json"], capture_output=True, text=True, check=True)
        submitted = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        generator = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        while not server.is_done(live):
            assert time.monotonic() - began < 240
            time.sleep(0.05)
        took = time.monotonic() - began
        assert json.loads(source.stdout.splitlines()[-1])
        return {"rate": live / took, "submit": messages / submitted, "server_cpu_ms": server.cpu() * 1000 / live,
                "rig_cpu_ms": (generator + sum(cpu_of(one.pid) for one in rig)) * 1000 / live, "peak_mib": server.peak_mib()}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--messages", type=int, default=30_000)
    options.add_argument("--reps", type=int, default=3)
    options.add_argument("--peers")
    given = options.parse_args()
    cases = {"1 near": (1, False, 0), "10,000 near": (10_000, False, 0), "1 far": (1, True, 0), "10 far": (10, True, 0),
             "10,000 far": (10_000, True, 0), "10,000 far, one in ten dead": (10_000, True, 10)}
    seen = {}
    for _ in range(given.reps):
        for name, (domains, far, dead) in cases.items():
            for peers in {None, given.peers}:
                label = f"{name}, Postfix" if peers else name
                seen.setdefault(label, []).append(run(domains, given.messages // (10 if peers else 1), far, dead, peers=peers))
                print(label, {key: round(value, 3) for key, value in seen[label][-1].items()}, flush=True)
    for name, runs in seen.items():
        print(f"{name:40} " + "  ".join(f"{key} {statistics.median(one[key] for one in runs):9.3f}" for key in runs[0]))


if __name__ == "__main__":
    main()
