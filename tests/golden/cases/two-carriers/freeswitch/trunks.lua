-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- Whose calls come from where, and which context of the operator's takes them (none: they are refused).
return {
  {name = "acme", context = "", from = {"198.18.1.21/32", "198.18.1.22/32", }, targets = {["198.18.1.21"] = "acme.1", ["198.18.1.22"] = "acme.2", }},
  {name = "beta", context = "", from = {"198.18.1.31/32", }, targets = {}},
  {name = "beta-tcp", context = "", from = {}, targets = {}},
}
