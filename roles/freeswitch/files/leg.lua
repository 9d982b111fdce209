-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- leg.lua CALL: when the leg of an attempt ends (api_hangup_hook), tells hunt.lua where its 408 or 503 came from.
-- FreeSWITCH makes up a 408 for silence and a 503 for a closed port; such an answer came from port 0.
local status = env:getHeader("variable_sip_invite_failure_status")
if status == "408" or status == "503" then
    freeswitch.API():execute("hash", "insert/siptrunk_leg/" .. argv[1] .. "/" .. (env:getHeader("variable_sip_reply_port") or "0"))
end
