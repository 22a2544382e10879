#!/usr/bin/env python3
"""Where mail goes by DNS: nsd with a zone for every case, signed zones, and servers that misbehave."""

import json
import os
import pathlib
import struct
import subprocess
import threading
import time
import unittest

from dns_servers import Nsd, Scripted, dnslib, needs, reply, signed, zone_text

ASK = os.environ["EBBGATE_DNS_ASK"]
needs_dnslib = unittest.skipIf(dnslib is None, "skipped: python3-dnslib is not installed")

EXCHANGERS = "\n".join(f"many MX {i} h{i:02}\nh{i:02} A 192.0.2.{i}" for i in range(30))
CHAIN = "\n".join(f"chain{i} CNAME chain{i + 1}" for i in range(30)) + "\nchain30 MX 10 mx1"
PLAIN = f"""
mx1 A 192.0.2.1
mx1 AAAA 2001:db8::1
mx2 A 192.0.2.2
mx3 A 192.0.2.3
mx4 AAAA 2001:db8::4
two MX 20 mx2
two MX 10 mx1
turned MX 5 mx2
turned MX 7 MX1
same MX 10 mx1
same MX 10 mx2
same MX 10 mx3
double MX 30 mx1
double MX 10 mx1
implicit A 192.0.2.9
implicit6 AAAA 2001:db8::9
text TXT "no mail here"
null MX 0 .
nullbut MX 0 .
nullbut MX 10 mx1
alias CNAME two
aliasnull CNAME null
dangling CNAME nothing
toalias MX 10 mxalias
mxalias CNAME mx1
literal MX 10 192.0.2.1.
literalbut MX 5 192.0.2.1.
literalbut MX 10 mx1
ours MX 10 mx1
ours MX 20 gate
ours MX 20 mx2
ours MX 30 mx3
loop MX 10 gate
loop MX 20 mx1
gate A 192.0.2.77
ouraddress MX 10 me
me A 198.51.100.7
ouraddressbut MX 10 mx1
ouraddressbut MX 20 me
ouraddressbut MX 30 mx2
inside MX 10 in10
in10 A 10.0.0.1
insidebut MX 10 in10
insidebut MX 20 mx2
mixed A 127.0.0.1
mixed A 192.0.2.5
lo A 127.0.0.1
lo6 AAAA ::1
linklocal AAAA fe80::1
uniquelocal AAAA fd00::1
nat64 AAAA 64:ff9b::a00:1
zero A 0.0.0.0
mapped AAAA ::ffff:192.0.2.1
multicast A 224.0.0.1
gone MX 10 nothing
gone MX 20 text
gonebut MX 10 nothing
gonebut MX 20 mx2
abroad MX 10 mx.elsewhere.test.
abroadbut MX 10 mx.elsewhere.test.
abroadbut MX 20 mx2
only6 MX 10 mx4
addresses A 203.0.113.1
{chr(10).join(f"addresses A 203.0.113.{i}" for i in range(2, 60))}
addresses AAAA 2001:db8::11
zerottl 0 MX 10 mx1
longttl 1000000 MX 10 mx5
mx5 1000000 A 192.0.2.5
txt TXT "v=spf1 " "-all"
bigtxt TXT {" ".join('"' + "x" * 250 + '"' for _ in range(100))}
_25._tcp.mx1 TLSA 3 1 1 {"ab" * 32}
{EXCHANGERS}
{CHAIN}
"""
REVERSE = "1 PTR mx1.z.example.\n"
SIGNED = "@ MX 10 mx\nmx A 192.0.2.1\n_25._tcp.mx TLSA 3 1 1 " + "cd" * 32 + "\nplain MX 10 mx1.z.example.\nalias CNAME mx\nout MX 10 alias\n"


