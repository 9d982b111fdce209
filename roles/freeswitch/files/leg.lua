-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- leg.lua LEG: when the leg of an attempt ends (api_hangup_hook), reports to hunt.lua the SIP code that ended it, the port from which that
-- came, what it rang with (180, 183), when it was first heard of and when it was answered (both in µs), its packets (come in, due and
-- not there, sent), whether a 200 came whose media could not be used, and FreeSWITCH's cause. FreeSWITCH makes up
-- a 408 for silence and a 503 for a closed port; such an answer came from port 0. Of a leg that it cancelled it says 487, which no carrier sent.
local api, key = freeswitch.API(), "siptrunk_leg/" .. argv[1]
if api:execute("hash", "select/" .. key) == "gone" then -- the hunt has ended without it
    api:execute("hash", "delete/" .. key)
    return
end
local function of(name) return env:getHeader(name) or "0" end
local function packets(name) return env:getHeader("variable_rtp_audio_" .. name .. "_packet_count") or "none" end
local how = of("variable_sip_hangup_disposition")
local code = of("variable_proto_specific_hangup_cause"):match("^sip:(%d%d%d)$")
    or how ~= "send_cancel" and env:getHeader("variable_sip_invite_failure_status") or "none"
local media, ringing = of("Caller-Channel-Progress-Media-Time"), of("Caller-Channel-Progress-Time")
local answered = of("Caller-Channel-Answered-Time")
local rang, heard = media ~= "0" and "183" or ringing ~= "0" and "180" or "none", 0
for _, moment in ipairs({media, ringing, answered}) do
    if moment ~= "0" and (heard == 0 or tonumber(moment) < heard) then heard = tonumber(moment) end
end
-- A dialog that neither side ended by BYE was never confirmed (RFC 3261 section 15).
local taken = answered == "0" and (how == "send_bye" or how == "recv_bye")
local report = table.concat({
    code, of("variable_sip_reply_port"), rang, string.format("%d", heard), answered, packets("in_media"), packets("in_skip"), packets("out_media"),
    taken and "yes" or "no", of("variable_hangup_cause"),
}, " ")
api:execute("hash", "insert/" .. key .. "/" .. report)
