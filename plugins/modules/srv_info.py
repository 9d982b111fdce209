#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: srv_info
short_description: Find the SIP servers of domains in the DNS
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Looks up where the SIP service of one or many domains is found, as RFC 3263 and RFC 2782 say, by NAPTR, SRV, A and AAAA records.
  - All domains are looked up at once, from the host that the module runs on, so the result is what its phone system sees.
  - Targets are listed in a fixed order. The draw by weight of RFC 2782 belongs to each call, and is not made here.
  - Names are absolute, the search list of the host is not used. No answer is kept from one run to the next.
requirements:
  - dnspython >= 2.0
extends_documentation_fragment:
  - siptrunk.failover.read_only
options:
  domains:
    description:
      - What to look up, each in one of three forms.
      - A domain such as V(sip.example.com) is looked up by NAPTR, then SRV. Its A and AAAA records are used only when it has no SRV
        records.
      - A domain with a port such as V(gw.example.com:5070) is looked up by A and AAAA alone.
      - An address such as V(198.18.1.10), V(198.18.1.10:5070) or V([2001:db8::1]:5060) stands for itself, whatever
        O(address_families) says.
      - Without SRV and without a port, the port is 5060, or 5061 for O(transport=tls).
      - Give these, or O(questions).
    type: list
    elements: str
  transport:
    description: The SIP transport to look for.
    type: str
    choices: [udp, tcp, tls]
    default: udp
  questions:
    description: Domains of several transports, instead of O(domains) and O(transport), as P(siptrunk.failover.dns_questions#filter) returns them.
    type: list
    elements: dict
    suboptions:
      domains:
        description: See O(domains).
        type: list
        elements: str
        required: true
      transport:
        description: The SIP transport to look for.
        type: str
        choices: [udp, tcp, tls]
        required: true
  nameservers:
    description:
      - The name servers to ask, in this order, each V(address), V(address:port) or V([IPv6 address]:port).
      - By default those of C(/etc/resolv.conf) on the host.
    type: list
    elements: str
  timeout:
    description:
      - Seconds to wait for one name server, each time it is asked.
      - Less where O(lifetime) would otherwise not suffice to ask every name server.
    type: float
    default: 2
  lifetime:
    description:
      - Seconds for one look-up, over all name servers and CNAME records.
      - A domain takes three look-ups in a row at most, for its NAPTR records and SRV records, for the SRV records that NAPTR names, and
        for the addresses.
    type: float
    default: 5
  address_families:
    description: The kinds of address to look up.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4, ipv6]
  concurrency:
    description:
      - Look-ups that are begun at once. One that waits for its answer is no longer counted, so that many domains take little longer than
        the slowest.
      - When a name server refuses, this is how many are under way, and what was refused is asked again. The default stays below what a small
        forwarder takes (dnsmasq refuses the 151st). Silent name servers hold up the other domains by one O(lifetime) at most.
    type: int
    default: 150
  fail_on_error:
    description:
      - Whether any entry in RV(results[].errors) is a failure of the module, even where targets were found all the same.
      - The failed module names the domains, and still returns RV(results).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Find the servers of two carriers
  siptrunk.failover.srv_info:
    domains:
      - sip.acme.example
      - gw.beta.example:5070
  register: carriers

- name: Stop when a carrier cannot be found at all
  ansible.builtin.assert:
    that: item.ok
    fail_msg: "{{ item.domain }}: {{ item.errors | map(attribute='message') | join('; ') }}"
  loop: "{{ carriers.results }}"
  loop_control:
    label: "{{ item.domain }}"

- name: Ask the carrier's own name servers, and accept no error
  siptrunk.failover.srv_info:
    domains: [sip.acme.example]
    transport: tls
    nameservers: [198.18.0.53, "[2001:db8::53]:5353"]
    address_families: [ipv4]
    fail_on_error: true
