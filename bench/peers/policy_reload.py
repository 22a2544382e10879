#!/usr/bin/env python3
"""Whether a reload of a large policy disturbs running sessions: the latencies of a steady load, with reloads and without.

Usage: policy_reload.py [--reps N] [--rate N] [--seconds N]. Three ways in turns: nothing beside the load; a reload each second; the
same work in another process (ebbgated --check), which shows what the machine's cores alone explain. The policy is that of policy_cost.py: 1,000 tenants, 100,000 accounts,
1,000,000 authorised senders. A line of JSON for each run, then the medians, and how long a reload took by the operator's clock (the
management thread's, from the command to its answer, with what changed compared). EBBGATE_BUILD as for policy_cost.py.
"""

import argparse
import json
import statistics
import subprocess
import threading
import time

import policy_cost as ours

WAYS = ("nothing", "reload", "check")


def run(gateway, chosen, password, beside):
    times, ended = [], threading.Event()

    def reload():
        while beside != "nothing" and not ended.wait(1):
            begin = time.monotonic()
            if beside == "reload":
                code, _, error = gateway.ctl("reload")
            else:
                done = subprocess.run(["nice", "-n", "10", ours.programs.DAEMON, "--config",
                                       gateway.folder / "ebbgate.json", "--check"], capture_output=True, check=False)
                code, error = done.returncode, done.stderr
            assert code == 0, error
            times.append(time.monotonic() - begin)

    thread = threading.Thread(target=reload)
    thread.start()
    done = subprocess.run(
        [ours.programs.SOURCE, "--target", f"127.0.0.1:{gateway.ports['smtp']}", "--sessions", "20", "--messages",
         str(chosen.rate * chosen.seconds), "--rate", str(chosen.rate), "--per-connection", "500", "--size", "4096", "--tls",
         "starttls", "--user", "login7@source.test", "--password-file", password, "--json"],
        capture_output=True, text=True, check=True)
    ended.set()
    thread.join()
    result = json.loads(done.stdout.splitlines()[-1])
    return {"beside": beside, "times": len(times), "seconds": round(statistics.median(times), 3) if times else None,
            "rate": round(result["rate"]), **{f"{key}_ms": result["latency_ms"][key] for key in ("p50", "p99", "max")
                                              if key in result["latency_ms"]}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=10)
    chosen = parser.parse_args()
    sink = ours.programs.Sink(seconds=3600)
    gateway = ours.programs.Gateway(next_hop=sink.port, policy={"tenants": ours.full_tenants()})
    runs = []
    try:
        gateway.start()
        password = gateway.folder / "password"
        password.write_text(ours.programs.PASSWORD)
        run(gateway, chosen, str(password), "nothing")  # Warms.
        for _ in range(chosen.reps):
            for beside in WAYS:
                runs.append(run(gateway, chosen, str(password), beside))
                print(json.dumps(runs[-1]), flush=True)
    finally:
        gateway.close()
        sink.process.kill()
    medians = {beside: {key: statistics.median(one[key] for one in runs if one["beside"] == beside)
                        for key in ("p50_ms", "p99_ms")} for beside in WAYS}
    print(json.dumps({"medians": medians,
                      "reload_s": statistics.median(one["seconds"] for one in runs if one["beside"] == "reload")}))


if __name__ == "__main__":
    main()
