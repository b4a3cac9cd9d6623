#!/usr/bin/env python3
"""Autobahn's fuzzing client against the echo endpoint at URL, or with --client its fuzzing server against a client's
program, which is given the server's URL. ./run calls this with the right Python.

Prints a line for each case that is not as it should be and, last,
    N passed, M failed, K non-strict, U unimplemented
Informational cases count as passed. A case fails when its behaviour or its close failed, or when it left no result; it is
non-strict when the RFC allows what was done but wants something better, or the close had an unexpected code. Compression
cases are unimplemented when the compression they offer is not accepted. Exit status: 0 when all passed, 1
when not, 2 when the suite could not run.
"""
import argparse
import json
import os
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

WSTEST = Path(sys.prefix, "bin", "wstest")


def selected(spec):
    """The ids of the cases that the spec selects, in order."""
    from autobahntestsuite.case import CaseBasename, CaseCategories, Cases, CaseSetname, CaseSubCategories
    from autobahntestsuite.caseset import CaseSet

    return CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories).parseSpecCases(spec)


def run(mode, spec, outdir, stall, client=None):
    """Runs wstest until it or the client ends, or until it has said nothing for `stall` seconds. Returns its last lines."""
    spec_file = Path(outdir, "spec.json")
    spec_file.write_text(json.dumps(spec))
    wstest = subprocess.Popen(
        [WSTEST, "-m", mode, "-s", spec_file, "-u", "0"], cwd=outdir, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"})
    lines, said = queue.Queue(), []

    def pump():
        for line in wstest.stdout:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=pump, daemon=True).start()
    if client:
        threading.Thread(target=drive, args=(client, spec["url"], lines), daemon=True).start()
    try:
        while (line := lines.get(timeout=stall)) is not None:
            said = said[-30:] + [line]
    except queue.Empty:
        print(f"no progress for {stall:g} s after: {said[-1] if said else 'the start'}")
    finally:
        wstest.kill()
        wstest.wait()
    return said


def drive(client, url, lines):
    """Runs the client once the server listens; its end is the end."""
    host, port = url.removeprefix("ws://").split(":")
    for _ in range(200):
        try:
            socket.create_connection((host, int(port)), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    code = subprocess.run([*client, url], stdin=subprocess.DEVNULL).returncode
    lines.put(f"the client ended with {code}")
    lines.put(None)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def verdict(result):
    if result is None:
        return "failed"
    behaviour, close = result["behavior"], result["behaviorClose"]
    if behaviour == "UNIMPLEMENTED":
        return "unimplemented"
    if behaviour in ("FAILED", "NO_CLOSE") or close in ("FAILED", "UNCLEAN"):
        return "failed"
    if behaviour == "NON-STRICT" or close in ("WRONG CODE", "FAILED BY CLIENT"):
        return "non-strict"
    return "passed"


def explain(case, result, outdir):
    if result is None:
        return f"{case}: no result"
    report = json.loads(Path(outdir, result["reportfile"]).read_text())
    parts = [report.get(key) or "" for key in ("description", "result", "resultClose")]
    told = " | ".join(" ".join(re.sub(r"<[^>]*>", " ", part).split())[:160] for part in parts)
    return (f"{case}: {result['behavior']}, close {result['behaviorClose']} {result.get('remoteCloseCode')} | {told}")


def grade(cases, outdir):
    """Prints what is wrong, and the count; returns the exit status."""
    index = Path(outdir, "index.json")
    agents = json.loads(index.read_text()) if index.exists() else {}
    results = {case: result for agent in agents.values() for case, result in agent.items()}
    count = dict.fromkeys(("passed", "failed", "non-strict", "unimplemented"), 0)
    for case in cases:
        result = results.get(case)
        found = verdict(result)
        count[found] += 1
        if found != "passed":
            print(explain(case, result, outdir))
    print(", ".join(f"{n} {what}" for what, n in count.items()))
    return 1 if count["failed"] + count["non-strict"] + count["unimplemented"] else 0


def patterns(text):
    return [pattern for pattern in re.split(r"[,\s]+", text) if pattern]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url", nargs="?", help="the endpoint that echoes")
    options.add_argument("--client", nargs="+", metavar="PROGRAM", help="the client that echoes, and its arguments")
    options.add_argument("--cases", type=patterns, default=["*"], help="patterns, as 1.*,6.4.1 (default: all)")
    options.add_argument("--exclude", type=patterns, action="extend", default=[], help="patterns of cases to leave out")
    options.add_argument("--reports", help="keep the suite's own reports (index.html …) in this directory")
    options.add_argument("--stall", type=float, default=120, help="give up after so many seconds without progress")
    given = options.parse_args()

    with tempfile.TemporaryDirectory(prefix="autobahn-") as scratch:
        outdir = os.path.abspath(given.reports or scratch)
        os.makedirs(outdir, exist_ok=True)
        spec = {"outdir": outdir, "cases": given.cases, "exclude-cases": given.exclude, "exclude-agent-cases": {}}
        if given.client:
            spec["url"] = f"ws://127.0.0.1:{free_port()}"
        else:
            spec["servers"] = [{"agent": "server", "url": given.url}]
        cases = selected(spec)
        if not cases:
            print("no case is selected", file=sys.stderr)
            return 2
        said = run("fuzzingserver" if given.client else "fuzzingclient", spec, outdir, given.stall, given.client)
        if not Path(outdir, "index.json").exists():
            print("wstest left no report; the last it said:\n  " + "\n  ".join(said), file=sys.stderr)
            return 2
        return grade(cases, outdir)


if __name__ == "__main__":
    sys.exit(main())