"""

RETURN = r"""
results:
  description: One entry for each of O(domains), or of those of O(questions), in the same order. Also returned when the module fails by O(fail_on_error).
  returned: when the look-ups were made
  type: list
  elements: dict
  contains:
    domain:
      description: The entry of O(domains), as given.
      type: str
      sample: sip.acme.example
    transport:
      description: The transport looked for.
      type: str
      sample: udp
    source:
      description:
        - How the targets were found. V(literal) for an address, V(address) by A and AAAA alone, V(srv) by SRV, V(naptr) by NAPTR and SRV.
        - Null if there are no targets.
      type: str
      sample: srv
    targets:
      description: Where the service is, by priority, then weight descending, host, IPv4 before IPv6, and address.
      type: list
      elements: dict
      contains:
        host:
          description: The target of the SRV record, or the name or address asked for.
          type: str
          sample: gw1.acme.example
        address:
          description: The IP address.
          type: str
          sample: 198.18.1.10
        port:
          description: The port.
          type: int
          sample: 5060
        priority:
          description: The priority of the SRV record, the lowest first. 0 without SRV.
          type: int
          sample: 10
        weight:
          description: The weight of the SRV record among those of the same priority. 0 without SRV.
          type: int
          sample: 50
        family:
          description: The family of the address, V(ipv4) or V(ipv6).
          type: str
          sample: ipv4
    ttl:
      description: The smallest TTL of the records used, in seconds. Null for an address, and if there are no targets.
      type: int
      sample: 300
    errors:
      description: What went wrong. Targets may have been found all the same.
      type: list
      elements: dict
      contains:
        kind:
          description:
            - V(nxdomain), the name does not exist.
            - V(no_answer), the name exists without such records.
            - V(timeout), V(refused) or V(servfail), the name servers were silent, refused to answer, or failed.
            - V(target_unresolvable), a target of SRV has no address. The other targets are kept.
            - V(service_unavailable), the only target of SRV is C(.), by which the domain says that it has no such service.
            - V(bad_name), the entry of O(domains) is none of the three forms. Nothing was asked.
            - V(other), for example CNAME records in a circle.
          type: str
          sample: timeout
        name:
          description: The name asked for in the DNS, or the host of the SRV record.
          type: str
          sample: _sip._udp.acme.example
        message:
          description: What was asked, of which name servers, and what came back.
          type: str
          sample: "SRV _sip._udp.acme.example: no answer from 198.18.0.53 within 5.0 s"
    ok:
      description: Whether there is at least one target.
      type: bool
      sample: true
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.siptrunk.failover.plugins.module_utils import resolver

DOMAINS = {"type": "list", "elements": "str"}
TRANSPORT = {"type": "str", "choices": ["udp", "tcp", "tls"]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "domains": DOMAINS,
            "transport": {**TRANSPORT, "default": "udp"},
            "questions": {
                "type": "list",
                "elements": "dict",
                "options": {"domains": {**DOMAINS, "required": True}, "transport": {**TRANSPORT, "required": True}},
            },
            "nameservers": {"type": "list", "elements": "str"},
            "timeout": {"type": "float", "default": 2},
            "lifetime": {"type": "float", "default": 5},
            "address_families": {"type": "list", "elements": "str", "choices": ["ipv4", "ipv6"], "default": ["ipv4", "ipv6"]},
            "concurrency": {"type": "int", "default": 150},
            "fail_on_error": {"type": "bool", "default": False},
        },
        mutually_exclusive=[("domains", "questions")],
        required_one_of=[("domains", "questions")],
        supports_check_mode=True,
    )
    options = dict(module.params)
    fail_on_error = options.pop("fail_on_error")
    questions = options.pop("questions")
    if questions is None:
        questions = [{key: options[key] for key in ("domains", "transport")}]
    try:
        results = [result for question in questions for result in resolver.resolve(**{**options, **question})]
    except resolver.ResolverMissing as error:
        module.fail_json(msg=missing_required_lib("dnspython >= 2.0", url="https://www.dnspython.org"), exception=str(error))
    except (ValueError, OSError) as error:
        module.fail_json(msg=f"The look-ups could not be made: {error}")

    in_error = [result for result in results if result["errors"]]
    if in_error and fail_on_error:
        reasons = [f"{result['domain']} ({'; '.join(error['message'] for error in result['errors'])})" for result in in_error]
        module.fail_json(msg=f"Errors in the look-up of {', '.join(reasons)}", results=results)
    incomplete = [result["domain"] for result in in_error if result["ok"]]
    if incomplete:
        module.warn(f"Targets were found, but not without errors, for {', '.join(incomplete)}: see `errors` in the result")
    module.exit_json(changed=False, results=results)


if __name__ == "__main__":
    main()
