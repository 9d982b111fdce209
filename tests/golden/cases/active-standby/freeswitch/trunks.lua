-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- Whose calls come from where, and which context of the operator's takes them (none: they are refused).
return {
  {name = "only", context = "", from = {"198.18.1.21/32", }, targets = {["198.18.1.21"] = "only.1", }},
}
