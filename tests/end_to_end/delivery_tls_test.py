#!/usr/bin/env python3
"""TLS to next hops: levels of routes, names, MTA-STS, DANE, and what is counted of it."""

import base64
import hashlib
import json
import pathlib
import re
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from attacked import saying
from dns_servers import Nsd, needs, signed, zone_text
from egress_test import RETRY, Egress, at, mx
from gateway import Gateway, Hop
from policy_server import WebServer, openssl

EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
ZONE = "plain.test"
SIGNED = "signed.test"


class Certificates:
    """A folder of them: `good` for every mail host, and each way to be wrong."""

    def __init__(self, hosts):
        self.kept = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.kept.name)
        for name in ("ca", "stranger"):
            openssl(self.folder, "req", "-x509", *EC, "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        self.sign("good", "ca", hosts)
        self.sign("other", "ca", ["other.test"])
        self.sign("unknown", "stranger", hosts)
        self.sign("old", "ca", hosts, days=-1)
        self.sign("web", "ca", [f"mta-sts.{name}.{ZONE}" for name in ("sts", "sts-bad", "sts-mx", "sts-try", "sts-clear")])
        openssl(self.folder, "req", "-x509", *EC, "-days", "2", "-subj", "/CN=self", "-keyout", "self.key", "-out", "self.pem")

    def sign(self, name, authority, hosts, days=2):
        (self.folder / f"{name}.ext").write_text("subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts) + "\n")
        openssl(self.folder, "req", *EC, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl(self.folder, "x509", "-req", "-days", str(days), "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey",
                f"{authority}.key", "-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def server(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context

    def key_digest(self, name):
        """Of the public key, for a TLSA record 3 1 1."""
        pem = subprocess.run(["openssl", "x509", "-in", self.folder / f"{name}.pem", "-noout", "-pubkey"], check=True, capture_output=True,
                             text=True).stdout
        return hashlib.sha256(base64.b64decode("".join(pem.splitlines()[1:-1]))).hexdigest()


@needs("nsd", "knotd")
class DeliveryTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hops = {}
        cls.stops = []
        try:
            cls.open()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def open(cls):
        certificates = {"any": "self", "clear": None, "good": "good", "other": "other", "old": "old", "unknown": "unknown", "cut": "good",
                        "cut2": "good", "sts-a": "good", "dane": "self", "dane-bad": "self", "dane-bogus": "self", "dane-alias": "self",
                        "dane-odd": "self"}
        zone_of = {host: SIGNED if host.startswith("dane") else ZONE for host in certificates}
        known = Certificates([f"{host}.{zone_of[host]}" for host in certificates])
        cls.stops.append(known.kept.cleanup)
        port = 0
        for number, (host, certificate) in enumerate(certificates.items()):
            faults = [("starttls", saying(b"220 go ahead\r\n", b"no TLS"))] * 50 if host.startswith("cut") else []
            hop = Hop(*faults, tls=certificate and known.server(certificate), port=port, host=f"127.0.7.{number + 1}")
            port = hop.port
            cls.hops[host] = hop
            cls.stops.append(hop.close)
        cls.port = port
        hosts = {ZONE: "", SIGNED: ""}
        for number, host in enumerate(certificates):
            hosts[zone_of[host]] += f"{host} A 127.0.7.{number + 1}\n"
        exchangers = {"may": "any", "count": "any", "none": "clear", "must": "any", "must-clear": "clear", "cut": "cut", "cut-must": "cut2", "verify": "good",
                      "sts": "sts-a", "sts-bad": "unknown", "sts-mx": "good", "sts-try": "unknown", "sts-clear": "clear"}
        plain = hosts[ZONE] + "".join(f"{domain} MX 10 {host}\n" for domain, host in exchangers.items())
        plain += "".join(f'_mta-sts.{domain} TXT "v=STSv1; id=1;"\n' for domain in exchangers if domain.startswith("sts"))
        tlsa = f"TLSA 3 1 1 {known.key_digest('self')}\n"
        dane = hosts[SIGNED] + "".join(f"d-{host} MX 10 {host}\n" for host in ("dane", "dane-bad", "dane-bogus", "dane-odd"))
        dane += "alias CNAME dane-alias\nd-alias MX 10 alias\nd-none MX 10 nothing\nnothing A 127.0.7.1\n"
        dane += f"_{port}._tcp.dane {tlsa}_{port}._tcp.dane-alias {tlsa}_{port}._tcp.dane-bad TLSA 3 1 1 {'ab' * 32}\n"
        dane += f"_{port}._tcp.dane-bogus TLSA 3 1 1 {'cd' * 32}\n_{port}._tcp.dane-odd TLSA 9 9 9 {'ef' * 32}\n"
        texts, anchors = signed({SIGNED: zone_text(SIGNED, dane)})
        forged = re.sub("cd" * 32, known.key_digest("self"), texts[SIGNED], flags=re.I)
        assert forged != texts[SIGNED]
        (known.folder / "anchor").write_text(anchors)
        names = Nsd({ZONE: zone_text(ZONE, plain), SIGNED: forged})
        cls.stops.append(names.close)
        cls.web = WebServer(known.folder, "web")
        cls.stops.append(cls.web.close)
        for domain, host, mode in (("sts", "sts-a", "enforce"), ("sts-bad", "unknown", "enforce"), ("sts-mx", "elsewhere", "enforce"),
                                   ("sts-try", "elsewhere", "testing"), ("sts-clear", "clear", "enforce")):
            body = f"version: STSv1\r\nmode: {mode}\r\nmx: {host}.{ZONE}\r\nmax_age: 86400\r\n"
            cls.web.put(f"{domain}.{ZONE}", body=body.encode())
        routes = [{"match": f"{domain}.{ZONE}", "relay": "mx", "tls": level} for domain, level in
                  (("must", "required"), ("must-clear", "required"), ("cut-must", "required"), ("verify", "verify"))]
        routes += [{"match": f"to-{host}.test", "relay": f"{host}.{ZONE}:{port}", "tls": "verify"} for host in
                   ("good", "other", "old", "unknown", "clear")]
        routes += [{"match": "off.test", "relay": f"any.{ZONE}:{port}", "tls": "off"}, {"match": "*", "relay": "mx"}]
        cls.gateway = Gateway(
            server={"dns": {"resolver": names.server, "trust_anchor": str(known.folder / "anchor"), "private_addresses": "allow"},
                    "authorities": str(known.folder / "ca.pem"),
                    "mta_sts": {"ca": str(known.folder / "ca.pem"), "connect_to": f"127.0.0.1:{cls.web.port}"}},
            policy={"routes": routes,
                    "delivery": {"mx_port": port, "retry": {"first": "1s", "factor": 1, "max": "1s", "max_age": "1d"}}})
        cls.stops.append(cls.gateway.close)
        cls.gateway.start()

    @classmethod
    def tearDownClass(cls):
        for stop in reversed(cls.stops):
            stop()

    def send(self, domain):
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["smtp"], timeout=20) as client:
            client.ehlo()
            client.mail("a@acme.test")
            client.rcpt(f"u@{domain}")
            code, text = client.data(f"From: a@acme.test\r\nSubject: {domain}\r\n\r\nx\r\n")
        self.assertEqual(code, 250, text)
        return text.decode().split()[-1]

    def wait(self, find, what, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := find():
                return found
            time.sleep(0.05)
        raise AssertionError(f"never came: {what}\n" + self.gateway.text_log()[-3000:])

    def delivered(self, domain):
        """Sends a message there -> what the text log says of TLS, and the event."""
        queue_id = self.send(domain)
        line = self.wait(lambda: re.search(rf"{queue_id}: to=.* status=sent", self.gateway.text_log()), f"{domain} delivered")[0]
        events = self.wait(lambda: [one for one in self.gateway.events() if one.get("id") == queue_id and one["type"] == "Delivery"],
                           f"{domain} in the events")
        return re.search(r"tls=([^,]*),", line)[1], events[0]

    def refused(self, domain, host, text):
        """Sends a message there, which must wait, for a reason that is told; nothing reaches the host."""
        hop = self.hops[host]
        before = len(hop.seen), hop.clear
        queue_id = self.send(domain)

        def fault():
            code, out, _ = self.gateway.ctl("why", queue_id, "--json")
            told = code == 0 and json.loads(out)["recipients"][0].get("destination_fault", "")
            return told and text in told and told
        told = self.wait(fault, f"{domain}: {text}")
        self.wait(lambda: told in self.gateway.text_log(), "a note in the log")
        self.assertEqual((len(hop.seen), hop.clear), before)
        return told

    def report(self, domain):
        """{(policy type, result): sessions} of today."""
        code, out, err = self.gateway.ctl("tls-report", domain)
        self.assertEqual(code, 0, err)
        counted = {}
        for policy in json.loads(out)["policies"]:
            kind = policy["policy"]["policy-type"]
            if good := policy["summary"]["total-successful-session-count"]:
                counted[kind, "success"] = good
            for detail in policy.get("failure-details", []):
                if detail["result-type"].startswith(("starttls", "certificate")):  # Met by a connection, not at its policy.
                    self.assertEqual(detail["sending-mta-ip"], "127.0.0.1")
                counted[kind, detail["result-type"]] = detail["failed-session-count"]
        return counted

    def test_opportunistic_takes_any_certificate(self):
        tls, event = self.delivered(f"may.{ZONE}")
        self.assertEqual(tls, "may/encrypt")
        self.assertEqual(event["tls_protocol_version"], "TLSv1.3")
        self.assertRegex(event["tls_cipher"], "^TLS")
        self.assertEqual(self.report(f"may.{ZONE}"), {("no-policy-found", "success"): 1})

    def test_opportunistic_goes_in_the_clear_where_nothing_is_offered(self):
        tls, event = self.delivered(f"none.{ZONE}")
        self.assertEqual(tls, "may/none")
        self.assertNotIn("tls_cipher", event)
        self.assertEqual(self.report(f"none.{ZONE}"), {("no-policy-found", "starttls-not-supported"): 1})

    def test_off_is_in_the_clear(self):
        clear = self.hops["any"].clear
        self.assertEqual(self.delivered("off.test")[0], "none/none")
        self.assertEqual(self.hops["any"].clear, clear + 1)

    def test_required_takes_any_certificate_and_never_the_clear(self):
        self.assertEqual(self.delivered(f"must.{ZONE}")[0], "encrypt/encrypt")
        self.refused(f"must-clear.{ZONE}", "clear", "TLS is required and not offered")

    def test_a_broken_handshake_leads_to_the_clear_only_where_it_may(self):
        self.assertEqual(self.delivered(f"cut.{ZONE}")[0], "may/none")
        self.assertEqual(self.hops["cut"].clear, 1)
        self.assertEqual(self.report(f"cut.{ZONE}"), {("no-policy-found", "validation-failure"): 1})
        self.refused(f"cut-must.{ZONE}", "cut2", "TLS failed")

    def test_verify_wants_the_name(self):
        tls, event = self.delivered("to-good.test")
        self.assertEqual(tls, "verify/verify")
        self.assertEqual(event["tls_peer_subject_name"], ["good"])
        self.assertEqual(self.delivered(f"verify.{ZONE}")[0], "verify/verify")
        for host, text in (("other", "another host"), ("old", "expired"), ("unknown", "trusted"), ("clear", "not offered")):
            with self.subTest(host):
                self.refused(f"to-{host}.test", host, text)

    def test_mta_sts_is_enforced(self):
        self.assertEqual(self.delivered(f"sts.{ZONE}")[0], "sts/verify")
        self.assertEqual(self.report(f"sts.{ZONE}"), {("sts", "success"): 1})
        self.refused(f"sts-bad.{ZONE}", "unknown", "trusted")
        self.assertGreater(self.report(f"sts-bad.{ZONE}")["sts", "certificate-not-trusted"], 0)
        told = self.refused(f"sts-mx.{ZONE}", "good", "is not in the MTA-STS policy")
        self.assertIn(f"good.{ZONE}", told)
        self.assertGreater(self.report(f"sts-mx.{ZONE}")["sts", "validation-failure"], 0)
        self.refused(f"sts-clear.{ZONE}", "clear", "not offered")
        self.assertEqual(self.web.hits.count(f"mta-sts.sts-bad.{ZONE}/.well-known/mta-sts.txt"), 1, "a policy is kept")

    def test_mta_sts_in_testing_is_only_counted(self):
        self.assertEqual(self.delivered(f"sts-try.{ZONE}")[0], "may/encrypt")
        self.assertEqual(self.report(f"sts-try.{ZONE}"), {("sts", "certificate-not-trusted"): 1})

    def test_dane(self):
        tls, event = self.delivered(f"d-dane.{SIGNED}")
        self.assertEqual(tls, "dane/dane")
        self.assertEqual(event["tls_peer_subject_name"], ["self"])
        self.assertEqual(self.report(f"d-dane.{SIGNED}"), {("tlsa", "success"): 1})
        self.assertEqual(self.delivered(f"d-alias.{SIGNED}")[0], "dane/dane")
        self.assertEqual(self.delivered(f"d-dane-odd.{SIGNED}")[0], "encrypt/encrypt", "no record is usable")
        self.assertEqual(self.delivered(f"d-none.{SIGNED}")[0], "may/encrypt", "no record")
        self.refused(f"d-dane-bad.{SIGNED}", "dane-bad", "TLSA")
        self.assertGreater(self.report(f"d-dane-bad.{SIGNED}")["tlsa", "tlsa-invalid"], 0)
        self.refused(f"d-dane-bogus.{SIGNED}", "dane-bogus", "no TLSA answer that can be relied on")
        self.assertGreater(self.report(f"d-dane-bogus.{SIGNED}")["tlsa", "dnssec-invalid"], 0)

    def test_counts_are_kept_and_listed(self):
        self.delivered(f"count.{ZONE}")
        code, out, err = self.gateway.ctl("tls-report")
        self.assertEqual(code, 0, err)
        self.assertIn(f"count.{ZONE}", out.split())
        self.assertEqual(self.gateway.ctl("tls-report", "--day", "2020-01-01"), (0, "", ""))
        self.assertEqual(self.gateway.ctl("tls-report", "--day", "2020-13-01")[0], 2)


class SilentPolicyHosts(Egress):
    def test_they_cost_each_domain_one_time_out_and_the_others_nothing(self):
        domains = [f"d{number}.test" for number in range(40)]
        names = {name: mx("m.test") for name in [*domains, "plain.test"]} | {"m.test": at("127.0.0.2")}
        names |= {f"_mta-sts.{name}": {"TXT": ['"v=STSv1; id=1;"']} for name in domains}
        zone = self.zone(names)
        silent = socket.create_server(("127.0.0.1", 0), backlog=100)  # Nobody accepts.
        self.addCleanup(silent.close)
        self.mail_host("127.0.0.2")
        gateway = self.gateway(
            server={"dns": {"resolver": zone.server.server, "private_addresses": "allow", "trust_anchor": "none"},
                    "mta_sts": {"connect_to": f"127.0.0.1:{silent.getsockname()[1]}"}},
            policy={"routes": [{"match": "*", "relay": "mx"}], "delivery": {"retry": RETRY, "mx_port": self.port}})
        began = time.monotonic()
        for name in domains:
            self.send(gateway, [f"x@{name}"])
        self.send(gateway, ["x@plain.test"])
        self.done(gateway, 1, 5)
        self.assertLess(time.monotonic() - began, 6)
        self.done(gateway, 41, 20)
        self.assertLess(time.monotonic() - began, 16)


if __name__ == "__main__":
    unittest.main()
