-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- leg.lua KEY [all]: when the leg of an attempt ends (api_hangup_hook), tells hunt.lua the SIP code that ended it, the port from which
-- that came, what it rang with (180, 183) and when it was answered. FreeSWITCH makes up a 408 for silence and a 503 for a closed port;
-- such an answer came from port 0. A leg that was answered is told of only with `all`: nobody else asks.
local function of(name) return env:getHeader(name) or "0" end
local answered = of("Caller-Channel-Answered-Time")
if answered == "0" or argv[2] then
    local code = of("variable_proto_specific_hangup_cause"):match("^sip:(%d%d%d)$") or env:getHeader("variable_sip_invite_failure_status") or "none"
    local rang = of("Caller-Channel-Progress-Media-Time") ~= "0" and "183" or of("Caller-Channel-Progress-Time") ~= "0" and "180" or "none"
    local told = table.concat({code, of("variable_sip_reply_port"), rang, answered}, " ")
    freeswitch.API():execute("hash", "insert/siptrunk_leg/" .. argv[1] .. "/" .. told)
end
