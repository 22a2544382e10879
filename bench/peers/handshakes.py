#!/usr/bin/env python3
"""S4-50-1 with ebbgate-source in place of the bench's generator, whose one thread of OpenSSL is the limit there.

Usage: handshakes.py BENCH_PEERS_FOLDER [--reps N] [--per-connection N] [--postfix N] [--ebbgate N]. Alternating runs; a
line of JSON each, then the medians. STARTTLS with a full handshake and AUTH PLAIN on each connection, 50 sessions,
4 KiB, no pipelining, delivery held. EBBGATE_BUILD as for bench.py.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import bench as ours


def run(peer, source, password, count, per_connection):
    before, children = peer.cg.cpu(), os.times()
    done = subprocess.run([source, "--target", f"127.0.0.1:{peer.port}", "--sessions", "50", "--messages", str(count),
                           "--per-connection", str(per_connection), "--size", "4096", "--tls", "starttls",
                           "--user", "load", "--password-file", password, "--sender", "load@relay.test",
                           "--no-pipelining", "--json"], capture_output=True, text=True, check=True)
    after = os.times()
    result = json.loads(done.stdout.splitlines()[-1])
    generator = after.children_user + after.children_system - children.children_user - children.children_system
    return {"peer": peer.name, "rate": result["rate"], "acknowledged": result["acknowledged"], "wanted": count,
            "p99_ms": result["latency_ms"]["p99"], "peer_cpu_s_per_1000": round((peer.cg.cpu() - before) / count * 1000, 3),
            "generator_cpu_s_per_1000": round(generator / count * 1000, 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--per-connection", type=int, default=1)
    parser.add_argument("--postfix", type=int, default=2000)
    parser.add_argument("--ebbgate", type=int, default=12000)
    chosen = parser.parse_args()
    bench = ours.load_bench(chosen.folder)
    bench.PEERS["ebbgate"] = ours.make_peer(bench)
    source = ours.BUILD / "src/program/source/ebbgate-source"
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        password = pathlib.Path(folder) / "password"
        password.write_text("secret")
        for _ in range(chosen.reps):
            for name in ("postfix", "ebbgate"):
                peer = bench.PEERS[name]()
                with bench.Lock():
                    peer.stop()
                    peer.start("hold,auth", 50)
                    try:
                        time.sleep(1)
                        run(peer, source, password, 200, chosen.per_connection)  # Warm.
                        runs.append(run(peer, source, password, getattr(chosen, name), chosen.per_connection))
                    finally:
                        peer.stop()
                print(json.dumps(runs[-1]), flush=True)
    if any(one["acknowledged"] != one["wanted"] for one in runs):
        raise SystemExit("not every message was acknowledged")
    median = {name: statistics.median(one["rate"] for one in runs if one["peer"] == name)
              for name in ("postfix", "ebbgate")}
    print(json.dumps({"median": median, "ratio": round(median["ebbgate"] / median["postfix"], 2)}))


if __name__ == "__main__":
    main()
