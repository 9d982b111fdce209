# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lab/bench/monitor.py [RATE [SECONDS [ATTEMPTS]]]: what the monitor costs, on the Asterisk of the lab that stands.

Asterisk itself sends the events of RATE attempts per second (200) for SECONDS (60), each of the size that its dialplan's have, and then
ATTEMPTS (100000) as fast as it can, through a real manager interface; the monitor logs and counts each, and finds it in the call records, to which
they are added too: for a lab that has no further use. Printed: the share of a core, and the memory as it goes. The exit status is 1 if an attempt is not
counted, or missed, the memory grows by more than 8 MiB in the second half, or 200 per second take 10 % of a core.
"""

from __future__ import annotations

import subprocess
import sys

from harness import Lab, podman

USER = """[siptrunk-bench]
secret = bench
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.1/255.255.255.255
read =
write = user
"""

INSIDE = r'''
import json, socket, subprocess, sys, time, urllib.request

rate, seconds, attempts = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
target = sys.argv[4]
records = open(json.load(open("/etc/siptrunk/monitor.json"))["records"], "a")
pid = subprocess.check_output(["systemctl", "show", "-P", "MainPID", "siptrunk-monitor"], text=True).strip()
# what Asterisk adds to a UserEvent of a channel
CHANNEL = "".join("Channel%d: PJSIP/phone-0000%04d and so on\r\n" % (number, number) for number in range(18))

def cpu():
    fields = open("/proc/%s/stat" % pid).read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100

def memory():
    return next(int(line.split()[1]) / 1024 for line in open("/proc/%s/status" % pid) if line.startswith("VmRSS"))

def counted(name="siptrunk_attempts_total{"):
    text = urllib.request.urlopen("http://127.0.0.1:9560/metrics").read().decode()
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)))

def record(number):
    attempt = {"at": "2026-11-25T00:00:00.000Z", "trunk": "beta", "target": target, "code": 503, "reason": "", "ms": 3, "next": "next_target"}
    return json.dumps({"call": "bench-%d.%d" % (number // 2, number // 2), "route": "intl", "attempts": [attempt, attempt], "passed_over": []}) + "\n"

def event(number):
    verdict, outcome, code = (("next_target", "503", "503"), ("final", "486", "486"))[number % 2]
    fields = "".join("%s: %s\r\n" % field for field in (
        ("Route", "intl"), ("Trunk", "beta"), ("Target", target), ("Code", code), ("Outcome", outcome), ("Ms", number % 1000), ("Verdict", verdict),
        ("Call", "bench-%d.%d" % (number // 2, number // 2))))
    return "Action: UserEvent\r\nUserEvent: SiptrunkAttempt\r\n%s%s\r\n" % (CHANNEL, fields)

sock = socket.create_connection(("127.0.0.1", 5038))
sock.sendall(b"Action: Login\r\nUsername: siptrunk-bench\r\nSecret: bench\r\nEvents: off\r\n\r\n")
sock.setblocking(False)

def drain():
    try:
        while sock.recv(1 << 20):
            pass
    except BlockingIOError:
        pass

def send(first, count):
    data = "".join(map(event, range(first, first + count))).encode()
    while data:
        drain()
        try:
            data = data[sock.send(data):]
        except BlockingIOError:
            time.sleep(0.002)
    records.write("".join(record(number) for number in range(first + first % 2, first + count, 2)))
    records.flush()

time.sleep(1)
before, missed, sent = counted(), counted("siptrunk_monitor_missed"), 0
began, used = time.monotonic(), cpu()
while time.monotonic() - began < seconds:
    due = int((time.monotonic() - began) * rate)
    send(sent, due - sent)
    sent = due
    time.sleep(0.05)
share = (cpu() - used) / (time.monotonic() - began)
print("%d attempts per second for %d s: %.1f %% of a core, %.1f MiB" % (rate, seconds, share * 100, memory()), flush=True)
rss, began = [memory()], time.monotonic()
for number in range(10):
    send(sent, attempts // 10)
    sent += attempts // 10
    while counted() < before + sent - 2000:
        time.sleep(0.05)
    rss.append(memory())
    print("%d attempts: %.1f MiB" % (sent, rss[-1]), flush=True)
deadline = time.monotonic() + 30
while counted() < before + sent and time.monotonic() < deadline:
    time.sleep(0.2)
took = time.monotonic() - began
time.sleep(8)
heard, missed = counted() - before, counted("siptrunk_monitor_missed") - missed
print("%d sent, %d counted, %d missed, %.0f per second" % (sent, heard, missed, attempts / took))
sys.exit(int(heard != sent or missed or max(rss[5:]) - rss[4] > 8 or (rate <= 200 and share >= 0.1)))
'''


def main() -> int:
    lab = Lab()
    pbx = lab.container(lab.pbx)
    arguments = [*sys.argv[1:], *("200", "60", "100000")[len(sys.argv) - 1 :], f"{lab.addresses['beta1']}:5060"]
    podman(pbx, ["sh", "-c", "cat > /etc/asterisk/manager.d/bench.conf && asterisk -rx 'manager reload'"], USER)
    try:
        return subprocess.run(["podman", "exec", "-i", pbx, "python3", "-", *arguments], input=INSIDE, text=True, check=False).returncode
    finally:
        podman(pbx, ["sh", "-c", "rm -f /etc/asterisk/manager.d/bench.conf; asterisk -rx 'manager reload'"])


if __name__ == "__main__":
    sys.exit(main())
