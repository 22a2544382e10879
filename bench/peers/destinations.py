#!/usr/bin/env python3
"""Relay to many destinations with 20 ms of delay, one in ten dead, against relay to one without (TARGETS.md E2).

Usage: destinations.py [--messages N] [--reps N]. EBBGATE_BUILD names the build folder. Each destination is an address
of its own in 127.0.0.0/8 behind ebbgate-delay; dead ones have no listener. The rate is that of the live messages, from
the first connection of the generator to the last message at the sink. Runs alternate; medians are printed.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("EBBGATE_BUILD", ROOT / "build-release"))
SMTP, SINK, DEAD = 2611, 2625, 2627
FAR = [2631, 2632]  # One relay for each: a connection costs it two files, and a process may have 20,000 here and there.


def program(name):
    return str(BUILD / "src/program" / {"ebbgated": "daemon", "ebbgatectl": "ctl", "ebbgate-source": "source",
                                       "ebbgate-sink": "sink", "ebbgate-delay": "delay"}[name] / name)


def routes(domains, far, dead_every):
    made = []
    for number in range(domains):
        address = f"127.{20 + number // 60_000}.{number // 240 % 250}.{1 + number % 240}"
        is_dead = dead_every and number % dead_every == dead_every - 1
        made.append({"match": f"d{number}.sink.test", "relay": f"{address}:{DEAD if is_dead else FAR[number % len(FAR)] if far else SINK}"})
    return made


def run(domains, messages, far, dead_every, sessions=50, delivery=None):
    """Live messages a second, and the gateway's CPU seconds for 1,000 of them."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ebbgate-destinations-"))
    live = messages if not dead_every else sum(1 for n in range(messages) if n % domains % dead_every != dead_every - 1)
    (folder / "ebbgate.json").write_text(json.dumps({
        "hostname": "relay.test", "shards": 2, "data_dir": "data", "log_dir": "log", "policy": "policy.json",
        "listeners": [{"name": "smtp", "kind": "smtp", "listen": f"127.0.0.1:{SMTP}"}],
        "admin": {"socket": "admin.sock"}, "limits": {"max_connections_per_ip": 100000}}))
    (folder / "policy.json").write_text(json.dumps({
        "routes": routes(domains, far, dead_every), "delivery": {"retry": {"first": "1h", "max": "4h"}, **(delivery or {})},
        "tenants": [{"name": "bench", "domains": ["source.test"], "authorized_senders": ["@source.test"],
                     "check_header_from": False, "relay_hosts": ["127.0.0.0/8"]}]}))
    sink = subprocess.Popen([program("ebbgate-sink"), "--listen", f"0.0.0.0:{SINK}", "--seconds", "300"],
                            stdout=subprocess.PIPE, text=True)
    sink.stdout.readline()
    started = [sink]
    try:
        for port in FAR if far else ():
            delay = subprocess.Popen([program("ebbgate-delay"), "--relay", f"0.0.0.0:{port}=same:{SINK}", "--delay", "10ms",
                                      "--seconds", "300"], stdout=subprocess.PIPE, text=True)
            delay.stdout.readline()
            started.append(delay)
        gate = subprocess.Popen([program("ebbgated"), "--config", str(folder / "ebbgate.json")], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
        started.append(gate)
        assert gate.stdout.readline() == "ready\n"

        def status():
            return json.loads(subprocess.run([program("ebbgatectl"), "--socket", str(folder / "admin.sock"), "status",
                                              "--json"], capture_output=True, text=True, check=True).stdout)
        began = time.monotonic()
        source = subprocess.run([program("ebbgate-source"), "--target", f"127.0.0.1:{SMTP}", "--messages", str(messages),
                                 "--sessions", str(sessions), "--per-connection", "20", "--size", "4096", "--domains",
                                 str(domains), "--json"], capture_output=True, text=True, check=True)
        submitted = time.monotonic() - began
        while status()["mail"]["delivered"] < live:
            assert time.monotonic() - began < 240, status()
            time.sleep(0.05)
        took = time.monotonic() - began
        fields = pathlib.Path(f"/proc/{gate.pid}/stat").read_text().rsplit(")", 1)[1].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        peak = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{gate.pid}/status").read_text()).group(1)) // 1024
        assert json.loads(source.stdout.splitlines()[-1])
        return {"rate": live / took, "submit": messages / submitted, "cpu_1000": cpu * 1000 / live, "peak_mib": peak}
    finally:
        for one in reversed(started):
            one.send_signal(signal.SIGTERM)
            one.communicate()  # The sink's result, a figure for each address, fills a pipe that nobody reads.
        subprocess.run(["rm", "-rf", str(folder)], check=False)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--messages", type=int, default=30_000)
    options.add_argument("--reps", type=int, default=3)
    given = options.parse_args()
    cases = {"1 near": (1, False, 0), "1 far": (1, True, 0), "10 far": (10, True, 0), "10,000 far": (10_000, True, 0),
             "10,000 far, one in ten dead": (10_000, True, 10)}
    seen = {name: [] for name in cases}
    for _ in range(given.reps):
        for name, (domains, far, dead) in cases.items():
            seen[name].append(run(domains, given.messages, far, dead))
            print(name, {key: round(value, 2) for key, value in seen[name][-1].items()}, flush=True)
    for name, runs in seen.items():
        print(f"{name:32} " + "  ".join(f"{key} {statistics.median(one[key] for one in runs):9.2f}" for key in runs[0]))


if __name__ == "__main__":
    main()
