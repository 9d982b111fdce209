# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by Ansible (siptrunk.failover). Changes made here are lost.
"""Whether the SBC is alive: keepalived runs this each second, as Kamailio's user, and a failure takes the floating address away.

    alive.py FLOATING OWN PORT FOLDER OUT_OF_SERVICE

Kamailio has to answer a SIP request with anything but 503 (it has no media relay, or is out of service), at the floating address where that stands
on this host, otherwise at its own. Where it stands Kamailio may register at the carriers, and is told so through its control socket in the folder;
elsewhere it must not.

While the file OUT_OF_SERVICE is there, as something is changed, the address is to be elsewhere. Otherwise Kamailio is told that keepalived counts on it,
for the other SBC may ask whether the address would be taken here.

A Kamailio that runs and says nothing does not hear either what the other SBC tells of its calls. It is killed: systemd starts it again, and it
learns of all of them anew.
"""

import errno
import json
import os
import signal
import socket
import sys
import time

WITHIN = 1.0  # seconds for an answer
EACH = 0.25  # one lost datagram is no failure
REFUSED = 0.4  # nobody listens: a restart takes longer than that, and a queue of errors does not
SETTLED = 20  # one that was started less than that ago may be slow


def is_here(address):
    """Whether the address is this host's. A host may let anybody bind any address (ip_nonlocal_bind), but nobody speaks from it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        try:
            link.bind((address, 0))
            link.connect((address, 9))
        except OSError:
            return False
    return True


def request(here, there, port, number):
    """An OPTIONS (RFC 3261 section 11) from here, a socket's name, to there."""
    host, own = here
    lines = [
        "OPTIONS sip:%s:%d SIP/2.0" % (there, port),
        "Via: SIP/2.0/UDP %s:%d;branch=z9hG4bKalive%s;rport" % (host, own, number),
        "Max-Forwards: 1",
        "From: <sip:alive@%s>;tag=%s" % (host, number),
        "To: <sip:%s:%d>" % (there, port),
        "Call-ID: %s@%s" % (number, host),
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def look(address, port, own=""):
    """What comes of a request: "alive", "unwell" where it takes no calls, "refused" where nobody listens, or "silent"."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(EACH)
        began = time.monotonic()
        try:
            link.bind((own, 0))  # where the floating address is in no network of ours, it would speak to itself
            link.connect((address, port))
            number = os.urandom(8).hex()
            text = request(link.getsockname(), address, port, number)
        except OSError:
            return "refused"
        found, limit = "silent", WITHIN
        while time.monotonic() - began < limit:
            try:
                link.send(text)
                answer = link.recv(65535)
            except socket.timeout:
                continue
            except OSError as error:
                if error.errno == errno.ECONNREFUSED:
                    found, limit = "refused", REFUSED
                time.sleep(0.05)
                continue
            if answer.startswith(b"SIP/2.0 ") and number.encode() in answer:
                return "unwell" if answer.startswith(b"SIP/2.0 503 ") else "alive"
    return found


def put_down(pid_file):
    """Kill it, unless it was just started."""
    try:
        if time.time() - os.stat(pid_file).st_mtime > SETTLED:
            with open(pid_file, encoding="ascii") as stream:
                os.kill(int(stream.read()), signal.SIGKILL)
    except (OSError, ValueError):
        pass


def tell(control, method, *params):
    """A command. The next run says it again, so nothing is lost with a word that is."""
    question = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.settimeout(EACH)
        try:
            link.bind("")  # a name of the kernel's choice, for the answer
            link.sendto(question.encode(), control)
            link.recv(65535)
        except OSError:
            pass


def main():
    floating, own, port, folder, out_of_service = sys.argv[1:]
    here = is_here(floating)
    found = look(floating if here else own, int(port), own)
    fit = found == "alive" and not os.path.exists(out_of_service)
    control = os.path.join(folder, "siptrunk.sock")
    if found == "alive":
        tell(control, "uac.reg_active", int(here))
    elif found == "silent":
        put_down(os.path.join(folder, "kamailio.pid"))
    if fit:
        tell(control, "htable.seti", "fit", "for_the_address", 1)
    return int(not fit)


if __name__ == "__main__":
    sys.exit(main())
