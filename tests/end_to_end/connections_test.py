#!/usr/bin/env python3
"""How many may connect, for how long, and who they are behind a proxy."""

import socket
import ssl
import struct
import time
import unittest

from gateway import OPEN, PASSWORD, Client, Gateway, password_hash

V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(address, family="TCP4"):
    return f"PROXY {family} {address} 192.0.2.99 40000 25\r\n".encode()


def v2(address, tlv=b""):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    body = packed + packed + struct.pack("!HH", 40000, 25) + tlv
    return V2_SIGNATURE + bytes([0x21, 0x21 if ":" in address else 0x11]) + struct.pack("!H", len(body)) + body


V2_LOCAL = V2_SIGNATURE + bytes([0x20, 0, 0, 0])


class WithGateway(unittest.TestCase):
    def gateway(self, **options):
        gateway = Gateway(**options)
        self.addCleanup(gateway.close)
        return gateway.start()

    def login(self, gateway, login="mailer@acme.test"):
        client = Client(gateway.ports["smtps"], implicit_tls=True)
        self.addCleanup(client.socket.close)
        client.say("EHLO x.test")
        return client, client.login(login)


class Counts(WithGateway):
    def test_a_client_address_has_its_number_over_all_shards(self):
        gateway = self.gateway(server={"limits": {"max_connections_per_ip": 5}}, shards=2)
        clients = []
        refused = 0
        for _ in range(12):
            client = Client(gateway.ports["smtp"], greet=False)
            self.addCleanup(client.socket.close)
            greeting = client.reply()
            if greeting.startswith("220"):
                clients.append(client)
            else:
                self.assertEqual(greeting.strip(), "421 4.7.0 Too many connections")
                refused += 1
        self.assertEqual((len(clients), refused), (5, 7))
        clients.pop().say("QUIT")
        gateway.wait(lambda status: status["sessions"]["open"] == 4)
        self.assertTrue(Client(gateway.ports["smtp"], greet=False).reply().startswith("220"))

    def test_all_clients_have_their_number(self):
        gateway = self.gateway(server={"limits": {"max_connections": 4}}, shards=2)
        greetings = []
        for _ in range(7):
            client = Client(gateway.ports["smtp"], greet=False)
            self.addCleanup(client.socket.close)
            greetings.append(client.reply().strip())
        self.assertEqual(sum(one.startswith("220") for one in greetings), 4)
        self.assertEqual(greetings.count("421 4.3.2 Too busy, try again later"), 3)

    def test_a_tenant_has_its_number_whoever_logs_in(self):
        tenants = [{"name": "acme", **OPEN, "limits": {"connections": 2},
                    "accounts": [{"login": f"{name}@acme.test", "password": password_hash()} for name in "ab"]},
                   {"name": "bolt", "accounts": [{"login": "c@bolt.test", "password": password_hash()}]}]
        gateway = self.gateway(policy={"tenants": tenants})
        one, reply = self.login(gateway, "a@acme.test")
        self.assertRegex(reply, "^235")
        self.assertRegex(self.login(gateway, "b@acme.test")[1], "^235")
        third, reply = self.login(gateway, "b@acme.test")
        self.assertEqual(reply.strip(), "421 4.7.0 Too many connections")
        self.assertTrue(third.closed())
        self.assertRegex(self.login(gateway, "c@bolt.test")[1], "^235")
        one.say("QUIT")
        gateway.wait(lambda status: status["sessions"]["open"] == 2)
        self.assertRegex(self.login(gateway, "b@acme.test")[1], "^235")

    def test_a_tenants_relay_hosts_have_its_number_too(self):
        tenants = [{"name": "acme", **OPEN, "relay_hosts": ["127.0.0.0/8"], "limits": {"connections": 1}}]
        gateway = self.gateway(policy={"tenants": tenants})
        replies = []
        for _ in range(2):
            client = Client(gateway.ports["smtp"])
            self.addCleanup(client.socket.close)
            client.say("EHLO x.test")
            replies.append(client.say("MAIL FROM:<a@acme.test>").strip())
        self.assertRegex(replies[0], "^250")
        self.assertEqual(replies[1], "421 4.7.0 Too many connections")

    def test_no_session_lasts_for_ever_however_busy(self):
        gateway = self.gateway(server={"limits": {"session_time": "3s"}})
        client = Client(gateway.ports["smtp"])
        client.socket.settimeout(30)
        begin = time.monotonic()
        reply = "250"
        while reply.startswith("250"):
            time.sleep(0.1)
            try:
                reply = client.say("NOOP")
            except (BrokenPipeError, ConnectionResetError):
                break
            self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(reply.strip(), "421 4.4.2 Error: session lasts too long, closing")
        self.assertGreater(time.monotonic() - begin, 2)


