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
learns of all of them anew. One that is only busy keeps its life, and the address for a while: with its life would go the records of the calls that it
has at hand, and whoever gets its calls would be as busy.
"""

# This runs each second: Python's own `socket`, `json` and `signal` would cost more than all the rest.
import _socket as socket
import errno
import os
import select
import sys
import time

EACH = 0.25  # seconds for an answer; one lost datagram is no failure, so there are
TRIES = 4
PATIENCE = 8  # as many for one that is busy; keepalived waits for three seconds
PAUSE, REFUSALS = 0.05, 8  # nobody listens: a restart takes longer than that, and a queue of errors does not
BUSY = 10  # seconds without an answer at the address, for which the other processes stand
SIGKILL = 9
SETTLED = 20  # one that was started less than that ago may be slow


def is_here(address):
    """Whether the address is this host's. A host may let anybody bind any address (ip_nonlocal_bind), but nobody speaks from it."""
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        link.bind((address, 0))
        link.connect((address, 9))
    except OSError:
        return False
    finally:
        link.close()
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


class Question:
    """A request to an address, from our own: what has come of it."""

    def __init__(self, address, port, own):
        self.result, self.number = "silent", os.urandom(8).hex()
        self.link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.link.setblocking(False)
        try:
            self.link.bind((own, 0))  # where the floating address is in no network of ours, it would speak to itself
            self.link.connect((address, port))
        except OSError:
            self.result = "refused"
        self.text = request(self.link.getsockname(), address, port, self.number)

    def is_open(self):
        return self.result in ("silent", "refused")

    def send(self):
        self._try(self.link.send, self.text)

    def receive(self):
        answer = self._try(self.link.recv, 65535) or b""
        if answer.startswith(b"SIP/2.0 ") and self.number.encode() in answer:
            self.result = "unwell" if answer.startswith(b"SIP/2.0 503 ") else "alive"

    def _try(self, function, argument):
        try:
            return function(argument)
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                self.result = "refused"


def hear(first, others, seconds):
    """Whatever comes in, until the first one is answered or the time is over."""
    ends, asked = time.monotonic() + seconds, [first, *others]
    while first.is_open():
        waiting = {question.link: question for question in asked if question.is_open()}
        ready, _writable, _failed = select.select(list(waiting), [], [], max(0, ends - time.monotonic()))
        if not ready:
            return
        for link in ready:
            waiting[link].receive()
        if first.result == "refused":
            ends = min(ends, time.monotonic() + PAUSE)


def look(address, port, own="", beside=False):
    """What comes of a request: "alive", "unwell" where it takes no calls, "refused" where nobody listens, "silent", or "busy".

    beside: the own address is asked as well. Other processes of Kamailio listen there, which have little to do: where they answer and the others do not,
    it is no dead one but a busy one, which has more time; and where it waits for its media relay, they say so.

    Tries are counted, not seconds: where the whole host stood still, Kamailio has had no time either.
    """
    first = Question(address, port, own)
    others = [Question(own, port, own)] if beside else []
    tries = refused = 0
    try:
        while first.is_open() and tries < (PATIENCE if any(other.result == "alive" for other in others) else TRIES) and refused < REFUSALS:
            for question in [first, *others]:
                if question.is_open():
                    question.send()
            hear(first, others, PAUSE if first.result == "refused" else EACH)
            if first.result == "refused":
                refused += 1
            else:
                tries += 1
            if any(other.result == "unwell" for other in others):
                return "unwell"
    finally:
        for question in [first, *others]:
            question.link.close()
    return "busy" if first.result == "silent" and any(other.result == "alive" for other in others) else first.result


def how_long(marker, holds):
    """For how many seconds, over all runs, something has held: the age of a file, which is there as long."""
    if not holds:
        if os.path.exists(marker):
            os.unlink(marker)
        return 0
    if not os.path.exists(marker):
        with open(marker, "w", encoding="ascii"):
            pass
    return time.time() - os.stat(marker).st_mtime


def put_down(pid_file):
    """Kill it, unless it was just started."""
    try:
        if time.time() - os.stat(pid_file).st_mtime > SETTLED:
            with open(pid_file, encoding="ascii") as stream:
                os.kill(int(stream.read()), SIGKILL)
    except (OSError, ValueError):
        pass


def tell(control, method, *params):
    """A command. The next run says it again, so nothing is lost with a word that is."""
    values = ", ".join(str(value) if isinstance(value, int) else '"%s"' % value for value in params)
    question = '{"jsonrpc": "2.0", "method": "%s", "params": [%s], "id": 1}' % (method, values)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    link.settimeout(EACH)
    try:
        link.bind("")  # a name of the kernel's choice, for the answer
        link.sendto(question.encode(), control)
        link.recv(65535)
    except OSError:
        pass
    finally:
        link.close()


def main():
    floating, own, port, folder, out_of_service = sys.argv[1:]
    here = is_here(floating)
    found = look(floating if here else own, int(port), own, beside=here)
    busy = how_long(os.path.join(folder, "siptrunk.busy"), found == "busy")
    fit = (found == "alive" or found == "busy" and busy < BUSY) and not os.path.exists(out_of_service)
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
