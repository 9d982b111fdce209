-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- Whose calls come from where, and which context of the operator's takes them (none: they are refused).
return {
  {name = "acme", context = "", from = {"198.18.1.10/31", "198.18.1.12/32", }},
  {name = "behind", context = "", from = {"198.18.4.1/32", "198.18.4.2/32", }},
  {name = "literal", context = "", from = {"198.18.2.10/32", }},
  {name = "secure", context = "", from = {"198.18.6.10/31", }},
  {name = "zulu-each", context = "from-zulu", from = {"198.18.3.0/24", "198.18.4.10/32", "198.18.5.0/28", "198.18.7.1/32", }},
}
