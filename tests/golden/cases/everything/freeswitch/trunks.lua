-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- Whose calls come from where, and which context of the operator's takes them (none: they are refused).
return {
  {name = "acme", context = "", from = {"198.18.1.10/31", "198.18.1.12/32", }, targets = {}},
  {name = "behind", context = "", from = {"198.18.4.1/32", "198.18.4.2/32", }, targets = {}},
  {name = "literal", context = "", from = {"198.18.2.10/32", }, targets = {["198.18.2.10"] = "literal.1", }},
  {name = "secure", context = "", from = {"198.18.6.10/31", }, targets = {["198.18.6.10"] = "secure.1", ["198.18.6.11"] = "secure.2", }},
  {name = "wild", context = "", from = {"198.18.8.10/32", }, targets = {}},
  {name = "zulu-each", context = "from-zulu", from = {"198.18.3.0/24", "198.18.4.10/32", "198.18.5.0/28", "198.18.7.1/32", }, targets = {["198.18.3.10"] = "zulu-each.1", ["198.18.3.11"] = "zulu-each.2", ["198.18.4.10"] = "zulu-each.3", }},
}
