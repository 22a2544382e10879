#!/usr/bin/env python3
"""What policy, AUTH and limits cost: the same load on two gateways, in turns, and the ratio of the medians.

Usage: policy_cost.py [--reps N] [--messages N] [--per-connection N] [--size N]. One gateway has one tenant by its address, no
limits, and does not look at the header From. The other has 1,000 tenants with 100,000 accounts and 1,000,000 authorised
senders, checks the header From, counts each message against six rates, and each client logs in. Both speak TLS and deliver to a
sink. A line of JSON for each run, then the result. EBBGATE_BUILD names the build folder (default build-release).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / os.environ.get("EBBGATE_BUILD", "build-release")
PROGRAMS = BUILD / "src/program"
os.environ.update(EBBGATE_DAEMON=str(PROGRAMS / "daemon/ebbgated"), EBBGATE_CTL=str(PROGRAMS / "ctl/ebbgatectl"),
                  EBBGATE_SOURCE=str(PROGRAMS / "source/ebbgate-source"), EBBGATE_SINK=str(PROGRAMS / "sink/ebbgate-sink"))
sys.path.insert(0, str(ROOT / "tests/end_to_end"))
import gateway as programs  # noqa: E402: it reads the environment above.

RATES = {name: "1000000000/day" for name in (
    "messages_per_sender", "messages_per_account", "messages_per_tenant",
    "recipients_per_sender", "recipients_per_account", "recipients_per_tenant")}
TENANTS, ACCOUNTS, SENDERS = 1000, 100, 1000  # The latter two in each tenant.


def open_tenants():
    return [{"name": "acme", "domains": ["source.test"], "authorized_senders": ["@source.test"],
             "check_header_from": False, "relay_hosts": ["127.0.0.0/8"]}]


def full_tenants():
    hashed = programs.password_hash()
    tenants = []
    for tenant in range(TENANTS):
        domain = "source.test" if tenant == 0 else f"t{tenant}.test"
        tenants.append({
            "name": f"t{tenant}", "domains": [domain], "limits": RATES,
            "authorized_senders": [f"user{number}@{domain}" for number in range(SENDERS - 1)] + [f"bounce@{domain}"],
            "accounts": [{"login": f"login{number}@{domain}", "password": hashed} for number in range(ACCOUNTS)]})
    return tenants


def run(gateway, name, chosen, login, password):
    before = os.times()
    used = pathlib.Path(f"/proc/{gateway.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    done = subprocess.run(
        [programs.SOURCE, "--target", f"127.0.0.1:{gateway.ports['smtp']}", "--sessions", "50",
         "--messages", str(chosen.messages), "--per-connection", str(chosen.per_connection), "--size", str(chosen.size),
         "--tls", "starttls", "--json", *(["--user", login, "--password-file", password] if login else [])],
        capture_output=True, text=True, check=True)
    after = pathlib.Path(f"/proc/{gateway.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["acknowledged"] == chosen.messages, result
    ticks = sum(map(int, after)) - sum(map(int, used))
    times = os.times()
    return {"gateway": name, "rate": round(result["rate"]), "p99_ms": result["latency_ms"]["p99"],
            "gateway_cpu_us": round(ticks / os.sysconf("SC_CLK_TCK") / chosen.messages * 1e6, 1),
            "source_cpu_us": round((times.children_user + times.children_system - before.children_user
                                    - before.children_system) / chosen.messages * 1e6, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--messages", type=int, default=40000)
    parser.add_argument("--per-connection", type=int, default=200)
    parser.add_argument("--size", type=int, default=4096)
    chosen = parser.parse_args()
    sinks = [programs.Sink(seconds=3600) for _ in range(2)]
    gateways = {"open": programs.Gateway(next_hop=sinks[0].port, policy={"tenants": open_tenants()}),
                "full": programs.Gateway(next_hop=sinks[1].port, policy={"tenants": full_tenants()})}
    runs = []
    try:
        for gateway in gateways.values():
            gateway.start()
        password = gateways["full"].folder / "password"
        password.write_text(programs.PASSWORD)
        for turn in range(chosen.reps + 1):
            for name, gateway in gateways.items():
                login = "login7@source.test" if name == "full" else ""
                one = run(gateway, name, chosen, login, str(password))
                gateway.wait(lambda status: sum(status["queue"][key] for key in ("ready", "in_flight", "deferred")) == 0, 120)
                if turn > 0:  # The first warms.
                    runs.append(one)
                    print(json.dumps(one), flush=True)
    finally:
        for gateway in gateways.values():
            gateway.close()
        for sink in sinks:
            sink.process.kill()
    medians = {name: {key: statistics.median(one[key] for one in runs if one["gateway"] == name)
                      for key in ("rate", "p99_ms", "gateway_cpu_us")} for name in gateways}
    print(json.dumps({"medians": medians, "rate_ratio": round(medians["full"]["rate"] / medians["open"]["rate"], 3),
                      "cpu_ratio": round(medians["full"]["gateway_cpu_us"] / medians["open"]["gateway_cpu_us"], 3)}))


if __name__ == "__main__":
    main()
