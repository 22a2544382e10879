"""Starts the real programs on loopback ports for a test, and stops only what it started."""

import base64
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

DAEMON = os.environ["EBBGATE_DAEMON"]
CTL = os.environ["EBBGATE_CTL"]
SOURCE = os.environ["EBBGATE_SOURCE"]
SINK = os.environ["EBBGATE_SINK"]
PASSWORD = "correct horse"
# A tenant whose senders are those of these tests, with bodies that have no header at all.
OPEN = {"domains": ["acme.test", "source.test"], "authorized_senders": ["@acme.test", "@source.test"],
        "null_sender": True, "check_header_from": False}


def password_hash():
    return subprocess.run(["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True,
                          check=True).stdout.strip()


class Sink:
    def __init__(self, *options, port=0, host="127.0.0.1", seconds=300):
        self.process = subprocess.Popen([SINK, "--listen", f"{host}:{port}", "--seconds", str(seconds), *options],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        assert line[0] == "listening", line
        self.port = int(line[1].rsplit(":", 1)[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=20)
        return json.loads(out.splitlines()[-1])


class Gateway:
    """One gateway in a folder of its own; stop() and start() again keep the spool."""

    def __init__(self, next_hop=None, server=None, policy=None, shards=2):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ebbgate-e2e-"))
        self.errors = open(self.folder / "stderr.txt", "a")
        self.process, self.kills = None, 0
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", "/CN=gate.test", "-keyout", self.folder / "key.pem",
                        "-out", self.folder / "cert.pem"], capture_output=True, check=True)
        self.server = {
            "hostname": "gate.test", "shards": shards, "data_dir": "data", "log_dir": "log", "policy": "policy.json",
            "tls": {"certificate": "cert.pem", "key": "key.pem"},
            "listeners": [{"name": "smtp", "kind": "smtp", "listen": "127.0.0.1:0"},
                          {"name": "smtps", "kind": "smtps", "listen": "127.0.0.1:0"}],
            "admin": {"socket": "admin.sock"}, "spool": {"segment_size": "8MiB"},
        }
        self.server.update(server or {})
        self.policy = {
            "routes": [{"match": "hold.test", "relay": "hold"}, {"match": "void.test", "relay": "discard"}],
            "delivery": {"retry": {"first": "1s", "factor": 1, "max": "1s", "max_age": "1d"}},
            "tenants": [{"name": "acme", **OPEN, "relay_hosts": ["127.0.0.0/8"],
                         "accounts": [{"login": "mailer@acme.test", "password": password_hash()}]}],
        }
        if next_hop:
            self.policy["routes"].append({"match": "*", "relay": f"127.0.0.1:{next_hop}"})
        self.policy.update(policy or {})

    def start(self, **process_options):
        (self.folder / "ebbgate.json").write_text(json.dumps(self.server))
        (self.folder / "policy.json").write_text(json.dumps(self.policy))
        self.process = subprocess.Popen([DAEMON, "--config", self.folder / "ebbgate.json"], stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, **process_options)
        line = self.process.stdout.readline()
        assert line == "ready\n", (line, (self.folder / "stderr.txt").read_text())
        self.ports = {one["name"]: one["port"] for one in self.status()["listeners"]}
        return self

    def ctl(self, *command):
        done = subprocess.run([CTL, "--socket", self.folder / "admin.sock", *command], capture_output=True, text=True,
                              timeout=30, check=False)
        return done.returncode, done.stdout, done.stderr

    def status(self):
        code, out, err = self.ctl("status", "--json")
        assert code == 0, (out, err)
        return json.loads(out)

    def wait(self, claim, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.status()
            if claim(status):
                return status
            time.sleep(0.05)
        raise AssertionError(f"never came true: {status}")

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=40)
        self.process.stdout.close()
        self.process = None
        return code

    def kill(self):
        self.kills += 1
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process = None

    def log(self, name):
        """With all that happened so far."""
        while self.process and self.process.poll() is None and self.status()["log_bytes_unwritten"] > 0:
            time.sleep(0.01)
        return (self.folder / "log" / name).read_bytes().decode()

    def events(self, kind=None):
        events, torn = [], 0
        for line in self.log("events.jsonl").splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                torn += 1
        assert torn <= self.kills, torn  # SIGKILL in the middle of a line.
        return [one for one in events if kind in (None, one["type"])]

    def text_log(self):
        return self.log("mail.log")

    def close(self):
        if self.process:
            self.kill()
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Client:
    """Bytes and lines of one SMTP connection: what smtplib hides."""

    def __init__(self, port, implicit_tls=False, greet=True):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.settimeout(20)
        if implicit_tls:
            self.wrap()
        self.buffer = b""
        if greet:
            assert self.reply().startswith("220 "), "no greeting"

    def wrap(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def reply(self):
        """The next reply, its lines joined by LF; empty when the server closed."""
        lines = []
        while True:
            while b"\r\n" not in self.buffer:
                try:
                    more = self.socket.recv(65536)
                except ConnectionResetError:
                    more = b""
                if not more:
                    return "\n".join(lines)
                self.buffer += more
            line, self.buffer = self.buffer.split(b"\r\n", 1)
            lines.append(line.decode())
            if line[3:4] != b"-":
                return "\n".join(lines)

    def say(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def closed(self):
        return self.reply() == ""

    def login(self, user="mailer@acme.test", password=PASSWORD):
        token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        return self.say("AUTH PLAIN " + token)


class Hop:
    """A next hop in Python that misbehaves on purpose.

    Each fault is (step, action) and spends one connection; later connections are served well. Steps: greeting, ehlo,
    starttls, mail, rcpt, data, body, dot, quit. action(socket, reply) sends what it likes instead of the reply, and
    returns True when the conversation goes on. With CHUNKING among `offers` the steps of BDAT are body, when its octets
    are still to come, and dot (503 when it `refuses` the recipients, by a fault at rcpt); what arrives is kept dot-stuffed and with its end mark, as by DATA.
    """

    def __init__(self, *faults, tls=None, pipelining=True, offers=("8BITMIME", "SIZE 100000000"), refuses=False,
                 port=0, host="127.0.0.1"):
        self.faults, self.tls, self.pipelining, self.offers = list(faults), tls, pipelining, offers
        self.seen, self.accepted, self.clear, self.connections = [], [], 0, 0
        self.commands, self.refuses = [], refuses
        self.listener = socket.create_server((host, port), backlog=100)
        self.port = self.listener.getsockname()[1]
        self.open = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            fault = self.faults.pop(0) if self.faults else (None, None)
            self.connections += 1
            self.open.append(plain)
            threading.Thread(target=self.serve, args=(plain, fault), daemon=True).start()

    def serve(self, plain, fault):
        try:
            self.converse(plain, fault)
        except (OSError, ValueError):
            pass
        finally:
            plain.close()

    def converse(self, plain, fault):
        secure, valid, chunks = False, 0, b""

        def answer(step, reply):
            if fault[0] == step:
                return fault[1](plain, reply.encode())
            plain.sendall(reply.encode())
            return True

        lines = plain.makefile("rb")
        go_on = answer("greeting", "220 hop.test ESMTP\r\n")
        while go_on and (line := lines.readline()):
            verb = line[:4].upper().strip()
            self.commands.append(line.strip().decode("utf-8", "replace"))
            if verb in (b"EHLO", b"HELO"):
                offers = ["hop.test", *self.offers]
                offers += ["PIPELINING"] * self.pipelining + ["STARTTLS"] * (self.tls is not None and not secure)
                go_on = answer("ehlo", "".join(f"250-{offer}\r\n" for offer in offers) + "250 HELP\r\n")
            elif verb == b"STAR":
                go_on = answer("starttls", "220 go ahead\r\n")
                if go_on:
                    plain = self.tls.wrap_socket(plain, server_side=True)
                    lines, secure = plain.makefile("rb"), True
            elif verb == b"DATA":
                go_on = answer("data", "354 go ahead\r\n")
                if not go_on:
                    return
                self.clear += not secure
                if fault[0] == "body":
                    lines.readline()
                    if not fault[1](plain, b""):
                        return
                body = bytearray()
                while not body.endswith(b"\r\n.\r\n"):
                    more = lines.readline()
                    if not more:
                        return
                    body += more
                body = bytes(body)
                self.seen.append(body)
                if fault[0] != "dot":
                    self.accepted.append(body)
                go_on = answer("dot", "250 2.0.0 Ok: kept\r\n")
            elif verb == b"BDAT":
                if fault[0] == "body" and not fault[1](plain, b""):
                    return
                words = line.split()
                chunks += lines.read(int(words[1]))
                if words[-1].upper() != b"LAST":
                    plain.sendall(b"250 2.0.0 Ok: more\r\n")
                    continue
                self.clear += not secure
                body, chunks = (b"\r\n" + chunks).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n", b""
                if not valid:
                    plain.sendall(b"503 5.5.1 No valid recipients\r\n")
                    continue
                self.seen.append(body)
                if fault[0] != "dot":
                    self.accepted.append(body)
                go_on = answer("dot", "250 2.0.0 Ok: kept\r\n")
            elif verb == b"QUIT":
                answer("quit", "221 bye\r\n")
                return
            else:
                valid = 0 if verb in (b"MAIL", b"RSET") else valid + (verb == b"RCPT" and not (fault[0] == "rcpt" and self.refuses))
                go_on = answer(verb.decode().lower(), "250 2.1.0 Ok\r\n")

    def close(self):
        for one in [self.listener, *self.open]:  # Not only closed: a thread may wait in accept() or recv().
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()
