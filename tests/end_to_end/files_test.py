#!/usr/bin/env python3
"""Stored attachments over the real daemon: curl, raw bytes, TLS, slow and rude clients, ACME's challenges."""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import unittest

from gateway import Gateway

PUT_BLOB = os.environ["EBBGATE_PUT_BLOB"]
MIB = 1 << 20
ACME = "files.acme.test"
BETA = "dl.beta.test"
needs_curl = unittest.skipIf(shutil.which("curl") is None, "skipped: curl is not installed")


def run(*command):
    done = subprocess.run([str(one) for one in command], capture_output=True, check=False, timeout=120)
    return done.returncode, done.stdout, done.stderr


def certificate(folder, name):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", folder / f"{name}.key",
        "-out", folder / f"{name}.pem")
    return {"certificate": f"{name}.pem", "key": f"{name}.key"}


def tenant(name, host, folder):
    return {"name": name, "domains": [f"{name}.test"], "authorized_senders": [f"@{name}.test"],
            "filelink": {"larger_than": "5MB", "url": f"https://{host}/files/", "tls": certificate(folder, host)}}


class Files(unittest.TestCase):
    LISTENER = {"max_requests_per_minute": 100_000, "max_not_found_per_minute": 100_000, "max_connections_per_ip": 300}
    LARGE = 0

    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(shards=1)
        cls.folder = cls.gateway.folder
        (cls.folder / "webroot/.well-known/acme-challenge").mkdir(parents=True)
        (cls.folder / "data").mkdir()
        cls.gateway.server["listeners"] = [
            {"name": "smtp", "kind": "smtp", "listen": "127.0.0.1:0"},
            {"name": "files", "kind": "https", "listen": "127.0.0.1:0", **cls.LISTENER},
            {"name": "plain", "kind": "http", "listen": "127.0.0.1:0", "acme_webroot": "webroot", **cls.LISTENER},
        ]
        cls.gateway.server["admin"]["listen"] = "127.0.0.1:0"
        cls.gateway.policy["tenants"] = [tenant("acme", ACME, cls.folder), tenant("beta", BETA, cls.folder)]
        cls.gateway.policy["bans"] = {"ignore": ["192.0.2.1"]}  # Not loopback.
        cls.content = os.urandom(3 * MIB + 12345)
        (cls.folder / "content").write_bytes(cls.content)
        cls.file = cls.put("content", "R\u00e4port \"Q3\".pdf")
        cls.page = cls.put("content", "page.html", kind="text/html")
        cls.beta = cls.put("content", "b.zip", tenant="beta", url=f"https://{BETA}/files/")
        cls.clear = cls.put("content", "c.bin", url=f"http://{ACME}/clear/")
        cls.short = [cls.put("content", f"old{number}.pdf") for number in range(3)]
        cls.revoked = cls.put("content", "no.pdf", keep=3600, revoked=True)
        if cls.LARGE:
            with open(cls.folder / "large", "wb") as large:
                large.truncate(cls.LARGE)
            cls.large = cls.put("large", "large.iso")
        cls.gateway.start()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.close()

    @classmethod
    def put(cls, file, name, kind="application/pdf", tenant="acme", url=f"https://{ACME}/files/", keep=3600, revoked=False):
        code, out, err = run(PUT_BLOB, cls.folder / "data/files", cls.folder / file, name, kind, tenant, url, keep,
                             *(["revoked"] if revoked else []))
        assert code == 0, err
        return out.decode().strip()

    @property
    def port(self):
        return self.gateway.ports["files"]

    def curl(self, path, *options, host=ACME, port=None, scheme="https"):
        port = port or self.port
        return run("curl", "-sS", "--max-time", 60, "--resolve", f"{host}:{port}:127.0.0.1", "--cacert",
                   self.folder / f"{host}.pem", *options, f"{scheme}://{host}:{port}{path}")

    def head(self, path, *options, **where):
        """The status and the header, names in lower case."""
        code, out, err = self.curl(path, "-D", "-", "-o", "/dev/null", *options, **where)
        self.assertEqual(code, 0, err)
        lines = out.decode().split("\r\n")
        return int(lines[0].split()[1]), dict(re.split(": ?", line, maxsplit=1) for line in
                                              [one[0].lower() + one[1:] for one in lines[1:] if one])

    def raw(self, data, tls=True, seconds=10):
        """What came back for these bytes, until the end."""
        plain = socket.create_connection(("127.0.0.1", self.port if tls else self.gateway.ports["plain"]), seconds)
        with (self.wrap(plain) if tls else plain) as connection:
            try:
                connection.sendall(data)
                got = b""
                while more := connection.recv(65536):
                    got += more
            except (ConnectionResetError, BrokenPipeError):
                pass
            return got

    def served(self, client=None):
        """The connections that the files' listener has accepted and not yet closed."""
        rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        remote = client and socket.inet_aton(client)[::-1].hex().upper()
        # Those in the backlog or at their end have no inode; 0A is the listener itself.
        return len([row for row in rows if row[1] == f"0100007F:{self.port:04X}" and row[9] != "0"
                    and row[3] != "0A" and remote in (None, row[2].split(":")[0])])

    def wait_for(self, claim, seconds=20):
        end = time.monotonic() + seconds
        while not (last := claim()):
            self.assertLess(time.monotonic(), end, f"never came true: {last!r}")
            time.sleep(0.02)

    def counted(self):
        """With all downloads that clients have seen the end of."""
        self.wait_for(lambda: self.served() == 0)
        return self.gateway.status()["files"]

    @staticmethod
    def wrap(plain, host=ACME, **options):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if "alpn" in options:
            context.set_alpn_protocols(options["alpn"])
        return context.wrap_socket(plain, server_hostname=host)

    def metric(self, name):
        port = self.gateway.status()["admin"]["http_port"]
        _, out, _ = run("curl", "-s", f"http://127.0.0.1:{port}/metrics")
        return sum(float(line.split()[-1]) for line in out.decode().splitlines()
                   if re.match(rf"{name}[ {{]", line))


