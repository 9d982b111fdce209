-- Written by Ansible (siptrunk.failover). Changes made here are lost.
return {
  literal = "\039single\039 and \034double\034 \061 quotes",
  secure = "only-for-golden-files",
  ["zulu-each"] = "lab\059only\034password\0921\059--x--\059\092",
}
