#!/usr/bin/env python3
"""The admin listener: metrics, health, and a tenant's senders by token, as a client of another machine would use them."""

import http.client
import json
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time
import unittest

from gateway import Client, Gateway

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None

SENDERS = "/api/v1/senders"


class Listening(unittest.TestCase):
    def setUp(self):
        self.gateway = Gateway(server={"admin": {"socket": "admin.sock", "listen": "127.0.0.1:0"}})
        self.addCleanup(self.gateway.close)
        self.gateway.policy["tenants"].append({"name": "bolt", "domains": ["bolt.test"]})
        self.gateway.start()
        self.port = self.gateway.status()["admin"]["http_port"]

    def token(self, tenant="acme", label="web"):
        code, out, err = self.gateway.ctl("token", "add", "--tenant", tenant, "--label", label)
        self.assertEqual(code, 0, err)
        return out.strip()

    def ask(self, method, path, token=None, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        if token:
            headers["Authorization"] = "Bearer " + token
        connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer, text

    def json(self, method, path, token, body=None, status=200):
        answer, text = self.ask(method, path, token, body)
        self.assertEqual(answer.status, status, text)
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        return json.loads(text)

    def audit(self):
        code, out, err = self.gateway.ctl("audit", "--json")
        self.assertEqual(code, 0, err)
        return json.loads(out)["audit"]

    def may_send_as(self, sender):
        client = Client(self.gateway.ports["smtps"], implicit_tls=True)
        client.say("EHLO client.test")
        client.login()
        reply = client.say(f"MAIL FROM:<{sender}>")
        client.socket.close()
        return reply.startswith("250")


class Senders(Listening):
    def test_a_sender_is_added_listed_and_removed_in_force_durable_and_audited(self):
        self.gateway.policy["tenants"][0]["authorized_senders"] = ["@source.test"]
        self.gateway.terminate()
        self.gateway.start()
        self.port = self.gateway.status()["admin"]["http_port"]
        token = self.token()
        self.assertFalse(self.may_send_as("ceo@acme.test"))
        pattern = {"pattern": "ceo@acme.test"}
        self.assertEqual(self.json("POST", SENDERS, token, pattern), {"ok": True, "changed": True, "in_force": True})
        self.assertEqual(self.json("POST", SENDERS, token, pattern)["changed"], False)
        self.assertTrue(self.may_send_as("ceo@acme.test"))
        self.gateway.kill()
        self.gateway.start()
        self.port = self.gateway.status()["admin"]["http_port"]
        self.assertTrue(self.may_send_as("ceo@acme.test"))
        listed = self.json("GET", SENDERS, token)
        self.assertEqual([(one["pattern"], one["tenant"]) for one in listed["senders"]],
                         [("@source.test", "acme"), ("ceo@acme.test", "acme")])
        page = self.json("GET", SENDERS + "?rows=1", token)
        self.assertEqual(page["senders"], listed["senders"][:1])
        rest = self.json("GET", f"{SENDERS}?after={page['next']}&rows=5", token)
        self.assertEqual((rest["senders"], rest["next"]), (listed["senders"][1:], 0))
        self.assertEqual(self.json("DELETE", SENDERS, token, pattern)["changed"], True)
        self.assertFalse(self.may_send_as("ceo@acme.test"))
        rows = [(one["command"], one["token"], one["token_tenant"], one["uid"], one["result"])
                for one in self.audit() if one["by"] == "token"]
        self.assertEqual(rows[0], ("sender remove", "web", "acme", 4294967295, "done"))
        self.assertIn(("sender add", "web", "acme", 4294967295, "done"), rows)

    def test_each_refusal_has_its_status_and_nobody_gets_further_than_the_token(self):
        token = self.token()
        bolt = self.token("bolt")
        self.assertEqual(self.json("POST", SENDERS, bolt, {"pattern": "@acme.test"}, 409)["reason"], "refused")
        self.assertEqual(self.json("POST", SENDERS, bolt, {"pattern": "no sender"}, 409)["reason"], "refused")
        self.assertEqual(self.json("DELETE", SENDERS, bolt, {"pattern": "x@bolt.test"}, 404)["reason"], "not_found")
        self.assertEqual(self.json("POST", SENDERS, bolt, {"pattern": 5}, 400)["reason"], "usage")
        self.assertEqual(self.json("POST", SENDERS, bolt, {"pattern": "x@bolt.test", "tenant": "acme"}, 400)["ok"], False)
        self.assertEqual(self.json("GET", SENDERS, bolt)["senders"], [])
        self.json("GET", "/api/v1/accounts", token, None, 404)
        answer, _ = self.ask("PUT", SENDERS, token)
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD, POST, DELETE"))
        for wrong in (None, "x", token[:-1], token[:-1] + ("0" if token[-1] != "0" else "1")):
            answer, _ = self.ask("GET", SENDERS, wrong)
            self.assertEqual(answer.status, 401)
            self.assertTrue(answer.headers["WWW-Authenticate"].startswith("Bearer "))
            self.assertEqual(answer.headers["Cache-Control"], "no-store")
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
            self.assertIsNone(answer.headers["Access-Control-Allow-Origin"])
        self.assertEqual(self.gateway.ctl("token", "revoke", "--tenant", "acme", "--label", "web")[0], 0)
        self.assertEqual(self.ask("GET", SENDERS, token)[0].status, 401)
        for path in [*(self.gateway.folder / "log").iterdir(), self.gateway.folder / "stderr.txt",
                     *(self.gateway.folder / "data").glob("overlay.db*")]:
            self.assertNotIn(token.encode(), path.read_bytes(), path)

    def test_guessing_is_held_and_a_tenant_that_works_is_not(self):
        token = self.token()
        self.json("GET", SENDERS, token)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        seen = []
        for number in range(70):
            connection.request("GET", SENDERS, headers={"Authorization": f"Bearer ebbgate_{number:064x}"})
            answer = connection.getresponse()
            answer.read()
            seen.append(answer.status)
        self.assertEqual(set(seen[:60]), {401})
        self.assertEqual(seen[-1], 429)
        self.assertEqual(answer.headers["Retry-After"], "60")
        connection.close()
        self.json("GET", SENDERS, token)

    def test_a_policy_with_a_fault_is_not_shown_to_a_tenant(self):
        token = self.token()
        path = self.gateway.folder / "policy.json"
        good = path.read_text()
        path.write_text(good.replace('"bolt"', '"bolt", "secret_key": 1'))
        answer = self.json("POST", SENDERS, token, {"pattern": "new@acme.test"})
        self.assertEqual((answer["ok"], answer["changed"], answer["in_force"]), (True, True, False))
        self.assertNotIn("secret_key", answer["why"])
        self.assertIn("ebbgate_policy_stale 1\n", self.wait_for_metric("ebbgate_policy_stale 1\n"))
        path.write_text(good)
        self.gateway.ctl("reload")
        self.assertIn("new@acme.test", [one["pattern"] for one in self.json("GET", SENDERS, token)["senders"]])

    def wait_for_metric(self, line):
        end = time.monotonic() + 10
        while line not in (text := self.ask("GET", "/metrics")[1]) and time.monotonic() < end:
            time.sleep(0.1)
        return text


class Metrics(Listening):
    def test_the_text_is_valid_and_agrees_with_status(self):
        client = Client(self.gateway.ports["smtp"])
        client.say("EHLO client.test")
        for line in ("MAIL FROM:<a@acme.test>", "RCPT TO:<x@hold.test>", "DATA", "Subject: x\r\n\r\nhello\r\n."):
            client.say(line)
        self.gateway.ctl("reload")
        self.gateway.ctl("ban", "192.0.2.7")
        time.sleep(0.6)  # They are half a second old at most.
        answer, text = self.ask("GET", "/metrics")
        self.assertEqual(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        status = self.gateway.status()
        value = {name: float(number) for name, number in re.findall(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", text, re.M)}
        self.assertEqual(value["ebbgate_messages_received_total"], status["mail"]["received"])
        self.assertEqual(value["ebbgate_messages_received_total"], 1)
        self.assertEqual(value['ebbgate_queue_items{state="held"}'], 1)
        self.assertEqual(value["ebbgate_sessions_open"], 1)
        self.assertEqual(value["ebbgate_bans"], 1)
        self.assertEqual(value["ebbgate_policy_stale"], 0)
        self.assertGreaterEqual(value['ebbgate_policy_reloads_total{result="done"}'], 1)
        self.assertEqual(value['ebbgate_ban_mode{mode="kernel"}'] + value['ebbgate_ban_mode{mode="reset"}'], 1)
        documented = (pathlib.Path(__file__).resolve().parents[2] / "docs/control.md").read_text()
        for name in re.findall(r"^# TYPE (\S+)", text, re.M):
            self.assertRegex(documented, rf"`{name}[`{{]", "not in docs/control.md")
        client.socket.close()

    def test_prometheus_reads_it(self):
        text = self.ask("GET", "/metrics")[1]
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        elif text_string_to_metric_families:
            families = list(text_string_to_metric_families(text))
            self.assertGreater(len(families), 40)
            for family in families:
                self.assertIn(family.type, ("gauge", "counter"), family.name)
                self.assertTrue(family.documentation and family.samples, family.name)
        else:
            self.skipTest("skipped: neither promtool nor prometheus_client is installed")

    def test_a_page_from_elsewhere_reads_nothing(self):
        for path in ("/metrics", "/healthz"):
            self.assertEqual(self.ask("GET", path, Host="rebound.example")[0].status, 421)
            self.assertEqual(self.ask("GET", path, Host=f"localhost:{self.port}")[0].status, 200)


class Server(Listening):
    def raw(self, data, half_close=False):
        """All that comes back for these bytes, until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as client:
            client.settimeout(40)
            client.sendall(data)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            got = b""
            while more := client.recv(65536):
                got += more
        return got

    def test_health_keep_alive_and_head(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for method in ("GET", "HEAD", "GET"):
            connection.request(method, "/healthz")
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.headers["Content-Length"]), (200, "3"))
            self.assertEqual(answer.read(), b"" if method == "HEAD" else b"ok\n")
        connection.request("POST", "/healthz")
        answer = connection.getresponse()
        answer.read()
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD"))
        connection.close()

    def test_curl(self):
        if not shutil.which("curl"):
            self.skipTest("skipped: curl is not installed")
        url = f"http://127.0.0.1:{self.port}"
        done = subprocess.run(["curl", "-sS", "--fail", url + "/healthz", url + "/healthz"], capture_output=True,
                              text=True, check=True, timeout=60)
        self.assertEqual(done.stdout, "ok\nok\n")
        done = subprocess.run(
            ["curl", "-sS", "-X", "DELETE", "-H", "Authorization: Bearer " + self.token(), "-H", "Expect: 100-continue",
             "-d", '{"pattern": "@acme.test"}', url + SENDERS],
            capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(json.loads(done.stdout)["changed"], True)

    def test_hostile_requests_are_answered_once_and_the_gateway_goes_on(self):
        host = b"Host: localhost\r\n"
        smuggled = b"GET /healthz HTTP/1.1\r\n" + host + b"\r\n"
        table = {
            b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": b"400",
            b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 4\r\nContent-Length: 0\r\n\r\n": b"400",
            b"POST / HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n": b"411",
            b"POST / HTTP/1.1\r\n" + host + b"Transfer-Encoding: xchunked\r\n\r\n": b"501",
            b"POST / HTTP/1.1\r\n" + host + b"Content-Length : 4\r\n\r\n": b"400",
            b"POST /api/v1/senders HTTP/1.1\r\n" + host + b"Content-Length: 65537\r\n\r\n": b"413",
            b"GET /metrics HTTP/1.1\r\n" + host + b"Content-Length: 1\r\n\r\nx": b"413",
            b"GET / HTTP/1.1\r\n" + host + b"X: " + b"x" * 17000 + b"\r\n\r\n": b"431",
            b"GET / HTTP/1.1\r\n\r\n": b"400",
            b"EHLO client.test\r\n\r\n": b"400",
            b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n": b"400",
        }
        for data, status in table.items():
            got = self.raw(data + smuggled)
            self.assertTrue(got.startswith(b"HTTP/1.1 " + status + b" "), (data[:80], got[:200]))
            self.assertEqual(got.count(b"HTTP/1.1 "), 1, data[:80])
        got = self.raw(smuggled * 50, half_close=True)
        self.assertEqual(got.count(b"HTTP/1.1 200 OK\r\n"), 50)
        self.assertEqual(self.ask("GET", "/healthz")[0].status, 200)

    def test_slow_and_many_clients_hold_nobody_up(self):
        slow = [socket.create_connection(("127.0.0.1", self.port), 30) for _ in range(60)]
        for one in slow:
            one.sendall(b"GET /healthz HTTP/1.1\r\n")
        self.assertEqual(self.ask("GET", "/healthz")[0].status, 200)
        slow += [socket.create_connection(("127.0.0.1", self.port), 30) for _ in range(8)]
        self.assertEqual(self.ask("GET", "/healthz")[0].status, 503)
        for one in slow:
            one.close()
        end = time.monotonic() + 20
        while self.ask("GET", "/healthz")[0].status != 200:
            self.assertLess(time.monotonic(), end)
        self.assertEqual(self.gateway.status()["admin"]["http_port"], self.port)

    def test_many_at_once_and_a_stop_amid_them(self):
        stop = threading.Event()
        statuses = set()

        def hammer():
            while not stop.is_set():
                try:
                    statuses.add(self.ask("GET", "/metrics")[0].status)
                except (OSError, http.client.HTTPException):
                    pass

        threads = [threading.Thread(target=hammer) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        for _ in range(3):
            self.assertEqual(self.gateway.ctl("reload")[0], 0)
        self.assertEqual(self.gateway.terminate(), 0)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, {200})


class Configuration(unittest.TestCase):
    def test_without_admin_listen_there_is_no_listener(self):
        gateway = Gateway()
        self.addCleanup(gateway.close)
        gateway.start()
        self.assertNotIn("admin", gateway.status())

    def test_a_port_that_is_taken_is_said_and_ends_the_start(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            gateway = Gateway(server={"admin": {"socket": "admin.sock",
                                                "listen": f"127.0.0.1:{taken.getsockname()[1]}"}})
            self.addCleanup(gateway.close)
            with self.assertRaises(AssertionError) as failed:
                gateway.start()
            self.assertIn("Address already in use", str(failed.exception))
            self.assertEqual(gateway.process.wait(timeout=10), 1)
            gateway.process.stdout.close()
            gateway.process = None


if __name__ == "__main__":
    unittest.main()