@needs_curl
class Serving(Files):
    def test_a_download_is_whole_and_named_and_told(self):
        code, out, err = self.curl(f"/files/{self.file}", "--http1.1", "-OJ", "--output-dir", self.folder)
        self.assertEqual(code, 0, err)
        self.assertEqual((self.folder / "R_port _Q3_.pdf").read_bytes(), self.content)
        status, header = self.head(f"/files/{self.file}")
        self.assertEqual(status, 200)
        self.assertIn("filename*=UTF-8''R%C3%A4port%20%22Q3%22.pdf", header["content-Disposition"])
        self.assertEqual(header["x-Content-Type-Options"], "nosniff")
        self.assertEqual(header["content-Security-Policy"], "sandbox; default-src 'none'")
        self.assertEqual(header["content-Type"], "application/pdf")
        self.assertIn("max-age=31536000", header["strict-Transport-Security"])
        events = self.gateway.events("Filelink")
        self.assertTrue(any(one["meta"]["token"] == self.file[:40] and one["size"] == len(self.content) and
                            one["meta"]["tenant"] == "acme" and one["peer_address"]["addr"] == "127.0.0.1"
                            for one in events), events)

    def test_head_tells_what_get_would(self):
        code, out, err = self.curl(f"/files/{self.file}", "-I")
        self.assertEqual(code, 0, err)
        self.assertIn(f"Content-Length: {len(self.content)}\r\n".encode(), out)

    def test_a_broken_download_is_resumed(self):
        part = self.folder / "resumed"
        part.write_bytes(self.content[:1_000_001])
        code, _, err = self.curl(f"/files/{self.file}", "-C", "-", "-o", part)
        self.assertEqual(code, 0, err)
        self.assertEqual(part.read_bytes(), self.content)

    def test_ranges(self):
        path = f"/files/{self.file}"
        for spec, expected in (("0-0", self.content[:1]), ("100-1000199", self.content[100:1000200]),
                               ("-77", self.content[-77:]), (f"{len(self.content) - 1}-", self.content[-1:])):
            code, out, err = self.curl(path, "-r", spec, "--fail")
            self.assertEqual((code, out), (0, expected), (spec, err))
        status, header = self.head(path, "-r", f"{len(self.content)}-")
        self.assertEqual((status, header["content-Range"]), (416, f"bytes */{len(self.content)}"))
        many = "bytes=" + ",".join(f"{start}-" for start in range(1000))
        status, header = self.head(path, "-H", f"Range: {many}")
        self.assertEqual((status, header["content-Length"]), (200, str(len(self.content))), "a range bomb")

    def test_conditions(self):
        path = f"/files/{self.file}"
        _, header = self.head(path)
        tag, date = header["eTag"], header["last-Modified"]
        for condition, status in ((f"If-None-Match: {tag}", 304), ("If-None-Match: \"x\"", 200),
                                  (f"If-Match: {tag}", 200), ("If-Match: \"x\"", 412),
                                  (f"If-Modified-Since: {date}", 304), (f"If-Unmodified-Since: {date}", 200),
                                  ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT", 412)):
            self.assertEqual(self.head(path, "-H", condition)[0], status, condition)
        self.assertEqual(self.head(path, "-r", "0-9", "-H", f"If-Range: {tag}")[0], 206)
        self.assertEqual(self.head(path, "-r", "0-9", "-H", "If-Range: \"x\"")[0], 200)
        code, out, _ = self.curl(path, "-H", f"If-None-Match: {tag}", "-i")
        self.assertEqual(code, 0)
        self.assertNotIn(b"Content-Length", out)

    def test_each_tenant_has_its_certificate_and_its_host(self):
        code, out, err = self.curl(f"/files/{self.beta}", host=BETA)
        self.assertEqual((code, out), (0, self.content), err)
        self.assertEqual(self.head(f"/files/{self.beta}")[0], 404)
        self.assertEqual(self.head(f"/files/{self.file}", host=BETA)[0], 404)
        self.assertEqual(self.curl(f"/files/{self.file}", "--connect-to", f"::127.0.0.1:{self.port}", host="other.test")[0], 77,
                         "there is no such certificate file")

    def test_certificates_are_swapped_by_a_reload(self):
        before = ssl.get_server_certificate(("127.0.0.1", self.port))
        seen = lambda: self.wrap(socket.create_connection(("127.0.0.1", self.port)), BETA)
        with seen() as connection:
            old = connection.getpeercert(True)
            with seen() as other:
                other.sendall(f"GET /files/{self.beta} HTTP/1.1\r\nHost: {BETA}\r\n\r\n".encode())
                other.recv(100)
                certificate(self.folder, BETA)
                self.gateway.wait(lambda status: self.changed(seen, old))
                got = 100
                while more := other.recv(65536):  # The download goes on meanwhile.
                    got += len(more)
                    if got > len(self.content):
                        break
                self.assertGreater(got, len(self.content))
        self.assertEqual(before, ssl.get_server_certificate(("127.0.0.1", self.port)))

    @staticmethod
    def changed(connect, old):
        with connect() as connection:
            return connection.getpeercert(True) != old

    def test_alpn_is_http_1_1_or_a_refusal(self):
        with self.wrap(socket.create_connection(("127.0.0.1", self.port)), alpn=["h2", "http/1.1"]) as connection:
            self.assertEqual(connection.selected_alpn_protocol(), "http/1.1")
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            self.wrap(socket.create_connection(("127.0.0.1", self.port)), alpn=["h2"])

    def test_links_that_are_over_and_pages_that_would_run(self):
        self.assertEqual(self.head(f"/files/{self.revoked}")[0], 410)
        answers = []
        for link in self.short:
            answers = [self.head(f"/files/{link}")[0]]
            code, _, err = self.gateway.ctl("filelink", "extend", link[:40], "--for", "1s")
            self.assertEqual(code, 0, err)
            end = time.monotonic() + 20
            while answers[-1] == 200 and time.monotonic() < end:
                time.sleep(0.05)
                answers.append(self.head(f"/files/{link}")[0])
            if answers[-1] != 404:  # The sweep of each minute came first, and deleted it.
                break
        self.assertEqual((answers[0], answers[-1]), (200, 410), answers)
        status, header = self.head(f"/files/{self.page}")
        self.assertEqual((status, header["content-Type"]), (200, "application/octet-stream"))
        self.assertTrue(header["content-Disposition"].startswith("attachment; "))

    def test_clear_text_serves_clear_links_and_sends_others_to_https(self):
        plain = self.gateway.ports["plain"]
        code, out, err = self.curl(f"/clear/{self.clear}", port=plain, scheme="http")
        self.assertEqual((code, out), (0, self.content), err)
        status, header = self.head(f"/files/{self.file}", port=plain, scheme="http")
        self.assertEqual((status, header["location"]), (308, f"https://{ACME}/files/{self.file}"))
        self.assertNotIn("strict-Transport-Security", header)
        self.assertEqual(self.head(f"/files/{'0' * 40}.pdf", port=plain, scheme="http")[0], 404)
        self.assertEqual(self.head("/", port=plain, scheme="http")[0], 404)

    def test_acme_challenges(self):
        folder = self.folder / "webroot/.well-known/acme-challenge"
        (folder / "tok_EN-1").write_text("tok_EN-1.thumb")
        (folder / "link").symlink_to(self.folder / "key.pem")
        plain = self.gateway.ports["plain"]
        for host in (ACME, "anything.test"):
            _, out, _ = run("curl", "-sS", "-H", f"Host: {host}", f"http://127.0.0.1:{plain}/.well-known/acme-challenge/tok_EN-1")
            self.assertEqual(out, b"tok_EN-1.thumb")
        for wrong in ("link", "none", "..", "../../../key.pem", "tok_EN-1.", "%74ok_EN-1", ""):
            _, out, _ = run("curl", "-sS", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}",
                            f"http://127.0.0.1:{plain}/.well-known/acme-challenge/{wrong}")
            self.assertEqual(out, b"404", wrong)

    def test_status_and_metrics_count(self):
        before = self.counted()
        self.assertEqual(self.curl(f"/files/{self.file}")[1], self.content)
        whole = self.counted()
        self.assertEqual((whole["downloads"], whole["sent_bytes"]),
                         (before["downloads"] + 1, before["sent_bytes"] + len(self.content)))
        status = self.gateway.status()
        kinds = {one["name"]: (one["kind"], one["port"] > 0) for one in status["listeners"]}
        self.assertEqual(kinds, {"smtp": ("smtp", True), "files": ("https", True), "plain": ("http", True)})
        self.assertGreater(self.metric("ebbgate_file_downloads_total"), 0)
        self.assertGreater(self.metric("ebbgate_file_requests_total"), 0)
        self.curl(f"/files/{self.file}", "-r", "0-99")
        self.assertEqual(self.counted()["sent_bytes"], whole["sent_bytes"] + 100)

    def test_banned_clients_are_cut_and_refused(self):
        connect = lambda: socket.create_connection(("127.0.0.1", self.port), 10, source_address=("127.0.0.9", 0))
        with self.wrap(connect()) as held:
            self.assertEqual(self.gateway.ctl("ban", "127.0.0.9")[0], 0)
            begun = time.monotonic()
            try:
                self.assertEqual(held.recv(1), b"")
            except (ConnectionResetError, ssl.SSLEOFError):
                pass
            self.assertLess(time.monotonic() - begun, 5)
        with self.assertRaises((ConnectionResetError, ConnectionRefusedError, ssl.SSLEOFError)):
            self.wrap(connect())
        self.assertEqual(self.head(f"/files/{self.file}", "--interface", "127.0.0.10")[0], 200)
        self.assertEqual(self.gateway.ctl("unban", "127.0.0.9")[0], 0)
        self.assertEqual(self.head(f"/files/{self.file}", "--interface", "127.0.0.9")[0], 200)

    def test_a_clean_end_while_a_client_is_connected(self):
        gateway = Gateway(shards=1)
        gateway.server["listeners"] = [{"name": "files", "kind": "https", "listen": "127.0.0.1:0"}]
        gateway.start()
        with self.wrap(socket.create_connection(("127.0.0.1", gateway.ports["files"]))):
            self.assertEqual(gateway.terminate(), 0)
        gateway.close()


