#!/usr/bin/env python3
"""The demo behind tools/run: a gateway and a sink on loopback, and a thousand messages.

Everything it writes is in demo/ of the checkout, made anew at each start. The exit code is 0 only
when every acknowledged message reached the sink exactly once.
"""

import argparse
import fcntl
import json
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / "demo"
MESSAGES = 1000
START_SECONDS_MAX = 30
LOAD_SECONDS_MAX = 120
DELIVERY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
SOCKET_PATH_BYTES_MAX = 100  # The kernel's limit is 107.
LOGIN = "mailer@acme.test"


class DemoFailure(Exception):
    pass


class Program:
    """A child whose output goes to a log in demo/, and which is stopped with SIGTERM."""

    def __init__(self, name, arguments, ready_word):
        self.name, self.log, self.ready_line = name, HOME / f"{name}.log", None
        self._ready = threading.Event()
        # Its own session: Ctrl-C is for the demo, which stops its children in the right order.
        self.process = subprocess.Popen([str(part) for part in arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self._reader = threading.Thread(target=self._read, args=(ready_word,), daemon=True)
        self._reader.start()
        self._ready.wait(START_SECONDS_MAX)
        if self.ready_line is None:
            self.stop()
            said = self.log.read_text().strip() or "nothing"
            raise DemoFailure(f"{name} did not start; it said: {said[-2000:]}")

    def _read(self, ready_word):
        with self.log.open("w") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                if self.ready_line is None and line.split()[:1] == [ready_word]:
                    self.ready_line = line.strip()
                    self._ready.set()
        self._ready.set()  # It ended; nobody needs to wait any longer.

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(STOP_SECONDS_MAX)
        return self.process.returncode


def program_path(folder, name):
    path = ROOT / "build/src/program" / folder / name
    if not path.exists():
        raise DemoFailure(f"{path.relative_to(ROOT)} is not built: use tools/run")
    return path


def make_home():
    HOME.mkdir(exist_ok=True)
    lock = (HOME / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DemoFailure("another demo of this checkout is running") from None
    for entry in HOME.iterdir():
        if entry.name == ".lock":
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return lock


def openssl(*arguments, text=None):
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoFailure(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def write_config(sink_address, password, socket_path):
    key, certificate = HOME / "gate.key", HOME / "gate.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=gate.demo.test", "-addext", "subjectAltName=DNS:gate.demo.test,DNS:localhost,IP:127.0.0.1",
            "-keyout", str(key), "-out", str(certificate))
    key.chmod(0o600)
    (HOME / "password").write_text(password + "\n")
    (HOME / "password").chmod(0o600)
    server = {
        "hostname": "gate.demo.test", "data_dir": "spool", "log_dir": "log", "policy": "policy.json",
        "tls": {"certificate": certificate.name, "key": key.name},
        "listeners": [
            {"name": "submission", "kind": "smtp", "listen": "127.0.0.1:0"},
            {"name": "submissions", "kind": "smtps", "listen": "127.0.0.1:0"},
        ],
        "admin": {"socket": str(socket_path)},
    }
    policy = {
        "routes": [{"match": "*", "relay": sink_address, "tls": "opportunistic"}],
        "tenants": [{
            "name": "acme", "company": "Acme",
            "domains": ["acme.test"], "authorized_senders": ["@acme.test"],
            "accounts": [{"login": LOGIN, "password": openssl("passwd", "-6", "-stdin", text=password + "\n")}],
        }],
    }
    (HOME / "spool").mkdir()
    (HOME / "log").mkdir()
    (HOME / "ebbgate.json").write_text(json.dumps(server, indent=2) + "\n")
    (HOME / "policy.json").write_text(json.dumps(policy, indent=2) + "\n")
    # curl sends it as it is, and a bare line feed is refused.
    (HOME / "message.eml").write_bytes(
        f"From: {LOGIN}\r\nTo: you@sink.test\r\nSubject: one by hand\r\n\r\nHello.\r\n".encode())


def listener_ports(socket_path):
    done = subprocess.run([program_path("ctl", "ebbgatectl"), "--socket", socket_path, "status", "--json"],
                          capture_output=True, text=True, timeout=START_SECONDS_MAX, check=False)
    if done.returncode != 0:
        raise DemoFailure(f"ebbgatectl status failed: {(done.stderr or done.stdout).strip()}")
    ports = {listener["name"]: listener["port"] for listener in json.loads(done.stdout)["listeners"]}
    if not {"submission", "submissions"} <= set(ports):
        raise DemoFailure(f"status names other listeners: {sorted(ports)}")
    return ports


def sink_totals():
    try:
        return json.loads((HOME / "sink.json").read_text())
    except (FileNotFoundError, ValueError):
        return {"messages": 0, "unique": 0, "duplicates": 0, "missing": MESSAGES}


def send_load(port):
    done = subprocess.run([program_path("source", "ebbgate-source"), "--target", f"127.0.0.1:{port}",
                           "--tls", "starttls", "--user", LOGIN, "--password-file", HOME / "password",
                           "--sender", LOGIN, "--messages", str(MESSAGES), "--sessions", "20",
                           "--per-connection", "10", "--size", "500-50000",
                           "--duration", str(LOAD_SECONDS_MAX), "--json"],
                          capture_output=True, text=True, timeout=LOAD_SECONDS_MAX + START_SECONDS_MAX, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise DemoFailure(f"ebbgate-source failed: {(done.stderr or done.stdout).strip()}") from None


def wait_for_delivery(acknowledged):
    began = time.monotonic()
    while time.monotonic() - began < DELIVERY_SECONDS_MAX:
        totals = sink_totals()
        if totals["unique"] >= acknowledged:
            break
        time.sleep(0.1)
    time.sleep(0.5)  # A duplicate would come late, and the sink writes its file five times a second.
    return sink_totals(), time.monotonic() - began


def report(load):
    acknowledged, latency = load["acknowledged"], load["latency_ms"]
    print(f"  accepted    {acknowledged} of {MESSAGES} over STARTTLS with AUTH: {load['rate']:.0f} messages/s, "
          f"{load['bytes'] / 1e6 / max(load['seconds'], 1e-3):.1f} MB/s")
    print(f"  latency     p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms, from MAIL to the final 250")
    totals, _ = wait_for_delivery(acknowledged)
    arrived, duplicates = totals["unique"], totals["duplicates"]
    good = acknowledged == MESSAGES and arrived == acknowledged and duplicates == 0
    if good:
        print(f"  delivered   acknowledged = delivered = {arrived}, duplicates 0")
    else:
        print(f"  DELIVERED   {arrived} of {acknowledged} acknowledged, duplicates {duplicates}, "
              f"refusals {load['refusals']}, network errors {load['network_errors']}; logs are in demo/")
    return good


def show_next_steps(ports, password, socket_path):
    print(f"""
Send one more, from another terminal in this folder:

  swaks --server 127.0.0.1:{ports['submission']} --tls --auth PLAIN \\
    --auth-user {LOGIN} --auth-password {password} \\
    --from {LOGIN} --to you@sink.test

  curl --cacert demo/gate.pem --url smtps://127.0.0.1:{ports['submissions']} \\
    --user {LOGIN}:{password} \\
    --mail-from {LOGIN} --mail-rcpt you@sink.test --upload-file demo/message.eml

Look inside:

  build/src/program/ctl/ebbgatectl --socket {socket_path} status

Configuration, logs and spool are in demo/. Ctrl-C stops everything.""", flush=True)


def watch(programs):
    seen = sink_totals()["messages"]
    while True:
        time.sleep(0.5)
        now = sink_totals()["messages"]
        if now > seen:
            print(f"  delivered   {now - seen} more", flush=True)
            seen = now
        for program in programs:
            if program.process.poll() is not None:
                raise DemoFailure(f"{program.name} ended with {program.process.returncode}: see demo/{program.name}.log")


def short_socket_path():
    path = HOME / "admin.sock"
    if len(str(path)) > SOCKET_PATH_BYTES_MAX:
        path = pathlib.Path(tempfile.mkdtemp(prefix="ebbgate-")) / "admin.sock"
    return path


def run(once, programs):
    password = secrets.token_urlsafe(12).replace("-", "a")  # No leading dash on a command line.
    socket_path = short_socket_path()
    sink = Program("sink", [program_path("sink", "ebbgate-sink"), "--listen", "127.0.0.1:0", "--expect",
                            MESSAGES, "--json", HOME / "sink.json"], "listening")
    programs.append(sink)
    write_config(sink.ready_line.split()[1], password, socket_path)
    gateway = Program("gateway", [program_path("daemon", "ebbgated"), "--config", HOME / "ebbgate.json"], "ready")
    programs.append(gateway)
    ports = listener_ports(socket_path)
    print(f"Ebbgate listens on 127.0.0.1:{ports['submission']} (STARTTLS) and "
          f"127.0.0.1:{ports['submissions']} (TLS); its next hop is a sink on {sink.ready_line.split()[1]}.")
    print(f"Sending {MESSAGES} messages of 500 to 50000 bytes ...", flush=True)
    good = report(send_load(ports["submission"]))
    if not once:
        show_next_steps(ports, password, socket_path)
        try:
            watch(programs)
        except KeyboardInterrupt:
            print("\nStopping.", flush=True)
    return good


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description="starts a gateway and a sink on loopback and sends mail through them")
    parser.add_argument("--once", action="store_true", help="end after the thousand messages")
    once = parser.parse_args().once
    signal.signal(signal.SIGTERM, interrupt)
    programs, good, lock = [], False, None
    try:
        lock = make_home()  # Held until the end: one demo a checkout.
        good = run(once, programs)
    except DemoFailure as fault:
        print(f"demo: {fault}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopping before the end.", file=sys.stderr)
    for program in reversed(programs):  # The gateway first: it drains to the sink.
        code = program.stop()
        if program.name == "gateway" and code != 0:
            print(f"demo: the gateway ended with {code}: see demo/gateway.log", file=sys.stderr)
            good = False
    if lock is not None:
        lock.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
