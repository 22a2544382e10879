#!/usr/bin/env python3
"""How long a start takes with a large queue in the spool, and what memory it leaves.

Usage: queue_restart.py SPOOL-DATA-DIR [--reps N] [--cold] [--messages N] [--domains N] [--daemon PATH]. Where the folder is absent, fill_queue
makes it: deferred messages (four of five) and new ones to so many domains, each with a route and so a lane of its own, which nobody
answers. A line of JSON for each start (kill -9 after it): seconds from exec to `ready`, its user and system time, VmRSS then and two
seconds later, VmHWM, what the queue says; then the medians. --cold drops the page cache before each (the segments are read with
O_DIRECT, so that is the program and the folders). EBBGATE_* as for the end-to-end tests.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "end_to_end"))
import gateway as programs  # noqa: E402


def memory(gateway):
    text = pathlib.Path(f"/proc/{gateway.process.pid}/status").read_text()
    return {key: int(text.split(key + ":")[1].split()[0]) * 1024 for key in ("VmRSS", "VmHWM")}


def cpu(gateway):
    fields = pathlib.Path(f"/proc/{gateway.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return [int(fields[at]) / os.sysconf("SC_CLK_TCK") for at in (11, 12)]


def run(gateway, messages, cold):
    if cold:
        os.sync()
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    begin = time.monotonic()
    started = subprocess.Popen([programs.DAEMON, "--config", gateway.folder / "ebbgate.json"], stdout=subprocess.PIPE,
                               stderr=gateway.errors, text=True)
    gateway.process = started
    line = started.stdout.readline()
    spent = time.monotonic() - begin
    assert line == "ready\n", (line, (gateway.folder / "stderr.txt").read_text())
    at_once, (user, system) = memory(gateway), cpu(gateway)
    time.sleep(2)
    later = memory(gateway)
    queue = gateway.status()["queue"]
    gateway.kill()
    return {"seconds": round(spent, 2), "user": user, "system": system, "rss": at_once["VmRSS"] / messages,
            "rss_later": later["VmRSS"] / messages, "most": at_once["VmHWM"] / messages,
            "waiting": queue["ready"] + queue["deferred"] + queue["in_flight"] + queue["held"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--daemon")
    chosen = parser.parse_args()
    programs.DAEMON = chosen.daemon or programs.DAEMON
    data = pathlib.Path(chosen.data).resolve()
    if not data.exists():
        (data / "spool").mkdir(parents=True, mode=0o700)
        subprocess.run([os.environ["EBBGATE_FILL_QUEUE"], data / "spool", "--messages", str(chosen.messages), "--domains",
                        str(chosen.domains), "--shards", str(chosen.shards)], check=True)
    routes = [{"match": f"d{number}.queue.test", "relay": f"127.0.0.77:{10_000 + number}"} for number in range(chosen.domains)]
    gateway = programs.Gateway(policy={"routes": routes}, shards=chosen.shards,
                               server={"data_dir": str(data), "spool": {"segment_size": "64MiB"}})
    (gateway.folder / "ebbgate.json").write_text(json.dumps(gateway.server))
    (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
    runs = []
    try:
        for _ in range(chosen.reps):
            runs.append(run(gateway, chosen.messages, chosen.cold))
            print(json.dumps(runs[-1]), flush=True)
    finally:
        gateway.close()
    print(json.dumps({"medians": {key: statistics.median(one[key] for one in runs) for key in runs[0]}}))


if __name__ == "__main__":
    main()