@needs_curl
class Rude(Files):
    def request(self, target, host=ACME, more=""):
        return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n".encode("latin-1")

    def statuses(self, answer):
        return [int(one) for one in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]

    def test_no_path_but_the_links_is_anything(self):
        token = self.file
        for target in (f"/files/../files/{token}", f"/files/%2e%2e/files/{token}", f"//files/{token}", f"/files//{token}",
                       f"/files/./{token}", "/files/../../../../../../etc/passwd", "/files/..%2f..%2fetc/passwd",
                       "/files/..\\..\\etc\\passwd", "/files/", "/files", "/", "/data/files", f"/files/{token}/",
                       f"/files/{token}%00.txt", f"/files/{token[:40]}", f"/files/{token.upper()}", f"/FILES/{token}",
                       f"/files/{token};x", "/files/" + "a" * 8000, f"/%66iles/{token}"):
            answer = self.raw(self.request(target))
            self.assertEqual(self.statuses(answer), [404], target)
            self.assertTrue(answer.endswith(b"\r\n\r\nnot found\n"), target)
        self.assertEqual(self.statuses(self.raw(self.request(f"/files/{token}?utm=1"))), [200], "a query is no path")

    def test_targets_that_are_no_paths_and_headers_that_are_too_long(self):
        for target, status in ((f"https://{ACME}/files/{self.file}", 400), (f"http://evil.test/files/{self.file}", 400),
                               (f"{ACME}:443", 400), ("*", 400), (f"/files/{self.file}\0", 400), (f"/files/{self.file}#x", 400),
                               (f"/files/\x01{self.file}", 400), ("/files/" + "a" * 70_000, 431)):
            self.assertEqual(self.statuses(self.raw(self.request(target))), [status], target[:80])
        self.assertEqual(self.statuses(self.raw(self.request("/", more="A: " + "b" * 20_000 + "\r\n"))), [431])
        self.assertEqual(self.statuses(self.raw(self.request("/", more="A: b\r\n" * 200))), [431])

    def test_requests_that_two_servers_could_read_differently_are_refused(self):
        hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
        head = f"GET /files/{self.file} HTTP/1.1\r\nHost: {ACME}\r\n".encode()
        for lines, allowed in (
                (b"Content-Length: 5\r\nContent-Length: 6\r\n", {400}),
                (b"Content-Length: 5, 5\r\n", {400}),
                (b"Content-Length: +5\r\n", {400}),
                (b"Content-Length: 0x5\r\n", {400}),
                (b"Content-Length: -1\r\n", {400}),
                (b"Content-Length: 33\r\n", {413}),
                (b"Transfer-Encoding: chunked\r\n", {411}),
                (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", {400}),
                (b"Transfer-Encoding: xchunked\r\n", {400, 501}),
                (b"Transfer-Encoding: chunked, identity\r\n", {400, 411, 501}),
                (b"Transfer-Encoding:\x0bchunked\r\n", {400, 411, 501}),
                (b"Transfer-Encoding : chunked\r\n", {400}),
                (b" Transfer-Encoding: chunked\r\n", {400}),
                (b"X: a\r\n\tContent-Length: 33\r\n", {400}),
                (b"X: a\n\nGET /hidden HTTP/1.1\r\n", {400}),
                (b"X: a\r\r\n", {400}),
                (b"Host: other\r\n", {400}),
                (b"X\0Y: a\r\n", {400})):
            answer = self.raw(head + lines + b"\r\n" + hidden)
            found = self.statuses(answer)
            self.assertEqual(len(found), 1, (lines, found))
            self.assertIn(found[0], allowed, lines)
            self.assertNotIn(b"hidden", answer)

    def test_methods_and_versions(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
            answer = self.raw(f"{method} /files/{self.file} HTTP/1.1\r\nHost: {ACME}\r\nConnection: close\r\n\r\n".encode())
            self.assertEqual(self.statuses(answer), [405])
            self.assertIn(b"Allow: GET, HEAD\r\n", answer)
        self.assertEqual(self.raw(f"GET /files/{self.file}\r\n\r\n".encode())[:12], b"HTTP/1.1 400")
        old = self.raw(f"GET /files/{self.file} HTTP/1.0\r\nHost: {ACME}\r\n\r\n".encode())
        self.assertTrue(old.endswith(self.content))
        self.assertEqual(self.statuses(self.raw(f"GET /files/{self.file} HTTP/1.0\r\n\r\n".encode())), [404], "no host")

    def test_pipelined_files_come_in_order(self):
        parts = [(0, 99), (1000, 500_000), (5, 5)]
        asked = b"".join(f"GET /files/{self.file} HTTP/1.1\r\nHost: {ACME}\r\nRange: bytes={first}-{last}\r\n\r\n".encode()
                         for first, last in parts)
        answer = self.raw(asked + self.request("/end"))
        for first, last in parts:
            at = answer.index(b"\r\n\r\n") + 4
            bytes_count = last - first + 1
            self.assertEqual(answer[at:at + bytes_count], self.content[first:last + 1])
            answer = answer[at + bytes_count:]
        self.assertEqual(self.statuses(answer), [404])

    def test_a_slow_header_is_cut_and_others_are_served_meanwhile(self):
        slow = [self.wrap(socket.create_connection(("127.0.0.1", self.port), 10)) for _ in range(50)]
        for one in slow:
            one.sendall(b"GET / HTTP/1.1\r\n")
        begun = time.monotonic()
        code, out, _ = self.curl(f"/files/{self.file}")
        self.assertEqual((code, out), (0, self.content))
        self.assertLess(time.monotonic() - begun, 5)
        end = time.monotonic() + 30
        alive = slow[0]
        alive.settimeout(1)
        answer = b""
        while time.monotonic() < end and not answer:
            try:
                alive.sendall(b"A: b\r\n")
                answer = alive.recv(100)
            except TimeoutError:
                continue
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        self.assertLess(time.monotonic() - begun, 25)
        for one in slow:
            one.close()

    def test_clients_that_go_cost_no_descriptor(self):
        def files_open():
            return len(os.listdir(f"/proc/{self.gateway.process.pid}/fd"))
        self.curl(f"/files/{self.file}")
        self.counted()
        before = files_open()
        for index in range(40):
            connection = self.wrap(socket.create_connection(("127.0.0.1", self.port), 10))
            connection.sendall(f"GET /files/{self.file} HTTP/1.1\r\nHost: {ACME}\r\n\r\n".encode())
            if index % 3:
                connection.recv(1 + index * 1000)
            if index % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        end = time.monotonic() + 10
        while files_open() > before and time.monotonic() < end:
            time.sleep(0.05)
        self.assertLessEqual(files_open(), before)


@needs_curl
class Limits(Files):
    LISTENER = {"max_requests_per_minute": 40, "max_not_found_per_minute": 5, "max_connections_per_ip": 4}

    def test_guessing_connections_and_requests_end_in_429(self):
        from_address = lambda address: ("--interface", address)
        codes = [self.head(f"/files/{index:040x}.pdf", *from_address("127.0.0.3"))[0] for index in range(8)]
        self.assertEqual(codes[:5], [404] * 5)
        self.assertEqual(codes[5:], [429] * 3)
        status, header = self.head(f"/files/{self.file}", *from_address("127.0.0.3"))
        self.assertEqual(status, 429)
        self.assertGreater(int(header["retry-After"]), 0)
        self.assertEqual(self.head(f"/files/{self.file}", *from_address("127.0.0.4"))[0], 200, "another client")
        ask = f"HEAD /files/{self.file} HTTP/1.1\r\nHost: {ACME}\r\n\r\n".encode()
        answers = self.raw(ask * 60 + self.request_end())
        self.assertEqual(answers.count(b"HTTP/1.1 200 "), 40)
        self.assertEqual(answers.count(b"HTTP/1.1 429 "), 21)
        client = "127.0.0.5"
        held = [socket.create_connection(("127.0.0.1", self.port), 10, source_address=(client, 0)) for _ in range(4)]
        self.wait_for(lambda: self.served(client) == 4)
        status, header = self.head(f"/files/{self.file}", *from_address(client))
        self.assertEqual((status, header["connection"]), (429, "close"))
        self.wait_for(lambda: self.served(client) == 4)
        for _ in range(8):
            with contextlib.suppress(ConnectionResetError):
                held.append(socket.create_connection(("127.0.0.1", self.port), 10, source_address=(client, 0)))

        def goes_on(one):
            one.settimeout(0)
            try:
                return one.recv(1) != b""
            except BlockingIOError:
                return True
            except ConnectionResetError:
                return False
        self.wait_for(lambda: sum(map(goes_on, held)) <= 8)
        time.sleep(0.3)  # For one too many.
        self.assertEqual((sum(map(goes_on, held)), self.served(client)), (8, 8), "eight are held, the others reset")
        for one in held:
            one.close()
        self.assertGreater(self.metric("ebbgate_file_limited_total"), 20)

    @staticmethod
    def request_end():
        return b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@needs_curl
class Large(Files):
    LARGE = 200 * MIB

    def resident(self):
        text = pathlib.Path(f"/proc/{self.gateway.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024

    def test_large_files_flow_through_in_bounded_memory(self):
        before = self.resident()
        results = []

        def load():
            _, out, err = self.curl(f"/files/{self.large}", "-o", "/dev/null", "-w", "%{http_code} %{size_download}")
            results.append((out, err))

        threads = [threading.Thread(target=load) for _ in range(4)]
        # And forty that ask and do not read.
        silent = []
        for _ in range(40):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", self.port))
            one = self.wrap(one)
            one.sendall(f"GET /files/{self.large} HTTP/1.1\r\nHost: {ACME}\r\n\r\n".encode())
            silent.append(one)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([out for out, _ in results], [f"200 {self.LARGE}".encode()] * 4, results)
        if not os.environ.get("EBBGATE_SANITIZED"):
            self.assertLess(self.resident() - before, 80, "MiB more")
        for one in silent:
            one.close()


if __name__ == "__main__":
    unittest.main()
