# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: options_ping
short_description: Ask SIP targets by OPTIONS whether they are alive
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Sends a SIP OPTIONS request (RFC 3261, section 11) to one or many targets, over UDP, TCP or TLS, and says of each whether it is alive
    by the rule of the plan's probes, how long it took to answer, and until when its certificate is valid.
  - All targets are asked at once, from the host that the module runs on, so that the result is what its phone system could see. Where a
    carrier knows the phone system by its address, that address is needed too, see O(local_address).
  - Over UDP the request is sent again after 0.5 seconds, then at doubled intervals up to 4 seconds, as RFC 3261, section 17.1.2 says.
  - Carriers may ignore OPTIONS, or answer an error to one that comes from another port than the phone system's. Such a target is not dead
    for that, which is why O(alive_on) accepts every answer by default.
extends_documentation_fragment:
  - siptrunk.failover.read_only
options:
  targets:
    description: Whom to ask.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description:
          - An address, or a name. Of a name with several addresses the first is asked, in the order of the host (C(gai.conf)).
          - SRV records are not looked up, see M(siptrunk.failover.srv_info) for those.
        type: str
        required: true
      port:
        description: The port. By default 5060, and 5061 for V(tls).
        type: int
      transport:
        description: The SIP transport.
        type: str
        choices: [udp, tcp, tls]
        default: udp
      domain:
        description:
          - The SIP domain to name in the request URI and in To, and over TLS the name that the certificate has to be for. By default the
            O(targets[].host).
          - A carrier's certificate is for its domain, not for the host that SRV records lead to (RFC 5922, section 4). Give the domain here
            where the host comes from a look-up.
        type: str
      names:
        description: Other names that the certificate may have, such as the trunk's C(tls.names).
        type: list
        elements: str
        default: []
      wildcard:
        description: Whether a certificate for V(*.example.com) proves a host directly below it. RFC 5922 says no, which is the default.
        type: bool
        default: false
      name:
        description: What to call the target in the result. By default the O(targets[].host).
        type: str
  timeout:
    description: Seconds for each target, for the look-up of its name, the connection and the answer together.
    type: float
    default: 3
  alive_on:
    description:
      - Which final answer shows that a target is alive. V(any) is every answer, also an error such as 404 or 503.
      - V(2xx) is success alone.
    type: str
    choices: [any, 2xx]
    default: any
  from_user:
    description: The user in From and Contact.
    type: str
    default: siptrunk
  from_domain:
    description: The domain in From. By default the address that the request is sent from.
    type: str
  local_address:
    description: The address of this host to send from. By default the one that the routes of the host choose.
    type: str
  ca_file:
    description: A file of CA certificates, in PEM, to verify certificates with. By default those of the system.
    type: path
  ca_path:
    description: A folder of such files, prepared by C(openssl rehash). Given together with O(ca_file), both are used.
    type: path
  verify:
    description:
      - Whether a target whose certificate cannot be verified is dead. Checked are its validity, its chain up to a known CA, and that it is for
        the domain or host of the target, by its DNS names and addresses. Names in the form of a URI, which RFC 5922 knows too, do not count.
      - Nothing is sent to a target that fails. It is connected to once more, without verification, to read its certificate and for
        nothing else.
      - TLS before 1.2 is never spoken.
    type: bool
    default: true
  concurrency:
    description:
      - Look-ups of names, and TLS connections, under way at once. The O(timeout) of a target that has to wait begins when its turn comes.
      - Over UDP and TCP all targets are asked at once, as far as the limit of open files allows.
    type: int
    default: 100
  fail_on_dead:
    description:
      - Whether a target that is not alive is a failure of the module.
      - The failed module names the targets, and still returns RV(results).
    type: bool
    default: false
seealso:
  - module: siptrunk.failover.srv_info
  - module: siptrunk.failover.trunk_info
"""

EXAMPLES = r"""
- name: Are the carriers alive, and is none of their certificates about to end?
  siptrunk.failover.options_ping:
    targets:
      - {name: acme-east, host: 198.18.1.10}
      - {name: beta, host: gw.beta.example, transport: tls, domain: beta.example}
  register: pinged
  failed_when: not pinged.all_alive or pinged.results | selectattr('certificate') | selectattr('certificate.expires_in_days', 'lt', 14)
    | list | length > 0

- name: Find the servers of a carrier
  siptrunk.failover.srv_info:
    domains: [sip.acme.example]
    transport: tls
  register: found

- name: Ask each of them, and stop when one does not answer 2xx
  siptrunk.failover.options_ping:
    targets:
      - {host: "{{ item.address }}", port: "{{ item.port }}", transport: tls, domain: sip.acme.example}
    alive_on: 2xx
    fail_on_dead: true
  loop: "{{ found.results[0].targets }}"
