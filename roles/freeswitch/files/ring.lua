-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- ring.lua LEG ENDS: ends a leg that had early media and is not answered by then (ms of the epoch). It is started up to a second earlier.
local api = freeswitch.API()
local left = tonumber(argv[2]) - tonumber(api:getTime())
if left > 0 then freeswitch.msleep(left) end
if api:execute("uuid_getvar", argv[1] .. " endpoint_disposition") ~= "ANSWER" then api:execute("uuid_kill", argv[1] .. " ALLOTTED_TIMEOUT") end
