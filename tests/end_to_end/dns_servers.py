"""DNS on loopback for tests: nsd with zones of text, knot that signs a zone, and a server by script that misbehaves."""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from ports import free_port

sys.path.append("/usr/lib/python3/dist-packages")  # Where the distribution has it, whichever Python runs this.
try:
    import dnslib
except ImportError:
    dnslib = None

HEAD = "$ORIGIN {name}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"


def needs(*programs):
    missing = [one for one in programs if shutil.which(one) is None and not os.path.exists(f"/usr/sbin/{one}")]
    return unittest.skipIf(missing, f"skipped: {', '.join(missing)} not installed")


def program(name):
    return shutil.which(name) or f"/usr/sbin/{name}"


def end(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Folder:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ebbgate-dns-"))

    def close(self):
        shutil.rmtree(self.folder)


def zone_text(name, records):
    return HEAD.format(name=name) + records


def signed(zones):
    """{name: text} of zones -> ({name: signed text}, DS records). By knot, which gets no port."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ebbgate-knot-"))
    try:
        (folder / "db").mkdir()
        listed = "".join(f"  - domain: {name}\n" for name in zones)
        (folder / "knot.conf").write_text(
            f"server:\n    rundir: {folder}\ndatabase:\n    storage: {folder}/db\nlog:\n  - target: stderr\n    any: error\n"
            "policy:\n  - id: p\n    algorithm: ECDSAP256SHA256\n    single-type-signing: on\n"
            f"template:\n  - id: default\n    storage: {folder}\n    file: \"%s.zone\"\n    dnssec-signing: on\n    dnssec-policy: p\n"
            f"    zonefile-sync: 0\n    zonefile-load: whole\n    journal-content: none\nzone:\n{listed}")
        for name, text in zones.items():
            (folder / f"{name}.zone").write_text(text)
        knot = subprocess.Popen([program("knotd"), "-c", folder / "knot.conf"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 30
            while not all("RRSIG" in (folder / f"{name}.zone").read_text() for name in zones):
                if time.monotonic() > until or knot.poll() is not None:
                    raise RuntimeError("knot signs nothing")
                time.sleep(0.05)
        finally:
            end(knot)
        anchors = [subprocess.run([program("keymgr"), "-c", folder / "knot.conf", name, "ds"], check=True, capture_output=True,
                                  text=True).stdout for name in zones]
        return {name: (folder / f"{name}.zone").read_text() for name in zones}, \
            re.sub(r"^(\S+) DS", r"\1 IN DS", "".join(anchors), flags=re.M)
    finally:
        shutil.rmtree(folder)


class Nsd(Folder):
    """An authoritative server with {name: text} of zones, as the user who runs the test."""

    def __init__(self, zones):
        super().__init__()
        self.port = free_port()
        self.server = f"127.0.0.1:{self.port}"
        lines = [f"server:\n  ip-address: 127.0.0.1\n  port: {self.port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{self.folder}\"\n"
                 f"  database: \"\"\n  pidfile: \"{self.folder}/pid\"\n  logfile: \"{self.folder}/log\"\n  xfrdfile: \"{self.folder}/xfrd\"\n"
                 f"  zonelistfile: \"{self.folder}/list\"\n  xfrdir: \"{self.folder}\"\n  server-count: 1\n  rrl-ratelimit: 0\n"
                 "remote-control:\n  control-enable: no\n"]
        for name, text in zones.items():
            (self.folder / f"{name}.zone").write_text(text)
            lines.append(f"zone:\n  name: \"{name}\"\n  zonefile: \"{name}.zone\"\n")
        (self.folder / "nsd.conf").write_text("".join(lines))
        self.process = subprocess.Popen([program("nsd"), "-d", "-c", self.folder / "nsd.conf"], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not self.listens():
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError("nsd does not start: " + (self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)

    def listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def close(self):
        end(self.process)
        super().close()


class Scripted:
    """Answers over UDP and TCP by `script(question, query, tcp)`: a list of packets to send (bytes), maybe empty. `asked` counts (name, type)."""

    def __init__(self, script, port=0):
        self.script, self.asked, self.lock = script, {}, threading.Lock()
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.port = port or free_port()
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        self.server = f"127.0.0.1:{self.port}"
        self.stopping = False
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self.serve_udp, self.serve_tcp)]
        for thread in self.threads:
            thread.start()

    def packets(self, data, tcp):
        query = dnslib.DNSRecord.parse(data)
        name, kind = str(query.q.qname).rstrip(".").lower(), dnslib.QTYPE[query.q.qtype]
        with self.lock:
            self.asked[name, kind] = self.asked.get((name, kind), 0) + 1
        return self.script(name, kind, query, tcp)

    def serve_udp(self):
        while not self.stopping:
            with contextlib.suppress(OSError, dnslib.DNSError):
                data, peer = self.udp.recvfrom(65536)
                if self.stopping:
                    return
                threading.Thread(target=self.reply_udp, args=(data, peer), daemon=True).start()

    def reply_udp(self, data, peer):
        for packet in self.packets(data, False):
            with contextlib.suppress(OSError):
                self.udp.sendto(packet, peer)

    def serve_tcp(self):
        while not self.stopping:
            with contextlib.suppress(OSError):
                connection, _ = self.tcp.accept()
                threading.Thread(target=self.reply_tcp, args=(connection,), daemon=True).start()

    def reply_tcp(self, connection):
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            while head := connection.recv(2):
                for packet in self.packets(connection.recv(int.from_bytes(head, "big")), True):
                    connection.sendall(len(packet).to_bytes(2, "big") + packet)

    def close(self):
        if self.stopping:
            return
        self.stopping = True
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as poke:
            poke.sendto(b"end", ("127.0.0.1", self.port))
        self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
        for thread in self.threads:
            thread.join(5)
        self.udp.close()


def reply(query, *records, rcode=0, truncated=False):
    """The answer to `query` with records as zone text; they keep the case of the question."""
    answer = query.reply(ra=1, aa=0)
    answer.header.rcode = rcode
    answer.header.tc = int(truncated)
    for one in records:
        answer.add_answer(*dnslib.RR.fromZone(one))
    return answer