"""

RETURN = r"""
results:
  description: One entry for each of O(targets), in the same order. Also returned when the module fails by O(fail_on_dead).
  returned: when the targets were asked
  type: list
  elements: dict
  contains:
    name:
      description: The O(targets[].name), or else the host.
      type: str
      sample: acme-east
    host:
      description: The O(targets[].host), as given.
      type: str
      sample: gw1.acme.example
    address:
      description: The IP address that was asked. Null if the host has none.
      type: str
      sample: 198.18.1.10
    port:
      description: The port that was asked.
      type: int
      sample: 5061
    transport:
      description: The transport, V(udp), V(tcp) or V(tls).
      type: str
      sample: tls
    alive:
      description: Whether there was a final answer that O(alive_on) accepts.
      type: bool
      sample: true
    code:
      description: The status code of the final answer. Null if there was none.
      type: int
      sample: 200
    reason:
      description: The reason phrase of the final answer, possibly empty. Null if there was no answer.
      type: str
      sample: OK
    rtt_ms:
      description:
        - Milliseconds from the sending of the request, the first if there were several, to the final answer. Look-up, connection and TLS
          handshake are not in it. Null if there was no answer.
      type: float
      sample: 12.34
    server:
      description: The Server or User-Agent header of the final answer. Null if there is none.
      type: str
      sample: Acme SBC 4.2
    retransmissions:
      description: How often the request was sent again over UDP. More than 0 with an answer speaks of loss, or of a slow target.
      type: int
      sample: 0
    certificate:
      description: The certificate that the target showed. Null without TLS, and when it could not be read.
      type: dict
      contains:
        subject:
          description: Whom it is for, the usual attributes in the order of the certificate.
          type: str
          sample: O=Acme, CN=sip.acme.example
        issuer:
          description: Who signed it.
          type: str
          sample: O=Example Trust, CN=Example CA
        not_before:
          description: The beginning of its validity, in UTC.
          type: str
          sample: "2026-01-01T00:00:00Z"
        not_after:
          description: The end of its validity, in UTC.
          type: str
          sample: "2026-12-31T23:59:59Z"
        expires_in_days:
          description: Days until then, negative when it is over.
          type: float
          sample: 43.21
        names:
          description: Its alternative names, which are DNS names, addresses, e-mail addresses and URIs.
          type: list
          elements: str
          sample: [sip.acme.example, 198.18.1.10]
        verified:
          description: Whether it was verified. False with O(verify=false).
          type: bool
          sample: true
    error:
      description: Why the target is not alive. Null if it is.
      type: dict
      contains:
        kind:
          description:
            - V(timeout), the target was silent, or nothing of what it sent answers the request.
            - V(refused), nothing listens there. V(unreachable), no way leads there.
            - V(closed), the connection was closed before a complete answer came.
            - V(protocol), what it sent is no SIP, is longer than 64 KiB, or answers nothing and does not end.
            - V(bad_name), the host or domain is not a name, or has no address.
            - V(tls_verification), the certificate could not be verified. V(tls), the handshake failed otherwise.
            - V(code), the answer is not one that O(alive_on) accepts.
            - V(local), this host could not ask, for example because too many files are open.
          type: str
          sample: timeout
        message:
          description: What happened.
          type: str
          sample: "no answer from 198.18.1.10:5060 within 3 s"
all_alive:
  description: Whether every target is alive. False when there is none.
  returned: when the targets were asked
  type: bool
  sample: true
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.siptrunk.failover.plugins.module_utils import options


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "targets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "host": {"type": "str", "required": True},
                    "port": {"type": "int"},
                    "transport": {"type": "str", "choices": ["udp", "tcp", "tls"], "default": "udp"},
                    "domain": {"type": "str"},
                    "names": {"type": "list", "elements": "str", "default": []},
                    "wildcard": {"type": "bool", "default": False},
                    "name": {"type": "str"},
                },
            },
            "timeout": {"type": "float", "default": 3},
            "alive_on": {"type": "str", "choices": ["any", "2xx"], "default": "any"},
            "from_user": {"type": "str", "default": "siptrunk"},
            "from_domain": {"type": "str"},
            "local_address": {"type": "str"},
            "ca_file": {"type": "path"},
            "ca_path": {"type": "path"},
            "verify": {"type": "bool", "default": True},
            "concurrency": {"type": "int", "default": 100},
            "fail_on_dead": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    arguments = dict(module.params)
    fail_on_dead = arguments.pop("fail_on_dead")
    try:
        results = options.ping(**arguments)
    except ValueError as error:
        module.fail_json(msg=f"The targets could not be asked: {error}")
    answer = {"changed": False, "results": results, "all_alive": len(results) > 0 and all(result["alive"] for result in results)}
    dead = [f"{result['name']} ({result['error']['message']})" for result in results if not result["alive"]]
    if dead and fail_on_dead:
        module.fail_json(msg=f"Not alive: {', '.join(dead)}", **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
