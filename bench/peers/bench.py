#!/usr/bin/env python3
"""Ebbgate as one more peer of the comparison bench (bench-peers): same load, sink, message and counting.

Usage: bench.py BENCH_PEERS_FOLDER [arguments of its bench.py], with `ebbgate` among --peers. EBBGATE_BUILD names the
build folder (default: build-release beside this checkout's meson.build).
"""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("EBBGATE_BUILD", ROOT / "build-release"))
PORT, TLS_PORT, SINK_PORT = 2511, 2512, 2525


def load_bench(folder):
    spec = importlib.util.spec_from_file_location("peers_bench", pathlib.Path(folder) / "bench.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_peer(bench):
    class Ebbgate(bench.Peer):
        """Always durable: 250 after the commit. Events and text log are written, passwords are sha512crypt."""

        name, port = "ebbgate", PORT

        def __init__(self):
            super().__init__()
            self.root = bench.ROOT + "/ebbgate"

        def start(self, mode, conc=50):
            shutil.rmtree(self.root, ignore_errors=True)
            os.makedirs(self.root)
            keys = self.keys()
            config = {
                "hostname": "relay.test", "shards": int(os.environ.get("EBBGATE_SHARDS", "2")),
                "data_dir": "data", "log_dir": "log", "policy": "policy.json",
                "tls": {"certificate": keys + "/tls.crt", "key": keys + "/tls.key"},
                "listeners": [{"name": "smtp", "kind": "smtp", "listen": f"127.0.0.1:{PORT}"}],
                "admin": {"socket": "admin.sock"},
                "limits": {"max_connections_per_ip": 100000},
            }
            hashed = subprocess.run(["openssl", "passwd", "-6", "secret"], capture_output=True, text=True, check=True)
            policy = {
                "routes": [{"match": "*", "relay": "hold" if "hold" in mode else f"127.0.0.1:{SINK_PORT}"}],
                "delivery": {"connections_per_destination": int(os.environ.get("EBBGATE_OUT", "20"))},
                "tenants": [{"name": "bench", "accounts": [{"login": "load", "password": hashed.stdout.strip()}],
                             "domains": ["from.test", "relay.test"],
                             "authorized_senders": ["@from.test", "@relay.test"],
                             "relay_hosts": [] if "auth" in mode else ["127.0.0.0/8"]}],
            }
            if "dkim" in mode:
                key = self.root + "/dkim.key"
                shutil.copy(keys + "/dkim.key", key)
                os.chmod(key, 0o600)
                policy["tenants"][0]["dkim"] = [{"domain": "from.test", "selector": "s1", "key": key}]
            for name, value in (("ebbgate.json", config), ("policy.json", policy)):
                bench.wr(f"{self.root}/{name}", json.dumps(value))
            self.spawn([str(BUILD / "src/program/daemon/ebbgated"), "--config", self.root + "/ebbgate.json"])
            self.wait_port()

        def queue_count(self):
            done = subprocess.run([str(BUILD / "src/program/ctl/ebbgatectl"), "--socket", self.root + "/admin.sock",
                                   "status", "--json"], capture_output=True, text=True, check=True)
            queue = json.loads(done.stdout)["queue"]
            return queue["held"] + queue["ready"] + queue["deferred"] + queue["in_flight"]

    return Ebbgate


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = sys.argv.pop(1)
    bench = load_bench(folder)
    bench.PEERS["ebbgate"] = make_peer(bench)
    # Its main block, run with our peer in the table.
    source = (pathlib.Path(folder) / "bench.py").read_text()
    main_block = source[source.index('if __name__ == "__main__":'):]
    exec(compile(main_block.replace('if __name__ == "__main__":', "if True:", 1), "bench.py", "exec"), bench.__dict__)  # noqa: S102


if __name__ == "__main__":
    main()