class Asker:
    def __init__(self, *options, server=None):
        servers = [part for one in ([server] if isinstance(server, str) else server or []) for part in ("--server", one)]
        self.process = subprocess.Popen([ASK, *servers, *map(str, options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def all(self, *questions):
        self.process.stdin.write(" ".join(questions) + "\n")
        self.process.stdin.flush()
        answers = []
        while line := self.process.stdout.readline().rstrip("\n"):
            answers.append(json.loads(line))
        return answers

    def __call__(self, question):
        return self.all(question)[0]

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(20)
        self.process.stdout.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *error):
        code = self.close()
        if error[0] is None and code != 0:
            raise AssertionError(f"dns_ask ended with {code}")


def hosts(route):
    return [(one["preference"], one["name"].removesuffix(".z.example"), one["addresses"]) for one in route["hosts"]]


@needs("nsd")
class Zones(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nsd = Nsd({"z.example": zone_text("z.example", PLAIN),
                       "2.0.192.in-addr.arpa": zone_text("2.0.192.in-addr.arpa", REVERSE)})
        cls.ask = Asker("--own", "gate.z.example", "--own-address", "198.51.100.7", server=cls.nsd.server)

    @classmethod
    def tearDownClass(cls):
        code = cls.ask.close()
        cls.nsd.close()
        assert code == 0, code

    def route(self, name):
        return self.ask(f"route:{name}.z.example")

    def check(self, name, verdict, expected=None, code=0, status="", text=""):
        found = self.route(name)
        self.assertEqual(found["verdict"], verdict, found)
        self.assertEqual((found["code"], found["status"]), (code, status), found)
        self.assertIn(text, found["text"])
        if expected is not None:
            self.assertEqual(hosts(found), expected, found)
        else:
            self.assertEqual(found["hosts"], [])
        return found

    def test_preferences_and_both_families(self):
        with Asker(server=self.nsd.server) as ask:  # To which nothing is known yet: each record has all its time.
            found = ask("route:two.z.example")
        self.assertLessEqual(found["for_ms"], 300_000)
        self.assertGreater(found["for_ms"], 290_000)
        found = self.check("two", "hosts", [(10, "mx1", ["2001:db8::1", "192.0.2.1"]), (20, "mx2", ["192.0.2.2"])])
        self.assertEqual(found["lane"], "mx1.z.example,mx2.z.example")
        self.assertEqual(self.route("turned")["lane"], found["lane"])
        self.assertFalse(found["mx_secure"])
        self.assertFalse(found["implicit"])
        self.assertEqual(self.ask("route:TWO.Z.Example")["lane"], found["lane"])

    def test_random_within_a_preference(self):
        firsts = {self.route("same")["order"][0].split()[0] for _ in range(60)}
        self.assertEqual(firsts, {"mx1.z.example", "mx2.z.example", "mx3.z.example"})
        for _ in range(20):
            self.assertEqual(self.route("two")["order"][2], "mx2.z.example 192.0.2.2")

    def test_a_host_named_twice_counts_once(self):
        self.check("double", "hosts", [(10, "mx1", ["2001:db8::1", "192.0.2.1"])])

    def test_implicit(self):
        found = self.check("implicit", "hosts", [(0, "implicit", ["192.0.2.9"])])
        self.assertTrue(found["implicit"])
        self.check("implicit6", "hosts", [(0, "implicit6", ["2001:db8::9"])])

    def test_no_mail(self):
        self.check("null", "null_mx", code=556, status="5.1.10")
        self.check("aliasnull", "null_mx", code=556, status="5.1.10")
        self.check("nullbut", "hosts", [(10, "mx1", ["2001:db8::1", "192.0.2.1"])])
        self.check("nothing", "no_domain", code=550, status="5.1.2", text="does not exist")
        self.check("dangling", "no_domain", code=550, status="5.1.2")
        self.check("text", "no_host", code=550, status="5.4.4", text="has no address")
        self.check("gone", "no_host", code=550, status="5.4.4", text="nothing.z.example does not exist")
        self.check("gonebut", "hosts", [(20, "mx2", ["192.0.2.2"])])
        for name in ("no..dots", "-x", "a b", "192.0.2.1", "[192.0.2.1]", ""):
            found = self.ask(f"route:{name}".replace(" ", "\\")) if name else self.ask("route:")
            self.assertEqual(found["verdict"], "no_domain", name)

    def test_aliases(self):
        found = self.check("alias", "hosts", [(10, "mx1", ["2001:db8::1", "192.0.2.1"]), (20, "mx2", ["192.0.2.2"])])
        self.assertEqual(found["canonical"], "two.z.example")
        found = self.check("toalias", "hosts", [(10, "mxalias", ["2001:db8::1", "192.0.2.1"])])
        self.assertEqual(found["hosts"][0]["canonical"], "mx1.z.example")
        # A short chain is followed; a long one is trouble, never a bounce.
        self.assertEqual(self.route("chain26")["verdict"], "hosts")
        self.check("chain0", "trouble", code=451, status="4.4.3")

    def test_an_address_is_no_exchanger(self):
        self.check("literal", "no_host", code=550, status="5.4.4")
        self.check("literalbut", "hosts", [(10, "mx1", ["2001:db8::1", "192.0.2.1"])])

    def test_our_own_place_among_them(self):
        self.check("ours", "hosts", [(10, "mx1", ["2001:db8::1", "192.0.2.1"])])
        self.check("loop", "loops", code=554, status="5.4.6")
        self.check("gate", "loops", code=554, status="5.4.6")
        self.check("ouraddress", "loops", code=554, status="5.4.6")
        self.check("ouraddressbut", "hosts", [(10, "mx1", ["2001:db8::1", "192.0.2.1"])])

    def test_inner_addresses_are_refused(self):
        for name in ("inside", "lo", "lo6", "linklocal", "uniquelocal", "nat64", "zero", "multicast"):
            self.check(name, "no_host", code=550, status="5.4.4", text="where no mail is sent to")
        self.check("mapped", "no_host", code=550, status="5.4.4")
        self.check("insidebut", "hosts", [(20, "mx2", ["192.0.2.2"])])
        self.check("mixed", "hosts", [(0, "mixed", ["192.0.2.5"])])
        self.assertEqual(self.ask("host:in10.z.example")["addresses"], ["10.0.0.1"])

    def test_inner_addresses_by_configuration(self):
        with Asker("--private", server=self.nsd.server) as ask:
            for name in ("inside", "lo", "lo6", "linklocal", "uniquelocal", "nat64"):
                self.assertEqual(ask(f"route:{name}.z.example")["verdict"], "hosts", name)
            for name in ("zero", "multicast", "mapped"):
                self.assertEqual(ask(f"route:{name}.z.example")["verdict"], "no_host", name)

    def test_trouble_at_one_host_is_that_hosts(self):
        # nsd refuses to speak of zones that it does not have.
        self.check("abroadbut", "hosts", [(20, "mx2", ["192.0.2.2"])])
        self.assertLessEqual(self.route("abroadbut")["for_ms"], 5000)
        self.check("abroad", "trouble", code=451, status="4.4.3", text="SERVFAIL")
        self.assertEqual(self.ask("route:elsewhere.test")["verdict"], "trouble")

    def test_bounds(self):
        found = self.route("many")
        self.assertEqual([one["preference"] for one in found["hosts"]], list(range(20)))
        found = self.route("addresses")["hosts"][0]["addresses"]
        self.assertEqual(len(found), 16)
        self.assertIn("2001:db8::11", found)

    def test_lives(self):
        self.assertAlmostEqual(self.route("zerottl")["for_ms"], 5_000, delta=2_000)
        self.assertAlmostEqual(self.route("longttl")["for_ms"], 3_600_000, delta=2_000)
        self.assertAlmostEqual(self.route("nothing")["for_ms"], 60_000, delta=30_000)

    def test_families(self):
        both = ["2001:db8::1", "192.0.2.1"]
        for family, expected in {"any": both, "prefer_ipv4": both[::-1], "ipv4": both[1:], "ipv6": both[:1]}.items():
            with Asker("--family", family, server=self.nsd.server) as ask:
                self.assertEqual(ask("route:two.z.example")["hosts"][0]["addresses"], expected, family)
                self.assertEqual(ask("route:only6.z.example")["verdict"], "no_host" if family == "ipv4" else "hosts")

    def test_other_records(self):
        self.assertEqual(self.ask("txt:txt.z.example")["records"], ["v=spf1 -all"])
        found = self.ask("txt:bigtxt.z.example")  # Truncated, then by TCP.
        self.assertEqual(found["records"], ["x" * 25000])
        self.assertEqual(self.ask("tlsa:_25._tcp.mx1.z.example")["records"], ["3 1 1 32"])
        self.assertEqual(self.ask("tlsa:_25._tcp.mx2.z.example")["status"], "no_name")
        self.assertEqual(self.ask("ptr:1.2.0.192.in-addr.arpa")["records"], ["mx1.z.example"])
        self.assertEqual(self.ask("ptr:9.2.0.192.in-addr.arpa")["status"], "no_name")
        self.assertEqual(self.ask("cname:alias.z.example")["records"], ["two.z.example"])
        self.assertEqual(self.ask("aaaa:mx2.z.example")["status"], "no_data")

    def test_names_of_the_hosts_file(self):
        self.assertIn("127.0.0.1", self.ask("host:localhost")["addresses"])
        file = self.nsd.folder / "hosts"
        file.write_text("192.0.2.200 smarthost.corp smarthost\n")
        with Asker("--hosts", file, server=self.nsd.server) as ask:
            self.assertEqual(ask("host:smarthost")["addresses"], ["192.0.2.200"])
            self.assertEqual(ask("host:smarthost.corp")["addresses"], ["192.0.2.200"])
            self.assertEqual(ask("route:smarthost.corp")["order"], ["smarthost.corp 192.0.2.200"])

    def test_settings_that_are_wrong(self):
        for options in (("--anchor", "/nowhere"), ("--anchor", "/bin/sh")):
            done = subprocess.run([ASK, "--server", self.nsd.server, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn(options[1], done.stderr)


@needs("nsd", "knotd", "keymgr")
class Signed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        zones, anchors = signed({name: zone_text(name, SIGNED) for name in ("s.example", "b.example")})
        zones["b.example"] = zones["b.example"].replace("192.0.2.1", "192.0.2.66")  # Behind the signer's back.
        zones["z.example"] = zone_text("z.example", PLAIN)
        cls.nsd = Nsd(zones)
        cls.anchor = cls.nsd.folder / "anchor"
        cls.anchor.write_text(anchors)
        cls.ask = Asker("--anchor", cls.anchor, server=cls.nsd.server)

    @classmethod
    def tearDownClass(cls):
        code = cls.ask.close()
        cls.nsd.close()
        assert code == 0, code

    def test_secure(self):
        found = self.ask("route:s.example")
        self.assertEqual((found["verdict"], found["mx_secure"], found["hosts"][0]["secure"]), ("hosts", True, True), found)
        found = self.ask("tlsa:_25._tcp.mx.s.example")
        self.assertEqual((found["status"], found["secure"]), ("found", True))
        for name, status in (("tlsa:_25._tcp.no.s.example", "no_name"), ("tlsa:mx.s.example", "no_data")):
            found = self.ask(name)
            self.assertEqual((found["status"], found["secure"]), (status, True), found)
        found = self.ask("route:out.s.example")["hosts"][0]
        self.assertEqual((found["canonical"], found["secure"]), ("mx.s.example", True))

    def test_secure_exchangers_with_insecure_addresses(self):
        found = self.ask("route:plain.s.example")
        self.assertEqual((found["mx_secure"], found["hosts"][0]["secure"]), (True, False), found)

    def test_insecure(self):
        found = self.ask("route:two.z.example")
        self.assertEqual((found["verdict"], found["mx_secure"]), ("hosts", False))

    def test_whether_the_servers_pass_dnssec_on(self):
        self.assertEqual(self.ask("probe:s.example"), "passed")
        self.assertEqual(self.ask("probe:z.example"), "unknown")  # Not signed.
        plain = Nsd({"s.example": zone_text("s.example", SIGNED)})
        self.addCleanup(plain.close)
        with Asker("--anchor", self.anchor, server=plain.server) as ask:
            self.assertEqual(ask("probe:s.example"), "dropped")
            self.assertTrue(ask("mx:s.example")["bogus"])
        with Asker("--anchor", self.anchor, "--timeout-ms", 500, server="127.0.0.1:1") as ask:
            self.assertEqual(ask("probe:s.example"), "unknown")

    def test_bogus_defers(self):
        found = self.ask("a:mx.b.example")
        self.assertEqual((found["status"], found["bogus"], found["records"]), ("trouble", True, []), found)
        self.assertIn("fails DNSSEC", found["text"])
        found = self.ask("route:b.example")
        self.assertEqual((found["verdict"], found["code"]), ("trouble", 451), found)


@needs_dnslib
class Misbehaviour(unittest.TestCase):
    def serve(self, script, *options, port=0):
        server = Scripted(script, port)
        self.addCleanup(server.close)
        ask = Asker(*options, server=server.server)
        self.addCleanup(lambda: self.assertEqual(ask.close(), 0))
        return server, ask

    @staticmethod
    def usual(name, kind, query):
        """d.test has two exchangers; every other name has an address."""
        if name.endswith("d.test") and kind == "MX":
            return reply(query, f"{query.q.qname} 60 MX 10 a.h.test", f"{query.q.qname} 60 MX 20 b.h.test")
        if kind == "A":
            return reply(query, f"{query.q.qname} 60 A 192.0.2.1")
        return reply(query)

    def trouble(self, ask, question, text=""):
        found = ask(question)
        self.assertEqual(found.get("verdict", found["status"]), "trouble", found)
        self.assertIn(text, found["text"])
        return found

    def test_silent_slow_and_answering(self):
        def script(name, kind, query, tcp):
            if name.startswith("silent"):
                return []
            if name.startswith("slow"):
                time.sleep(1.0)
            return [self.usual(name, kind, query).pack()]
        _, ask = self.serve(script, "--timeout-ms", 2500)
        begun = time.monotonic()
        self.trouble(ask, "route:silent.d.test", "no answer within 2.5 s")
        self.assertLess(time.monotonic() - begun, 4)
        self.assertEqual(ask("route:slow.d.test")["verdict"], "hosts")

    def test_many_silent_names_do_not_stop_others(self):
        def script(name, kind, query, tcp):
            return [] if name.startswith("silent") else [self.usual(name, kind, query).pack()]
        _, ask = self.serve(script, "--timeout-ms", 5000)
        found = ask.all(*[f"route:silent{i}.d.test" for i in range(200)], *[f"route:beside{i}.d.test" for i in range(20)])
        self.assertEqual([one["verdict"] for one in found], ["hosts"] * 20 + ["trouble"] * 200)  # As they came.
        begun = time.monotonic()
        found = [ask(f"route:good{i}.d.test")["verdict"] for i in range(20)]
        self.assertEqual(set(found), {"hosts"}, found)
        self.assertLess(time.monotonic() - begun, 5)

    def test_truncation(self):
        def script(name, kind, query, tcp):
            if name.startswith("never") and tcp:
                return []
            if not tcp:
                return [reply(query, truncated=True).pack()]
            return [self.usual(name, kind, query).pack()]
        _, ask = self.serve(script, "--timeout-ms", 3000)
        self.assertEqual(ask("route:d.test")["verdict"], "hosts")
        self.trouble(ask, "route:never.d.test")

    def test_garbage_and_forgery(self):
        def script(name, kind, query, tcp):
            good = self.usual(name, kind, query)
            if name.startswith("garbage"):
                return [b"\xff" * 40, os.urandom(200), b""]
            if name.startswith("id"):
                forged = query.reply()
                forged.header.id = (query.header.id + 1) % 65536
                return [forged.pack()] + ([good.pack()] if name.startswith("id-then") else [])
            if name.startswith("lower"):  # It does not keep the case of the question.
                plain = dnslib.DNSRecord(dnslib.DNSHeader(id=query.header.id), q=dnslib.DNSQuestion(name, query.q.qtype))
                return [self.usual(name, kind, plain).pack()]
            if name.startswith("other"):
                other = dnslib.DNSRecord(dnslib.DNSHeader(id=query.header.id), q=dnslib.DNSQuestion("d.test", query.q.qtype))
                return [self.usual("d.test", kind, other).pack()]
            return [good.pack()]
        _, ask = self.serve(script, "--timeout-ms", 2500)
        self.trouble(ask, "route:garbage.d.test")
        self.trouble(ask, "route:id.d.test")
        self.assertEqual(len(ask("route:id-then.d.test")["hosts"]), 2)
        self.trouble(ask, "route:other.d.test")
        self.assertEqual(len(ask("route:lower.d.test")["hosts"]), 2)

    def test_loops_and_lame(self):
        def script(name, kind, query, tcp):
            if name.startswith("loop"):
                return [reply(query, f"{query.q.qname} 60 CNAME pool.d.test").pack()]
            if name.startswith("pool"):
                return [reply(query, f"{query.q.qname} 60 CNAME loop.d.test").pack()]
            if name.startswith("self"):
                return [reply(query, f"{query.q.qname} 60 CNAME {query.q.qname}").pack()]
            for word, rcode in (("fail", 2), ("notimp", 4), ("refused", 5)):
                if name.startswith(word):
                    return [reply(query, rcode=rcode).pack()]
            return [self.usual(name, kind, query).pack()]
        _, ask = self.serve(script, "--timeout-ms", 8000)
        for name in ("loop", "self", "fail", "notimp", "refused"):
            self.trouble(ask, f"route:{name}.d.test")
        self.assertEqual(ask("route:d.test")["verdict"], "hosts")

    def test_trouble_of_a_host_or_a_family(self):
        def script(name, kind, query, tcp):
            if (name, kind) in broken or (name, "*") in broken:
                return [reply(query, rcode=2).pack()]
            return [self.usual(name, kind, query).pack()]
        broken = {("a.h.test", "*")}
        _, ask = self.serve(script)
        found = ask("route:d.test")
        self.assertEqual([one["name"] for one in found["hosts"]], ["b.h.test"])
        self.assertLessEqual(found["for_ms"], 5000)
        broken = {("a.h.test", "AAAA"), ("b.h.test", "AAAA")}
        _, ask = self.serve(script)
        self.assertEqual(len(ask("route:d.test")["hosts"]), 2)
        broken = {("a.h.test", "A"), ("b.h.test", "A")}
        _, ask = self.serve(script)
        self.trouble(ask, "route:d.test", "A of a.h.test: SERVFAIL")

    def test_malformed_exchangers(self):
        def script(name, kind, query, tcp):
            if name.startswith("bad") and kind == "MX":
                answer = reply(query, f"{query.q.qname} 60 MX 10 a.h.test")
                packet = bytearray(answer.pack())
                packet[-2:] = b"\xc0\xff"  # A name that points behind the packet.
                return [bytes(packet)]
            if name.startswith("short") and kind == "MX":
                return [reply(query).pack()[:6] + struct.pack("!HHH", 1, 0, 0) + query.pack()[12:12 + len(query.q.qname.label) * 20] + b"\xc0\x0c\0\x0f\0\1"]
            return [self.usual(name, kind, query).pack()]
        _, ask = self.serve(script, "--timeout-ms", 3000)
        self.trouble(ask, "route:bad.d.test")
        self.trouble(ask, "route:short.d.test")

    def test_a_server_that_is_away_and_comes_back(self):
        server, ask = self.serve(lambda name, kind, query, tcp: [self.usual(name, kind, query).pack()], "--timeout-ms", 2000)
        self.assertEqual(ask("route:d.test")["verdict"], "hosts")
        port = server.port
        server.close()
        for i in range(5):
            self.trouble(ask, f"route:away{i}.d.test")
        again = Scripted(server.script, port)
        self.addCleanup(again.close)
        until = time.monotonic() + 15
        count = 0
        while (found := ask(f"route:back{count}.d.test"))["verdict"] != "hosts":
            self.assertLess(time.monotonic(), until, found)
            count += 1

    def test_the_second_server_when_the_first_is_dead(self):
        second = Scripted(lambda name, kind, query, tcp: [self.usual(name, kind, query).pack()])
        self.addCleanup(second.close)
        silent = Scripted(lambda name, kind, query, tcp: [])
        self.addCleanup(silent.close)
        with Asker("--timeout-ms", 5000, server=[silent.server, second.server]) as ask:
            self.assertEqual(ask("route:d.test")["verdict"], "hosts")

    def test_one_question_for_many_askers(self):
        def script(name, kind, query, tcp):
            time.sleep(0.2)
            return [self.usual(name, kind, query).pack()]
        server, ask = self.serve(script)
        found = ask.all("route:d.test*500", "route:x.d.test*500", "host:a.h.test*100")
        self.assertEqual(len(found), 1100)
        # The server may be asked again for what it is slow to answer; here each question counts once: MX of two names, and both
        # families of two hosts.
        self.assertEqual(ask("counts:")["asked"], 2 + 2 * 2)
        self.assertEqual(sorted(server.asked), sorted([(f"{name}d.test", "MX") for name in ("", "x.")] +
                                                      [(f"{name}.h.test", kind) for name in "ab" for kind in ("A", "AAAA")]))
        ask.all("route:d.test*500")
        self.assertEqual(ask("counts:")["asked"], 2 + 2 * 2)
        ask.all("forget:", "route:d.test")
        self.assertEqual(ask("counts:")["unanswered"], 0)

    def test_what_does_not_exist_is_remembered(self):
        server, ask = self.serve(lambda name, kind, query, tcp: [reply(query, rcode=3).pack()])
        for _ in range(50):
            self.assertEqual(ask("route:no.d.test")["verdict"], "no_domain")
        self.assertEqual(server.asked["no.d.test", "MX"], 1)

    def test_questions_are_in_mixed_case(self):
        seen = []

        def script(name, kind, query, tcp):
            seen.append(str(query.q.qname).rstrip("."))
            return [self.usual(name, kind, query).pack()]
        _, ask = self.serve(script)
        self.assertEqual(ask("route:a-long-name-with-many-letters.d.test")["verdict"], "hosts")
        self.assertNotIn(seen[0], (seen[0].lower(), seen[0].upper()))

    def test_trouble_is_asked_again_but_not_at_once(self):
        state = {"rcode": 2}
        server, ask = self.serve(lambda name, kind, query, tcp: [
            reply(query, rcode=state["rcode"]).pack() if state["rcode"] else self.usual(name, kind, query).pack()])
        self.trouble(ask, "route:d.test")
        asked = sum(server.asked.values())
        for _ in range(100):
            self.trouble(ask, "route:d.test")
        self.assertEqual(sum(server.asked.values()), asked)
        state["rcode"] = 0
        until = time.monotonic() + 20
        while ask("route:d.test")["verdict"] != "hosts":
            self.assertLess(time.monotonic(), until)
            time.sleep(0.5)

    def test_bounded_questions(self):
        _, ask = self.serve(lambda name, kind, query, tcp: [], "--timeout-ms", 1500, "--asked-max", 2, "--waiting-max", 3)
        begun = time.monotonic()
        found = ask.all(*[f"mx:n{i}.test" for i in range(10)])
        self.assertEqual({one["status"] for one in found}, {"trouble"})
        self.assertEqual(len([one for one in found if "too many questions" in one["text"]]), 5)
        self.assertEqual(len([one for one in found if "no answer within" in one["text"]]), 5)
        self.assertLess(time.monotonic() - begun, 4)
        counts = ask("counts:")
        self.assertEqual((counts["refused"], counts["timed_out"], counts["unanswered"]), (5, 5, 0))

    def test_stopping_answers_what_is_asked(self):
        _, ask = self.serve(lambda name, kind, query, tcp: [])
        begun = time.monotonic()
        found = ask.all("route:d.test", "mx:x.test*200", "stop:", "mx:late.test")
        self.assertEqual({one.get("verdict", one["status"]) for one in found}, {"trouble"})
        self.assertEqual(len(found), 202)
        self.assertLess(time.monotonic() - begun, 5)


if __name__ == "__main__":
    unittest.main()
