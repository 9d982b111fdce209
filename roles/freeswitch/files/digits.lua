-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- digits.lua LEG CALLER [SECONDS]: when the leg of an attempt is bridged (api_before_bridge). Where the carrier takes no RFC 4733 events, the
-- caller's digits are sent in the sound. With that FreeSWITCH fills every gap in the caller's sound with silence; so it begins when
-- there is sound, for which this looks again each second, up to a minute.
local api = freeswitch.API()
local leg, caller, seconds = argv[1], argv[2], tonumber(argv[3] or 0)
local function get(uuid, variable) return api:execute("uuid_getvar", uuid .. " " .. variable) end
if get(leg, "dtmf_type") ~= "none" then return end
api:execute("uuid_set_media_stats", caller)
if get(caller, "rtp_audio_in_packet_count") ~= "0" then
    freeswitch.Session(leg):execute("start_dtmf_generate", "write")
elseif seconds < 60 then
    api:execute("sched_api", string.format("+1 none lua %s %s %s %d", argv[0], leg, caller, seconds + 1))
end