class Proxied(WithGateway):
    def listeners(self, proxies):
        return {"listeners": [{"name": "smtp", "kind": "smtp", "listen": "127.0.0.1:0", "proxies": proxies},
                              {"name": "smtps", "kind": "smtps", "listen": "127.0.0.1:0", "proxies": proxies}]}

    def proxied(self, **policy):
        tenants = [{"name": "acme", **OPEN, "relay_hosts": ["198.51.100.7", "2001:db8:7::/48"],
                    "accounts": [{"login": "mailer@acme.test", "password": password_hash()}]}]
        return self.gateway(server=self.listeners(["127.0.0.1"]), policy={"tenants": tenants, **policy})

    def connect(self, port, header, pieces=False):
        client = Client(port, greet=False)
        self.addCleanup(client.socket.close)
        for piece in ([bytes([byte]) for byte in header] if pieces else [header]):
            client.socket.sendall(piece)
        return client

    def test_the_client_is_who_the_proxy_says(self):
        gateway = self.proxied()
        for header in (v1("198.51.100.7"), v2("198.51.100.7"), v2("2001:db8:7::9", b"\x05\0\x03abc"),
                       v1("2001:db8:7::9", "TCP6").replace(b"192.0.2.99", b"2001:db8::1")):
            for pieces in (False, True):
                client = self.connect(gateway.ports["smtp"], header, pieces)
                self.assertTrue(client.reply().startswith("220 "), header)
                client.say("EHLO x.test")
                self.assertRegex(client.say("MAIL FROM:<a@acme.test>"), "^250", header)
                client.say("QUIT")
        for header in (v1("198.51.100.8"), V2_LOCAL, b"PROXY UNKNOWN\r\n"):
            client = self.connect(gateway.ports["smtp"], header + b"EHLO x.test\r\n")
            self.assertTrue(client.reply().startswith("220 "), header)
            client.reply()
            self.assertRegex(client.say("MAIL FROM:<a@acme.test>"), "^530 5.7.0", header)
        gateway.terminate()
        log = gateway.text_log()
        self.assertIn("connect from unknown[198.51.100.7]", log)
        self.assertIn("connect from unknown[2001:db8:7::9]", log)

    def test_what_is_no_header_is_reset_without_a_word(self):
        gateway = self.proxied()
        for bad in (b"EHLO x.test\r\n", b"PROXY TCP4 198.51.100.7\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 0x1 25\r\n",
                    b"PROXY " + b"x" * 200, V2_SIGNATURE + b"\x31\x11\0\x0c", b"\x16\x03\x01\0\x10"):
            client = self.connect(gateway.ports["smtp"], bad)
            client.socket.settimeout(5)
            try:
                self.assertEqual(client.socket.recv(100), b"", bad)
            except ConnectionResetError:
                pass
        gateway.wait(lambda status: status["sessions"]["open"] == 0)

    def test_a_client_that_is_no_proxy_cannot_say_that_it_is_another(self):
        gateway = self.gateway(server=self.listeners(["192.0.2.1"]), policy={"tenants": [
            {"name": "acme", **OPEN, "relay_hosts": ["198.51.100.7"]}]})
        client = self.connect(gateway.ports["smtp"], v1("198.51.100.7"))
        self.assertTrue(client.reply().startswith("220 "))
        self.assertRegex(client.reply(), "^5")
        client.say("EHLO x.test")
        self.assertRegex(client.say("MAIL FROM:<a@acme.test>"), "^530 5.7.0")

    def test_implicit_tls_behind_a_proxy(self):
        gateway = self.proxied()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for together in (True, False):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing)
            raw = socket.create_connection(("127.0.0.1", gateway.ports["smtps"]), 10)
            self.addCleanup(raw.close)
            raw.settimeout(10)
            header = v2("198.51.100.7")
            if not together:
                raw.sendall(header)
                time.sleep(0.1)
                header = b""
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    raw.sendall(header + outgoing.read())
                    header = b""
                    incoming.write(raw.recv(65536))
            raw.sendall(outgoing.read())
            while True:
                try:
                    greeting = tls.read(100)
                    break
                except ssl.SSLWantReadError:
                    incoming.write(raw.recv(65536))
            self.assertTrue(greeting.startswith(b"220 "), greeting)

    def test_strikes_are_the_clients_and_never_the_proxys(self):
        gateway = self.proxied(bans={"ignore": [], "max_retry": 3})
        def attempt(address):
            client = self.connect(gateway.ports["smtp"], v1(address))
            try:
                if not client.reply():
                    return ""
                client.say("EHLO x.test")
                return client.say("AUTH PLAIN AGEAYg==").strip()
            except ConnectionResetError:
                return ""
        for _ in range(3):
            self.assertRegex(attempt("203.0.113.5"), "^538 5.7.11")
        self.assertEqual(attempt("203.0.113.5"), "")
        self.assertRegex(attempt("203.0.113.6"), "^538 5.7.11")
        self.assertIn("203.0.113.5", gateway.ctl("banned")[1])
        self.assertNotIn("127.0.0.1", gateway.ctl("banned")[1])


if __name__ == "__main__":
    unittest.main()
