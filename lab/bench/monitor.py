# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lab/bench/monitor.py [ENGINE [RATE [SECONDS [ATTEMPTS]]]]: what the monitor costs, beside the engine (asterisk) of the lab that stands.

The engine itself sends the events of RATE attempts per second (200) for SECONDS (60), each of the size that its dialplan's have, and then
ATTEMPTS (100000), 1000 per second at the most, through its real control port (an SBC's datagrams come from here); the monitor logs and counts each,
and finds it in the call records, to which they are added too: for a lab that has no further use. Printed: the share of a core, and the memory as it goes.
The exit status is 1 if an attempt is not counted, or missed, the memory grows by more than 8 MiB in the second half, or 200 per second take 10 % of a core.
"""

from __future__ import annotations

import subprocess
import sys

from engines import ENGINES
from harness import Lab, enter

# Of Asterisk's manager interface, for who may send events.
USER = """[siptrunk-bench]
secret = bench
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.1/255.255.255.255
read =
write = user
"""

INSIDE = r'''
import json, os, socket, subprocess, sys, tempfile, time, urllib.request

target, rate, seconds, attempts = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
settings = json.load(open("/etc/siptrunk/monitor.json"))
records = open(settings["records"], "a")
pid = subprocess.check_output(["systemctl", "show", "-P", "MainPID", "siptrunk-monitor"], text=True).strip()
if settings["engine"] == "asterisk":
    # with what Asterisk adds to a UserEvent of a channel
    login = "Action: Login\r\nUsername: siptrunk-bench\r\nSecret: bench\r\nEvents: off\r\n\r\n"
    head, line = "Action: UserEvent\r\nUserEvent: SiptrunkAttempt\r\n", "\r\n"
    head += "".join("Channel%d: PJSIP/phone-0000%04d and so on\r\n" % (number, number) for number in range(18))
elif settings["engine"] == "freeswitch":
    login = "auth %s\n\n" % open(settings["secret"]).read().strip()
    head, line = "sendevent CUSTOM\nEvent-Subclass: siptrunk::attempt\n", "\n"
else:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        os.chmod(folder, 0o711)
        asking.bind(folder + "/s")
        os.chmod(folder + "/s", 0o622)
        asking.sendto(b'{"jsonrpc": "2.0", "method": "htable.get", "params": ["listener", "monitor"], "id": 1}', "/run/kamailio/siptrunk.sock")
        port, word = json.loads(asking.recv(65536))["result"]["item"]["value"].split()

def cpu():
    fields = open("/proc/%s/stat" % pid).read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

def memory():
    return next(int(line.split()[1]) / 1024 for line in open("/proc/%s/status" % pid) if line.startswith("VmRSS"))

def counted(name="siptrunk_attempts_total{"):
    text = urllib.request.urlopen("http://127.0.0.1:9560/metrics").read().decode()
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)))

def call(number):
    return "bench-%d.%d" % (number // 2, number // 2)

def record(number):
    attempt = {"at": "2026-11-25T00:00:00.000Z", "trunk": "beta", "target": target, "code": 503, "reason": "", "ms": 3, "next": "next_target"}
    return json.dumps({"call": call(number), "route": "intl", "attempts": [attempt, attempt], "passed_over": []}) + "\n"

def event(number):
    verdict, outcome = (("next_target", "503"), ("final", "486"))[number % 2]
    fields = {"Route": "intl", "Trunk": "beta", "Target": target, "Code": outcome, "Outcome": outcome, "Ms": number % 1000, "Verdict": verdict,
              "Call": call(number)}
    if settings["engine"] == "sbc":
        return json.dumps({"event": "SiptrunkAttempt", "word": word, **fields})
    return head + "".join("%s: %s%s" % (*field, line) for field in fields.items()) + line

def drain():
    try:
        while sock.recv(1 << 20):
            pass
    except BlockingIOError:
        pass

def unread():
    rows = [row.split() for row in open("/proc/net/udp")]
    return next(int(row[4].split(":")[1], 16) for row in rows if row[1].endswith(":%04X" % int(port)))

def send_datagrams(first, count):
    for number in range(first, first + count):
        if number % 20 == 0:
            time.sleep(0.005)  # 4000 per second: of calls whose record may still come it remembers 50,000
            while unread() > 50000:
                time.sleep(0.002)
        sock.send(event(number).encode())

def send_stream(first, count):
    data = "".join(map(event, range(first, first + count))).encode()
    while data:
        drain()
        try:
            data = data[sock.send(data):]
        except BlockingIOError:
            time.sleep(0.002)

def send(first, count):
    (send_datagrams if settings["engine"] == "sbc" else send_stream)(first, count)
    records.write("".join(record(number) for number in range(first, first + count, 2)))
    records.flush()

if settings["engine"] == "sbc":
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", int(port)))
else:
    sock = socket.create_connection(("127.0.0.1", settings["port"]))
    sock.sendall(login.encode())
    sock.setblocking(False)
time.sleep(1)
before, missed, sent = counted(), counted("siptrunk_monitor_missed"), 0
began, used = time.monotonic(), cpu()
while time.monotonic() - began < seconds:
    due = int((time.monotonic() - began) * rate) // 2 * 2  # whole calls
    send(sent, due - sent)
    sent = due
    time.sleep(0.05)
share = (cpu() - used) / (time.monotonic() - began)
print("  %d attempts per second for %d s: %.1f %% of a core, %.1f MiB" % (rate, seconds, share * 100, memory()), flush=True)
rss, began = [memory()], time.monotonic()
for number in range(100):
    # what waits must fit into the queues of the engine and of the monitor, which drop the rest
    deadline = time.monotonic() + 60
    while counted() < before + sent - 2000 and time.monotonic() < deadline:
        time.sleep(0.02)
    send(sent, attempts // 100)
    sent += attempts // 100
    # of what was heard in the last seconds it remembers all: that has to be as much in the first half as in the second
    time.sleep(max(0, began + (number + 1) * attempts / 100 / 1000 - time.monotonic()))
    if number % 10 == 9:
        rss.append(memory())
        print("  %d attempts: %.1f MiB" % (sent, rss[-1]), flush=True)
deadline = time.monotonic() + 30
while counted() < before + sent and time.monotonic() < deadline:
    time.sleep(0.2)
took = time.monotonic() - began
time.sleep(15)  # what is missed is told late
heard, missed = counted() - before, counted("siptrunk_monitor_missed") - missed
print("  %d sent, %d counted, %d missed, %.0f per second" % (sent, heard, missed, attempts / took))
sys.exit(int(heard != sent or missed or max(rss[5:]) - rss[4] > 8 or (rate <= 200 and share >= 0.1)))
'''


def cost(lab: Lab, kind: type, *how: str) -> bool:
    """Whether it costs no more than it may beside that engine. `how`: rate, seconds, attempts."""
    container, asterisk = lab.container(kind.host), kind.process == "asterisk"
    arguments = [f"{lab.addresses['beta1']}:5060", *how, *("200", "60", "100000")[len(how) :]]
    print(f"The monitor beside {kind.name}:", flush=True)
    if asterisk:
        enter(container, ["sh", "-c", "cat > /etc/asterisk/manager.d/bench.conf && asterisk -rx 'manager reload'"], USER)
    try:
        return subprocess.run(["podman", "exec", "-i", container, "python3", "-", *arguments], input=INSIDE, text=True, check=False).returncode == 0
    finally:
        if asterisk:
            enter(container, ["sh", "-c", "rm -f /etc/asterisk/manager.d/bench.conf; asterisk -rx 'manager reload'"])


def main() -> int:
    name, *how = sys.argv[1:] or ["asterisk"]
    return 0 if cost(Lab(), ENGINES[name], *how) else 1


if __name__ == "__main__":
    sys.exit(main())
