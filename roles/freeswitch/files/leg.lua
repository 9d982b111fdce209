-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- leg.lua KEY: when the leg of an attempt ends without an answer (api_hangup_hook), tells hunt.lua the SIP code that ended it, and the
-- port from which it came. FreeSWITCH makes up a 408 for silence and a 503 for a closed port; such an answer came from port 0.
if (env:getHeader("Caller-Channel-Answered-Time") or "0") == "0" then
    local code = (env:getHeader("variable_proto_specific_hangup_cause") or ""):match("^sip:(%d%d%d)$")
    code = code or env:getHeader("variable_sip_invite_failure_status") or "-"
    freeswitch.API():execute("hash", "insert/siptrunk_leg/" .. argv[1] .. "/" .. code .. " " .. (env:getHeader("variable_sip_reply_port") or "0"))
end
