-- Written by Ansible (siptrunk.failover). Changes made here are lost.
return {}
